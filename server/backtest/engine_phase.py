"""The engine of a backtest: its choice before the download, and its run after it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve, frozen

from server.backtest.data_faults import DataFaults, faults_of
from server.backtest.data_repair import check_and_repair
from server.backtest.lean_backtest import LeanBacktest
from server.backtest.progress import ProgressReports
from server.backtest.request import BacktestRequest, download_request
from server.backtest.run_data import RunData
from server.backtest.running import RunningBacktest
from server.backtest.verdict import smoke_verdict
from server.data_download.downloader import DataDownloader
from server.data_download.plan import trading_days
from server.data_download.report import DownloadReport
from server.engines.base import LEAN_ENGINES, Engine, EngineRequest, EngineResult
from server.lean.series import NEW_YORK
from server.project.algorithm_source import read_algorithm_source
from server.workspace import Workspace


@frozen(kw_only=True)
class EnginePhase:
    """The engine of one backtest.

    Attributes:
        engine: The engine.
        request: The resolved request.
        lean: What a backtest in LEAN needs besides; None for the smoke test.
    """

    engine: Engine
    request: BacktestRequest
    workspace: Workspace
    running: RunningBacktest
    lean: LeanBacktest | None

    def fetch_benchmark(self) -> None:
        """Fetch the bars of LEAN's benchmark as far as they are missing."""
        if self.lean is not None:
            self.lean.fetch_benchmark()

    def check_data(self, report: DownloadReport, downloader: DataDownloader) -> DataFaults:
        """Check every file that the backtest needs, and repair what LEAN would misread.

        Args:
            report: Of the download of the request's data.
            downloader: Fetches damaged days again.

        Returns:
            What is left, for the verdict.

        Raises:
            DamagedDataError: Damage is left, and the request does not allow it.
        """
        wanted = self._engine_request(report)
        further = (
            (*self.lean.algorithm_data(wanted.resolution), *self.lean.benchmark_data()) if self.lean is not None else ()
        )
        checked = check_and_repair(
            self.workspace.folder,
            downloader,
            wanted.symbols,
            wanted.resolution,
            wanted.days,
            today=self.workspace.clock().astimezone(NEW_YORK).date(),
            further=further,
            download=report,
            allow_damaged=self.request.allow_damaged,
            cancel=self.running.cancel,
        )
        faults = faults_of(checked)
        for sentence in (*faults.untrusted, *faults.notices):
            self.running.notice(sentence)
        return faults

    def run(self, report: DownloadReport, faults: DataFaults) -> EngineResult:
        """Run the engine on data that is there.

        Args:
            report: Of the download of the request's data.
            faults: What is wrong with the data.

        Raises:
            BacktestServerError: The engine failed.
        """
        running, settings = self.running, self.workspace.settings
        running.stop_if_cancelled("reached its engine")
        running.notice(f"the engine is {running.result.engine_choice}")
        wanted = self._engine_request(report)

        def run_once() -> EngineResult:
            reports = ProgressReports(running.report_progress)
            return self.engine.run(wanted, cancel=running.cancel, on_line=running.notice, on_progress=reports)

        if self.lean is not None:
            reruns = settings.lean_reruns if self.request.fill else 0
            return self.lean.run(
                run_once, reruns=reruns, faults=faults, finished=running.finish_round, notice=running.notice
            )
        findings = self.workspace.findings(wanted.symbols, wanted.start, wanted.end)
        result = run_once().with_findings(findings, settings.accepted_doubts)
        # The download was complete, so a file that does not exist has no bars.
        verdict = smoke_verdict(result, result.failed_data_requests, faults.untrusted)
        return evolve(result, verdict=verdict, notes=(*result.notes, *faults.notices))

    def _engine_request(self, report: DownloadReport) -> EngineRequest:
        wanted = download_request(self.request)
        end = report.cut_at or wanted.end
        days, _ = trading_days(wanted.start, end, self.workspace.calendar, self.workspace.clock())
        return EngineRequest(
            project=self.request.project,
            symbols=wanted.symbols,
            resolution=wanted.resolution,
            start=wanted.start,
            end=end,
            data_folder=self.workspace.settings.data_folder,
            days=tuple(days),
        )


def choose_engine_phase(
    request: BacktestRequest,
    workspace: Workspace,
    running: RunningBacktest,
    *,
    downloader: DataDownloader,
    environ: Mapping[str, str],
) -> EnginePhase:
    """Choose the engine and copy LEAN's reference data, before the download: what cannot run fails at once.

    Args:
        request: The resolved request.
        workspace: The data folder and its settings.
        running: The backtest.
        downloader: Fetches what LEAN needs besides the request.
        environ: The environment, in which the engine finds its programs.

    Raises:
        BacktestServerError: The engine cannot run, or there is no reference data.
    """
    from server.engines.choose import choose_engine

    settings = workspace.settings
    choice = choose_engine(
        request.engine or settings.engine,
        project=request.project,
        settings=settings,
        calendar=workspace.calendar,
        clock=workspace.clock,
        environ=environ,
        secrets=workspace.secrets(),
    )
    running.advance(engine_choice=choice.why, engine_name=choice.engine.name)
    for notice in choice.prepare(settings.data_folder, running.cancel):
        running.notice(notice)
    lean = _lean_backtest(request, workspace, running, downloader) if choice.engine.name in LEAN_ENGINES else None
    return EnginePhase(engine=choice.engine, request=request, workspace=workspace, running=running, lean=lean)


def _lean_backtest(
    request: BacktestRequest, workspace: Workspace, running: RunningBacktest, downloader: DataDownloader
) -> LeanBacktest:
    wanted = download_request(request)
    return LeanBacktest(
        symbols=wanted.symbols,
        start=wanted.start,
        end=wanted.end,
        source=read_algorithm_source(request.project),
        data=RunData(
            folder=workspace.folder,
            calendar=workspace.calendar,
            clock=workspace.clock,
            downloader=downloader,
            cancel=running.cancel,
        ),
        findings=workspace.findings,
        accepted=workspace.settings.accepted_doubts,
    )
