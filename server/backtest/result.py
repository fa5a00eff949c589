"""The result of a backtest: its state, phases, download report, engine result and error."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

from attrs import field, frozen

from server.backtest.request import BacktestRequest
from server.backtest.rounds import Round
from server.core.errors import BacktestServerError
from server.core.json import json_options
from server.data_download.report import DownloadReport
from server.engines.base import EngineProgress, EngineResult
from server.engines.verdict import verdict_word
from server.jobs import JobState
from server.lean.series import Resolution


@frozen(kw_only=True)
class Phase:
    """One phase of a backtest, its start and its duration in seconds."""

    name: str
    started_at: datetime
    duration_s: float = field(metadata=json_options(digits=6))


@frozen(kw_only=True)
class BacktestResult:
    """What a backtest ran and what it produced; grows while it runs.

    Attributes:
        project, symbols, resolution, start, end: Of the resolved request, once it is resolved.
        data_folder: LEAN's data folder; None until the backtest has begun, and in results of earlier versions.
        phases: `data_download`, then `engine`.
        rounds: The runs of LEAN, and what was fetched after each.
        engine_choice: Which engine was chosen and why, in one line.
        engine_name: The name of the chosen engine; not in JSON.
        progress: How far the engine has come while it runs; not in the JSON of a result, but in that of a job.
        error: The error that ended it, if it failed.
    """

    state: JobState
    project: Path | None = None
    symbols: tuple[str, ...] = ()
    resolution: Resolution | None = None
    start: date | None = None
    end: date | None = None
    data_folder: Path | None = None
    phases: tuple[Phase, ...] = ()
    download: DownloadReport | None = None
    rounds: tuple[Round, ...] = ()
    engine_choice: str | None = None
    engine_name: str | None = field(default=None, metadata=json_options(omit=True))
    engine_result: EngineResult | None = field(default=None, metadata=json_options(key="engine"))
    progress: EngineProgress | None = field(default=None, metadata=json_options(omit=True))
    error: BacktestServerError | None = None

    @property
    def verdict_word(self) -> str:
        """The first word of the verdict; empty without one."""
        return verdict_word(self.engine_result.verdict) if self.engine_result else ""

    @classmethod
    def of(cls, request: BacktestRequest) -> BacktestResult:
        """Return the result of a backtest that has only just begun."""
        return cls(
            state=JobState.RUNNING,
            project=request.project,
            symbols=request.symbols or (),
            resolution=request.resolution,
            start=request.start,
            end=request.end,
        )
