"""Runs backtests: downloads the data, then runs the engine; as a call or as jobs in the background."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import define, evolve

from server.backtest import BacktestRequest, BacktestResult, Phase, download_request, resolve
from server.backtest.events import event_json
from server.backtest.progress import ProgressReports
from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, Cancelled
from server.core.events import Event, EventKind, EventListener, EventStream
from server.core.json import from_json, to_json
from server.data_download.errors import DownloadError
from server.data_download.plan import trading_days
from server.data_download.report import DownloadReport
from server.engines.base import Engine, EngineProgress, EngineRequest, EngineResult
from server.jobs import Job, JobQueue, JobState, JobStore
from server.jobs.queue import JobHandle
from server.workspace import Workspace

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

    def report_progress(self, progress: EngineProgress, added: EngineProgress) -> None:
        """Pass on how far the engine has come, and as an event what is new of it."""
        self.advance(progress=progress)
        self.events.emit(Event(kind="engine_progress", phase=ENGINE, progress=added))


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
            report = self._timed(running, DATA_DOWNLOAD, lambda: self._check_data_availability(request, running))
            running.advance(download=report)
            _refuse_incomplete(report)
            if engine is not None:
                self._stop_if_cancelled(running, "reached its engine")
                _emit(running, "notice", ENGINE, f"the engine is {running.result.engine_choice}")
                result = self._timed(running, ENGINE, lambda: self._run_engine(engine, request, report, running))
                running.advance(engine_result=result, progress=None)
            return evolve(running.result, state=JobState.COMPLETED)
        except BacktestServerError as error:
            cancelled = running.cancel.cancelled or isinstance(error, Cancelled)
            state = JobState.CANCELLED if cancelled else JobState.FAILED
            return evolve(running.result, state=state, error=error, progress=None)

    def _check_data_availability(self, request: BacktestRequest, running: _Running) -> DownloadReport:
        """Download the missing data of a resolved request; if none is missing, no request is sent."""
        downloader = self._workspace.downloader(events=running.events, provider=request.provider)
        return downloader.download(download_request(request), running.cancel)

    def _choose_engine(self, running: _Running, request: BacktestRequest) -> Engine:
        """Choose the engine before the download, so that one that cannot run fails at once."""
        from server.engines.choose import choose_engine

        settings = self._workspace.settings
        engine, why = choose_engine(
            request.engine or settings.engine,
            project=request.project,
            calendar=self._workspace.calendar,
            clock=self._workspace.clock,
            environ=self._environ,
            lean_config=settings.lean_config,
            secrets=self._workspace.secrets(),
        )
        running.advance(engine_choice=why, engine_name=engine.name)
        return engine

    def _run_engine(
        self, engine: Engine, request: BacktestRequest, report: DownloadReport, running: _Running
    ) -> EngineResult:
        wanted = download_request(request)
        end = report.cut_at or wanted.end
        days, _ = trading_days(wanted.start, end, self._workspace.calendar, self._workspace.clock())
        result = engine.run(
            EngineRequest(
                project=request.project,
                symbols=wanted.symbols,
                resolution=wanted.resolution,
                start=wanted.start,
                end=end,
                data_folder=self._workspace.settings.data_folder,
                days=tuple(days),
            ),
            cancel=running.cancel,
            on_line=lambda line: _emit(running, "notice", ENGINE, line),
            on_progress=ProgressReports(running.report_progress),
        )
        findings = self._workspace.findings(wanted.symbols, wanted.start, end)
        return result.with_findings(findings, self._workspace.settings.accepted_doubts)

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
    """Return the result as the job store has it: with the name of the engine, and with its progress while it runs."""
    progress = {"progress": to_json(result.progress)} if result.progress else {}
    return {**to_json(result), "engine_name": result.engine_name, **progress}


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
