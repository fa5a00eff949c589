"""A backtest from request to result: first its data, then the engine; one at a time or as jobs in the background."""

from __future__ import annotations

import enum
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date, datetime
from pathlib import Path
from typing import Any

from attrs import define, evolve, field, frozen
from loguru import logger

from server.data_download.downloader import trading_days
from server.data_download.errors import ConfigurationError, DataDownloadError, DownloadCancelled
from server.data_download.model import DownloadReport, DownloadRequest, Resolution
from server.data_download.progress import CancelToken, ProgressEvent, ProgressListener, no_progress
from server.engines.base import EngineRequest, EngineResult
from server.project import read_project_parameters
from server.workspace import Workspace

MAX_RUNNING = 2
"""Backtests that run at once; others wait in order."""

DATA_DOWNLOAD = "data_download"
ENGINE = "engine"


@frozen(kw_only=True)
class BacktestRequest:
    """A backtest as it was asked for; what is None is taken from the project's ``config/parameters.py``."""

    project: Path | None = None
    symbols: tuple[str, ...] | None = None
    resolution: Resolution | None = None
    start: date | None = None
    end: date | None = None


class BacktestState(enum.Enum):
    """Where a backtest stands."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@frozen(kw_only=True)
class Phase:
    """One phase that a backtest went through, and how long it took in seconds."""

    name: str
    started_at: datetime
    duration_s: float

    def as_json(self) -> dict[str, Any]:
        """The phase in JSON's types."""
        return {
            "name": self.name,
            "started_at": self.started_at.isoformat(),
            "duration_s": round(self.duration_s, 6),
        }


@frozen(kw_only=True)
class BacktestResult:
    """What became of a backtest.

    Attributes:
        request: With symbols, resolution and days filled in, once they are known.
        phases: `data_download`, then `engine`.
        engine_choice: Which engine ran it and why, in one line.
        error: One sentence on what went wrong and what to do, if it failed.
    """

    state: BacktestState
    request: BacktestRequest
    phases: tuple[Phase, ...] = ()
    download: DownloadReport | None = None
    engine_choice: str | None = None
    engine_result: EngineResult | None = None
    error: DataDownloadError | None = None

    def as_json(self) -> dict[str, Any]:
        """The result in JSON's types."""
        request = self.request
        return {
            "state": self.state.value,
            "project": str(request.project) if request.project else None,
            "symbols": list(request.symbols or ()),
            "resolution": request.resolution.value if request.resolution else None,
            "start": request.start.isoformat() if request.start else None,
            "end": request.end.isoformat() if request.end else None,
            "phases": [phase.as_json() for phase in self.phases],
            "download": self.download.as_json() if self.download else None,
            "engine_choice": self.engine_choice,
            "engine": self.engine_result.as_json() if self.engine_result else None,
            "error": {"code": self.error.code, "message": str(self.error)} if self.error else None,
        }


@define
class _Job:
    result: BacktestResult
    cancel: CancelToken = field(factory=CancelToken)
    turn: Future[None] | None = None


