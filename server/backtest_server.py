"""A backtest from request to result: first its data, then the engine; one at a time or as jobs in the background."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import define, evolve

from server.backtest import (
    BacktestRequest,
    BacktestResult,
    Phase,
    download_request,
    event_json,
    resolve,
)
from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, Cancelled
from server.core.events import Event, EventKind, EventListener, EventStream
from server.data_download.errors import DownloadError
from server.data_download.plan import trading_days
from server.data_download.report import DownloadReport
from server.engines.base import Engine, EngineRequest, EngineResult
from server.jobs import Job, JobQueue, JobState, JobStore
from server.jobs.queue import JobHandle
from server.workspace import Workspace

__all__ = ["BacktestManager", "BacktestRequest", "BacktestResult", "JobState", "Phase", "resolve"]

DATA_DOWNLOAD = "data_download"
ENGINE = "engine"

_T = TypeVar("_T")


@define
class _Running:
    """A backtest under way: how far it has come, and who watches."""

    result: BacktestResult
    cancel: CancelToken
    events: EventStream
    watch: Callable[[BacktestResult], object]

    def advance(self, **changes: Any) -> None:
        self.result = evolve(self.result, **changes)
        self.watch(self.result)


class BacktestManager:
    """Runs backtests over one workspace, here and now or as jobs. Thread-safe."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        environ: Mapping[str, str],
        listeners: Sequence[EventListener] = (),
        store: JobStore | None = None,
    ) -> None:
        """Begin with no job running.

        Args:
            environ: Where the engine finds its programs.
            listeners: Receive the events of all backtests.
            store: Where jobs are kept; None keeps them in memory.
        """
        self._workspace = workspace
        self._environ = environ
        self._listeners = tuple(listeners)
        self._store = store
        self._jobs: JobQueue | None = None
        self._lock = threading.Lock()

    # --- one backtest, here and now ---

    def run(
        self,
        request: BacktestRequest,
        cancel: CancelToken | None = None,
        *,
        listeners: Sequence[EventListener] = (),
        watch: Callable[[BacktestResult], object] = lambda result: None,
    ) -> BacktestResult:
        """Run a backtest to its end. What goes wrong stands in the result; nothing of ours is raised.

        Args:
            listeners: Receive the events of this backtest, in addition to the manager's own.
            watch: Receives the result so far, each time it grows.
        """

        events = self._workspace.events(*self._listeners, *listeners)
        started = BacktestResult(state=JobState.RUNNING, request=request)
        running = _Running(started, cancel or CancelToken(), events, watch)
        try:
            request = resolve(request)
            running.advance(request=request)
            self._stop_if_cancelled(running, "began")
            engine = None if request.only_data else self._choose_engine(running, request)
            report = self._timed(running, DATA_DOWNLOAD, lambda: self._check_data_availability(request, running))
            running.advance(download=report)
            _refuse_incomplete(report)
            if engine is not None:
                self._stop_if_cancelled(running, "reached its engine")
                _emit(running, "notice", ENGINE, f"the engine is {running.result.engine_choice}")
                result = self._timed(running, ENGINE, lambda: self._run_engine(engine, request, running))
                running.advance(engine_result=result)
            return evolve(running.result, state=JobState.COMPLETED)
        except BacktestServerError as error:
            cancelled = running.cancel.cancelled or isinstance(error, Cancelled)
            state = JobState.CANCELLED if cancelled else JobState.FAILED
            return evolve(running.result, state=state, error=error)

    def _check_data_availability(self, request: BacktestRequest, running: _Running) -> DownloadReport:
        """Make the data of a resolved request be on disk. Where nothing is missing, nothing is sent or started."""
        downloader = self._workspace.downloader(events=running.events, provider=request.provider)
        return downloader.download(download_request(request), running.cancel)

    def _choose_engine(self, running: _Running, request: BacktestRequest) -> Engine:
        """The engine, before a long download, in case it cannot run."""
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

    def _run_engine(self, engine: Engine, request: BacktestRequest, running: _Running) -> EngineResult:
        wanted = download_request(request)
        days, _ = trading_days(wanted.start, wanted.end, self._workspace.calendar, self._workspace.clock())
        return engine.run(
            EngineRequest(
                project=request.project,
                symbols=wanted.symbols,
                resolution=wanted.resolution,
                start=wanted.start,
                end=wanted.end,
                data_folder=self._workspace.settings.data_folder,
                days=tuple(days),
            ),
            cancel=running.cancel,
            progress=lambda line: _emit(running, "notice", ENGINE, line),
        )

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
        """The queue of jobs; it begins to work when it is first asked for."""
        with self._lock:
            if self._jobs is None:
                self._jobs = JobQueue(self._store or JobStore(None, self._workspace.clock), self._work)
            return self._jobs

    def submit(self, request: BacktestRequest, retry_of: str | None = None) -> str:
        """Queue a backtest; returns its id.

        Raises:
            ConfigurationError: The request lacks something that the project does not give either.
        """
        resolve(request)
        return self.jobs.submit("download" if request.only_data else "backtest", request.as_json(), retry_of).id

    def retry(self, identity: str) -> str:
        """Queue the same backtest again; what the first one wrote is there already. Returns the new job's id.

        Raises:
            KeyError: There is no such job.
        """
        return self.submit(BacktestRequest.from_json(self.status(identity).request), retry_of=identity)

    def status(self, identity: str) -> Job:
        """Where a job stands; its result is that of `BacktestResult.as_json`.

        Raises:
            KeyError: There is no such job.
        """
        return self.jobs.store.get(identity)

    def cancel(self, identity: str) -> Job:
        """Stop a job; what it has written stays. It reaches the state cancelled in under two seconds.

        Raises:
            KeyError: There is no such job.
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
            BacktestRequest.from_json(job.request),
            handle.cancel,
            listeners=[lambda event: handle.tell(event_json(event))],
            watch=lambda result: handle.update(_job_result(result)),
        )
        return result.state, _job_result(result)


def _job_result(result: BacktestResult) -> dict[str, Any]:
    """Return the result as the job store has it: with the name of the engine."""
    return {**result.as_json(), "engine_name": result.engine_name}


def _emit(running: _Running, kind: EventKind, phase: str, message: str) -> None:
    running.events.emit(Event(kind=kind, phase=phase, message=message))


def _refuse_incomplete(report: DownloadReport) -> None:
    """A backtest over missing data would come to figures that mean nothing; LEAN itself would not say so."""
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
