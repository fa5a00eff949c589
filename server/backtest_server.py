"""Runs backtests: downloads the data, then runs the engine; as a call or as jobs in the background."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, evolve

from server.backtest import BacktestRequest, BacktestResult, Phase, download_request, resolve
from server.backtest.events import event_json
from server.backtest.lean_backtest import DataFaults, LeanBacktest
from server.backtest.rounds import Round
from server.backtest.run_data import RunData
from server.backtest.verdict import smoke_verdict
from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, Cancelled
from server.core.events import Event, EventKind, EventListener, EventStream
from server.core.json import from_json, to_json
from server.data_download.downloader import DataDownloader
from server.data_download.errors import DownloadError
from server.data_download.plan import trading_days
from server.data_download.report import DownloadReport
from server.engines.base import LEAN_ENGINES, Engine, EngineRequest, EngineResult
from server.jobs import Job, JobQueue, JobState, JobStore
from server.jobs.queue import JobHandle
from server.project.algorithm_source import read_algorithm_source
from server.workspace import Workspace

if TYPE_CHECKING:
    from server.engines.choose import EngineOverview

__all__ = ["BacktestManager", "BacktestRequest", "BacktestResult", "JobState", "Phase", "resolve"]

DATA_DOWNLOAD = "data_download"
ENGINE = "engine"

_T = TypeVar("_T")


@define
class _Running:
    """A backtest under way: its result so far, its cancel token and its listeners."""

    result: BacktestResult
    cancel: CancelToken
    events: EventStream
    watch: Callable[[BacktestResult], object]

    def advance(self, **changes: Any) -> None:
        """Add to the result and pass it on."""
        self.result = evolve(self.result, **changes)
        self.watch(self.result)


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
        running = _Running(BacktestResult.of(request), cancel or CancelToken(), events, watch)
        try:
            request = resolve(request)
            running.result = BacktestResult.of(request)
            running.advance()
            self._stop_if_cancelled(running, "began")
            running.advance(data_folder=self._workspace.settings.data_folder)
            engine = None if request.only_data else self._choose_engine(running, request)
            lean = self._lean_backtest(engine, request, running)
            report = self._timed(running, DATA_DOWNLOAD, lambda: self._fetch_data(request, lean, running))
            _refuse_incomplete(report)
            if engine is not None:
                self._stop_if_cancelled(running, "reached its engine")
                _emit(running, "notice", ENGINE, f"the engine is {running.result.engine_choice}")
                result = self._timed(running, ENGINE, lambda: self._run_engine(engine, lean, request, report, running))
                running.advance(engine_result=result)
            return evolve(running.result, state=JobState.COMPLETED)
        except BacktestServerError as error:
            cancelled = running.cancel.cancelled or isinstance(error, Cancelled)
            state = JobState.CANCELLED if cancelled else JobState.FAILED
            return evolve(running.result, state=state, error=error)

    def _fetch_data(self, request: BacktestRequest, lean: LeanBacktest | None, running: _Running) -> DownloadReport:
        report = self._check_data_availability(request, running)
        running.advance(download=report)
        if lean is not None and report.complete and not report.cancelled:
            lean.fetch_benchmark()
        return report

    def _check_data_availability(self, request: BacktestRequest, running: _Running) -> DownloadReport:
        """Download the missing data of a resolved request; if none is missing, no request is sent."""
        return self._downloader(request, running).download(download_request(request), running.cancel)

    def _downloader(self, request: BacktestRequest, running: _Running) -> DataDownloader:
        return self._workspace.downloader(events=running.events, provider=request.provider)

    def _lean_backtest(self, engine: Engine | None, request: BacktestRequest, running: _Running) -> LeanBacktest | None:
        """What a backtest in LEAN needs besides its engine; None for the smoke test and for downloads."""
        if engine is None or engine.name not in LEAN_ENGINES:
            return None
        workspace, wanted = self._workspace, download_request(request)
        return LeanBacktest(
            symbols=wanted.symbols,
            start=wanted.start,
            end=wanted.end,
            source=read_algorithm_source(request.project),
            data=RunData(
                folder=workspace.folder,
                calendar=workspace.calendar,
                clock=workspace.clock,
                downloader=self._downloader(request, running),
                cancel=running.cancel,
            ),
            findings=workspace.findings,
            accepted=workspace.settings.accepted_doubts,
        )

    def _choose_engine(self, running: _Running, request: BacktestRequest) -> Engine:
        """Choose the engine and copy LEAN's reference data, before the download: what cannot run fails at once."""
        from server.engines.choose import choose_engine

        settings = self._workspace.settings
        choice = choose_engine(
            request.engine or settings.engine,
            project=request.project,
            settings=settings,
            calendar=self._workspace.calendar,
            clock=self._workspace.clock,
            environ=self._environ,
            secrets=self._workspace.secrets(),
        )
        running.advance(engine_choice=choice.why, engine_name=choice.engine.name)
        for notice in choice.prepare(settings.data_folder, running.cancel):
            _emit(running, "notice", ENGINE, notice)
        return choice.engine

    def _run_engine(
        self,
        engine: Engine,
        lean: LeanBacktest | None,
        request: BacktestRequest,
        report: DownloadReport,
        running: _Running,
    ) -> EngineResult:
        settings, wanted = self._workspace.settings, download_request(request)
        end = report.cut_at or wanted.end
        days, _ = trading_days(wanted.start, end, self._workspace.calendar, self._workspace.clock())
        engine_request = EngineRequest(
            project=request.project,
            symbols=wanted.symbols,
            resolution=wanted.resolution,
            start=wanted.start,
            end=end,
            data_folder=settings.data_folder,
            days=tuple(days),
        )

        def run_once() -> EngineResult:
            return engine.run(
                engine_request,
                cancel=running.cancel,
                on_line=lambda line: _emit(running, "notice", ENGINE, line),
            )

        def finished(part: Round) -> None:
            running.advance(rounds=(*running.result.rounds, part))
            _emit(running, "notice", ENGINE, part.sentence)

        if lean is not None:
            reruns = settings.lean_reruns if request.fill else 0
            return lean.run(run_once, reruns=reruns, faults=DataFaults(), finished=finished)
        result = run_once().with_findings(
            self._workspace.findings(wanted.symbols, wanted.start, end), settings.accepted_doubts
        )
        return evolve(result, verdict=smoke_verdict(result, result.failed_data_requests))

    def _stop_if_cancelled(self, running: _Running, where: str) -> None:
        if running.cancel.cancelled:
            raise Cancelled(f"the backtest was stopped before it {where}")

    def _timed(self, running: _Running, name: str, work: Callable[[], _T]) -> _T:
        _emit(running, "phase", name, "")
        started_at, started = self._workspace.clock(), time.perf_counter()
        try:
            return work()
        finally:
            phase = Phase(name=name, started_at=started_at, duration_s=time.perf_counter() - started)
            running.advance(phases=(*running.result.phases, phase))

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
            ConfigurationError: A request that an earlier version stored unresolved can no longer be resolved.
        """
        return self.submit(from_json(self.status(identity).request, BacktestRequest), retry_of=identity)

    def status(self, identity: str) -> Job:
        """Return a job; its result is a `BacktestResult` in JSON's types.

        Raises:
            KeyError: No job has this id.
        """
        return self.jobs.store.get(identity)

    def cancel(self, identity: str) -> Job:
        """Cancel a job; files that it has written are kept. It ends in under two seconds.

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
    """Return the result as the job store has it: with the name of the engine."""
    return {**to_json(result), "engine_name": result.engine_name}


def _emit(running: _Running, kind: EventKind, phase: str, message: str) -> None:
    running.events.emit(Event(kind=kind, phase=phase, message=message))


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
