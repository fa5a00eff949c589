"""Runs backtests: downloads the data, then runs the engine; as a call or as jobs in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from server.backtest import BacktestRequest, BacktestResult, Phase, download_request, resolve
from server.backtest.data_faults import DataFaults
from server.backtest.engine_phase import EnginePhase, choose_engine_phase
from server.backtest.events import event_json
from server.backtest.running import DATA_DOWNLOAD, ENGINE, RunningBacktest
from server.backtest.unfetched_days import lacks_days
from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, Cancelled, ConfigurationError
from server.core.events import EventListener
from server.core.json import from_json, to_json
from server.data_download.downloader import DataDownloader
from server.data_download.errors import DownloadError
from server.data_download.report import DownloadReport
from server.jobs import Job, JobQueue, JobState, JobStore
from server.jobs.queue import JobHandle
from server.workspace import Workspace

if TYPE_CHECKING:
    from server.engines.choose import EngineOverview

__all__ = ["BacktestManager", "BacktestRequest", "BacktestResult", "JobState", "Phase", "resolve"]


class BacktestManager:
    """Runs backtests in one workspace, as calls or as jobs. Thread-safe."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        environ: Mapping[str, str],
        listeners: Sequence[EventListener] = (),
        store: JobStore | None = None,
    ) -> None:
        """Create a manager; the job queue starts on first use.

        Args:
            workspace: The data folder, its providers and settings.
            environ: The environment, in which the engine finds its programs.
            listeners: Receive the events of all backtests.
            store: Where jobs are stored; None stores them in memory.
        """
        self._workspace = workspace
        self._environ = environ
        self._listeners = tuple(listeners)
        self._store = store
        self._jobs: JobQueue | None = None
        self._lock = threading.Lock()

    # --- one backtest, as a call ---

    def run(
        self,
        request: BacktestRequest,
        cancel: CancelToken | None = None,
        *,
        listeners: Sequence[EventListener] = (),
        watch: Callable[[BacktestResult], object] = lambda result: None,
    ) -> BacktestResult:
        """Run a backtest to its end.

        Args:
            request: What to run; it is resolved first.
            cancel: Stops it.
            listeners: Receive the events of this backtest, in addition to the manager's own.
            watch: Receives the result so far, each time it grows.

        Returns:
            The result, in the state completed, failed or cancelled; a `BacktestServerError` becomes its error.
        """
        events = self._workspace.events(*self._listeners, *listeners)
        running = RunningBacktest(BacktestResult.of(request), cancel or CancelToken(), events, watch)
        try:
            request = resolve(request)
            running.result = BacktestResult.of(request)
            running.advance()
            running.stop_if_cancelled("began")
            running.advance(data_folder=self._workspace.settings.data_folder)
            engine = None if request.only_data else self._choose_engine(request, running)
            clock = self._workspace.clock
            report, faults = running.timed(DATA_DOWNLOAD, clock, lambda: self._fetch_data(request, engine, running))
            if engine is not None:
                result = running.timed(ENGINE, clock, lambda: engine.run(report, faults))
                running.advance(engine_result=result, progress=None)
            return evolve(running.result, state=JobState.COMPLETED)
        except BacktestServerError as error:
            cancelled = running.cancel.cancelled or isinstance(error, Cancelled)
            state = JobState.CANCELLED if cancelled else JobState.FAILED
            return evolve(running.result, state=state, error=error, progress=None)

    def _fetch_data(
        self, request: BacktestRequest, engine: EnginePhase | None, running: RunningBacktest
    ) -> tuple[DownloadReport, DataFaults]:
        """Download, and check what the engine will read; a repair can save days that could not be downloaded."""
        report = self._check_data_availability(request, running)
        running.advance(download=report)
        if engine is None or report.cancelled or lacks_days(self._workspace.folder, report):
            _refuse_incomplete(report)
        if engine is None:
            return report, DataFaults()
        engine.fetch_benchmark()
        return report, engine.check_data(report, self._downloader(request, running))

    def _check_data_availability(self, request: BacktestRequest, running: RunningBacktest) -> DownloadReport:
        """Download the missing data of a resolved request; if none is missing, no request is sent."""
        return self._downloader(request, running).download(download_request(request), running.cancel)

    def _choose_engine(self, request: BacktestRequest, running: RunningBacktest) -> EnginePhase:
        downloader = self._downloader(request, running)
        return choose_engine_phase(request, self._workspace, running, downloader=downloader, environ=self._environ)

    def _downloader(self, request: BacktestRequest, running: RunningBacktest) -> DataDownloader:
        return self._workspace.downloader(events=running.events, provider=request.provider)

    def engines(self, project: Path | None = None) -> EngineOverview:
        """Return what each engine finds and lacks on this machine, and which one ``auto`` chooses.

        Programs are asked, which takes up to some seconds.

        Args:
            project: The LEAN project to run; None means some Python project.
        """
        from server.engines.choose import engine_overview

        settings, secrets = self._workspace.settings, self._workspace.secrets()
        return engine_overview(settings, environ=self._environ, secrets=secrets, project=project)

    # --- jobs ---

    @property
    def jobs(self) -> JobQueue:
        """The job queue; its workers start on first use."""
        with self._lock:
            if self._jobs is None:
                self._jobs = JobQueue(self._store or JobStore(None, self._workspace.clock), self._work)
            return self._jobs

    def submit(self, request: BacktestRequest, retry_of: str | None = None) -> str:
        """Queue a backtest with everything it needs resolved now, so that a retry runs the same.

        Args:
            request: What to run.
            retry_of: The job that this one repeats.

        Returns:
            The id of the new job.

        Raises:
            ConfigurationError: The request lacks a value that the project does not give either.
        """
        request = self._with_settings(resolve(request))
        return self.jobs.submit("download" if request.only_data else "backtest", to_json(request), retry_of).id

    def _with_settings(self, request: BacktestRequest) -> BacktestRequest:
        """Fill in the provider and the engine that the settings choose."""
        settings = self._workspace.settings
        engine = None if request.only_data else request.engine or settings.engine
        return evolve(request, engine=engine, provider=request.provider or settings.chosen_provider.name)

    def retry(self, identity: str) -> str:
        """Queue the same backtest again; days that it downloaded are on disk already.

        Returns:
            The id of the new job.

        Raises:
            KeyError: No job has this id.
            ConfigurationError: A request that an earlier version stored unresolved can no longer be resolved, or the
                stored request is damaged.
        """
        try:
            request = from_json(self.status(identity).request, BacktestRequest)
        except ValueError as error:
            raise ConfigurationError(f"the stored request of job {identity} is damaged; start a new one") from error
        return self.submit(request, retry_of=identity)

    def status(self, identity: str) -> Job:
        """Return a job; its result is a `BacktestResult` in JSON's types.

        Raises:
            KeyError: No job has this id.
        """
        return self.jobs.store.get(identity)

    def cancel(self, identity: str) -> Job:
        """Cancel a job; files that it has written are kept. It ends in under two seconds, in LEAN within its graces.

        Raises:
            KeyError: No job has this id.
        """
        return self.jobs.cancel(identity)

    def close(self) -> None:
        """Stop all jobs and wait for them."""
        if self._jobs is not None:
            self._jobs.close()
            if self._store is None:
                self._jobs.store.close()

    def _work(self, job: Job, handle: JobHandle) -> tuple[JobState, Mapping[str, Any]]:
        result = self.run(
            from_json(job.request, BacktestRequest),
            handle.cancel,
            listeners=[lambda event: handle.emit(event_json(event))],
            watch=lambda result: handle.update(_job_result(result)),
        )
        return result.state, _job_result(result)


def _job_result(result: BacktestResult) -> dict[str, Any]:
    """Return the result as the job store has it: with the name of the engine, and with its progress while it runs."""
    progress = {"progress": to_json(result.progress)} if result.progress else {}
    return {**to_json(result), "engine_name": result.engine_name, **progress}


def _refuse_incomplete(report: DownloadReport) -> None:
    """Raise if days are missing: LEAN would run without them and report figures that are wrong."""
    if report.cancelled:
        raise Cancelled("the backtest was stopped while its data was fetched; run it again to go on")
    if not report.complete:
        first = report.failures[0]
        raise DownloadError(
            f"{report.days_failed} of {report.days_requested} symbol-days could not be had, so the backtest was not "
            f"run; {first.symbol}: {first.error}",
            series=first.series,
            days=first.days,
        )