class BacktestManager:
    """Runs backtests over one workspace. Thread-safe."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        environ: Mapping[str, str],
        listener: ProgressListener = no_progress,
        on_report: Callable[[DownloadReport], object] = lambda report: None,
    ) -> None:
        """`environ` is where the engine finds its programs; `listener` is told of phases and of the download."""
        self._workspace = workspace
        self._environ = environ
        self._listener = listener
        self._on_report = on_report
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(MAX_RUNNING, thread_name_prefix="backtest")

    # --- one backtest, here and now ---

    def run(self, request: BacktestRequest, cancel: CancelToken | None = None) -> BacktestResult:
        """Run a backtest to its end. What goes wrong stands in the result; nothing of ours is raised."""
        return self._run(_Job(BacktestResult(state=BacktestState.QUEUED, request=request), cancel or CancelToken()))

    def _run(self, job: _Job) -> BacktestResult:
        try:
            request = resolve(job.result.request)
            job.result = evolve(job.result, state=BacktestState.RUNNING, request=request)
            report = self._timed(job, DATA_DOWNLOAD, lambda: self._check_data_availability(request, job.cancel))
            job.result = evolve(job.result, download=report)
            _refuse_incomplete(report)
            result = self._timed(job, ENGINE, lambda: self._run_engine(job, request))
            job.result = evolve(job.result, engine_result=result, state=BacktestState.COMPLETED)
        except DataDownloadError as error:
            cancelled = job.cancel.cancelled or isinstance(error, DownloadCancelled)
            state = BacktestState.CANCELLED if cancelled else BacktestState.FAILED
            job.result = evolve(job.result, state=state, error=error)
        return job.result

    def _check_data_availability(self, request: BacktestRequest, cancel: CancelToken) -> DownloadReport:
        """Make the data of a resolved request be on disk. Where nothing is missing, nothing is sent or started."""
        downloader = self._workspace.downloader(listener=self._listener, on_report=self._on_report)
        return downloader.download(_download_request(request), cancel)

    def _run_engine(self, job: _Job, request: BacktestRequest) -> EngineResult:
        from server.engines.choose import choose_engine

        settings = self._workspace.settings
        engine, why = choose_engine(
            settings.engine,
            project=request.project,
            calendar=self._workspace.calendar,
            clock=self._workspace.clock,
            environ=self._environ,
            lean_config=settings.lean_config,
            secrets=self._workspace.secrets(),
        )
        job.result = evolve(job.result, engine_choice=why)
        self._tell("notice", ENGINE, f"the engine is {why}")
        wanted = _download_request(request)
        days, _ = trading_days(wanted.start, wanted.end, self._workspace.calendar, self._workspace.clock())
        return engine.run(
            EngineRequest(
                project=request.project,
                symbols=wanted.symbols,
                resolution=wanted.resolution,
                start=wanted.start,
                end=wanted.end,
                data_folder=settings.data_folder,
                days=tuple(days),
            ),
            cancel=job.cancel,
            progress=lambda line: self._tell("notice", ENGINE, line),
        )

    def _timed(self, job: _Job, name: str, work: Callable[[], Any]) -> Any:
        if job.cancel.cancelled:
            raise DownloadCancelled(f"the backtest was stopped before its phase {name}")
        self._tell("phase", name, "")
        started_at, started = self._workspace.clock(), time.perf_counter()
        try:
            return work()
        finally:
            phase = Phase(name=name, started_at=started_at, duration_s=time.perf_counter() - started)
            job.result = evolve(job.result, phases=(*job.result.phases, phase))

    def _tell(self, kind: Any, phase: str, message: str) -> None:
        self._listener(ProgressEvent(kind=kind, at=self._workspace.clock(), phase=phase, message=message))

    # --- jobs ---

    def submit(self, request: BacktestRequest) -> str:
        """Queue a backtest; returns its id.

        Raises:
            ConfigurationError: The request lacks something that the project does not give either.
        """
        resolve(request)
        identity = uuid.uuid4().hex[:12]
        job = _Job(BacktestResult(state=BacktestState.QUEUED, request=request))
        with self._lock:
            self._jobs[identity] = job
            job.turn = self._pool.submit(self._run_job, job)
        return identity

    def _run_job(self, job: _Job) -> None:
        try:
            self._run(job)
        except Exception as error:
            logger.opt(exception=error).error("a backtest ended unexpectedly")
            why = DataDownloadError(f"the backtest ended unexpectedly ({type(error).__name__}); the log says more")
            job.result = evolve(job.result, state=BacktestState.FAILED, error=why)

    def status(self, identity: str) -> BacktestResult:
        """Where a job stands, and in the end its result.

        Raises:
            KeyError: There is no such job.
        """
        with self._lock:
            return self._jobs[identity].result

    def cancel(self, identity: str) -> None:
        """Stop a job; what it has written stays. It reaches the state cancelled in under two seconds.

        Raises:
            KeyError: There is no such job.
        """
        with self._lock:
            job = self._jobs[identity]
        job.cancel.cancel()
        if job.turn and job.turn.cancel():  # it was still waiting for its turn
            why = DownloadCancelled("the backtest was stopped before it began")
            job.result = evolve(job.result, state=BacktestState.CANCELLED, error=why)

    def close(self) -> None:
        """Stop all jobs and wait for them."""
        with self._lock:
            for job in self._jobs.values():
                job.cancel.cancel()
        self._pool.shutdown()


def resolve(request: BacktestRequest) -> BacktestRequest:
    """Fill in from the project what the request leaves open; the resolution is minute where nobody says.

    Raises:
        ConfigurationError: Something is missing, and where to give it.
    """
    asked = {"symbols": request.symbols, "start": request.start, "end": request.end, "resolution": request.resolution}
    given = [name for name, value in asked.items() if value is not None]
    missing = [name for name in ("symbols", "start", "end") if name not in given]
    if request.project is not None and (missing or request.resolution is None):
        parameters = read_project_parameters(request.project, skip=given)
        request = evolve(request, **{name: getattr(parameters, name) for name, value in asked.items() if value is None})
        missing = [name for name in missing if getattr(request, name) is None]
        if missing:
            flags = " and --".join(missing)
            raise ConfigurationError(
                f"{parameters.source} gives no {' and no '.join(missing)}; add it there or give --{flags}"
            )
    if missing:
        raise ConfigurationError(
            f"a backtest without a project needs --{', --'.join(missing)}; "
            "or name a LEAN project with config/parameters.py"
        )
    resolved = evolve(request, resolution=request.resolution or Resolution.MINUTE)
    _download_request(resolved)
    return resolved


def _download_request(request: BacktestRequest) -> DownloadRequest:
    assert request.symbols is not None  # noqa: S101 - resolved before
    assert request.resolution is not None  # noqa: S101
    assert request.start is not None  # noqa: S101
    assert request.end is not None  # noqa: S101
    try:
        return DownloadRequest(
            symbols=request.symbols, resolution=request.resolution, start=request.start, end=request.end
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _refuse_incomplete(report: DownloadReport) -> None:
    """A backtest over missing data would come to figures that mean nothing; LEAN itself would not say so."""
    if report.cancelled:
        raise DownloadCancelled("the backtest was stopped while its data was fetched; run it again to go on")
    if not report.complete:
        first = report.failures[0]
        raise DataDownloadError(
            f"{report.days_failed} of {report.days_requested} symbol-days could not be had, so the backtest was not "
            f"run; {first.symbol}: {first.error}",
            symbol=first.symbol,
            resolution=first.resolution,
            days=first.days,
        )
