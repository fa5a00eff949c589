"""The contract of engines: request, result and protocol."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date, datetime
from pathlib import Path
from typing import Any, Protocol

from attrs import evolve, field, frozen

from server.core.cancel import CancelToken
from server.core.errors import ToolFailedError
from server.core.json import json_options
from server.core.text import count_text
from server.data_download.findings import AcceptedDoubt, Doubt, Findings, OtherHolder, joined
from server.engines.equity import Equity
from server.engines.missing_data import MissingFile
from server.engines.results import LeanRun
from server.lean.series import Resolution, parse_symbols

LEAN_ENGINES = ("lean-native", "lean-docker", "lean-cli")
"""The names of the engines that run LEAN, in the order in which they are chosen."""

NOT_TRUSTED = "This result cannot be trusted"
"""How the summary begins where there are doubts about the data."""


@frozen(kw_only=True)
class EngineProgress:
    """How far a running backtest has come.

    Attributes:
        fraction: From 0 to 1; None if unknown.
        equity: The equity curve so far; its last day is the day that the backtest has reached.
        orders: The number of orders so far; None if unknown.
        day: The day that the backtest has reached; by default the last day of the curve.
    """

    fraction: float | None = field(default=None, metadata=json_options(digits=6))
    equity: Equity = field(factory=Equity, metadata=json_options(digits=6))
    orders: int | None = None
    day: date | None = field()

    @day.default
    def _last_day(self) -> date | None:
        return self.equity.dates[-1] if self.equity.dates else None


@frozen(kw_only=True)
class EngineRequest:
    """One backtest whose data is on disk.

    Attributes:
        project: The LEAN project's folder (or its main.py); the smoke test needs none.
        symbols: Parsed, without duplicates.
        start, end: First and last day, both included, New York.
        data_folder: LEAN's data folder.
        days: The trading days from start to end, ascending.

    Raises:
        ValueError: A symbol is not a US equity symbol.
    """

    project: Path | None = None
    symbols: tuple[str, ...] = field(converter=parse_symbols)
    resolution: Resolution
    start: date
    end: date
    data_folder: Path
    days: tuple[date, ...]


@frozen(kw_only=True)
class EngineResult:
    """The result of a backtest.

    Attributes:
        engine: The engine's name.
        summary: Lines of text, the most important first.
        statistics: Figures by name, formatted as the engine formats them.
        equity: The equity curve, one value per day.
        bars: Number of bars that the algorithm received (LEAN: data points).
        days: Number of trading days with data.
        failed_data_requests: Files that it requested and did not find, relative to the data folder; for LEAN without
            those that a folder of trade bars never has.
        duration_s: Duration in seconds.
        results_folder: The folder that the engine wrote, if it wrote one.
        notes: Limitations of the figures.
        other_holders: Earlier holders of the tickers, whose bars are within the range and were not used.
        doubts: What may be wrong about the data within the range.
        verdict: What the result is worth, beginning with ``complete``, ``gaps`` or ``untrusted``.
        missing: The files that LEAN requested and did not get.
        analysis: LEAN's findings about the run, each with ``name``, ``issue``, ``sample`` and ``solutions``.
        lean_run: The results folder as it was read; None from the smoke test.
    """

    engine: str
    summary: tuple[str, ...]
    statistics: dict[str, str]
    equity: Equity = field(factory=Equity, metadata=json_options(digits=6))
    bars: int
    days: int
    failed_data_requests: tuple[str, ...] = ()
    started_at: datetime
    finished_at: datetime
    duration_s: float = field(metadata=json_options(digits=6))
    results_folder: Path | None = None
    notes: tuple[str, ...] = ()
    other_holders: tuple[OtherHolder, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    verdict: str | None = None
    missing: tuple[MissingFile, ...] = ()
    analysis: tuple[dict[str, Any], ...] = ()
    lean_run: LeanRun | None = field(default=None, repr=False, metadata=json_options(omit=True))

    def with_findings(self, findings: Findings, accepted: Collection[AcceptedDoubt]) -> EngineResult:
        """Return the result with what is known about its symbols besides their bars; doubts come first in its summary.

        Args:
            findings: What is known.
            accepted: The doubts that the user accepts, the engine's own included.
        """
        own = Findings(other_holders=self.other_holders, doubts=self.doubts)
        every = joined([own, findings]).accepting(accepted)
        open_doubts = [doubt for doubt in every.doubts if not doubt.accepted]
        warning = [f"{NOT_TRUSTED}: {count_text(len(open_doubts), 'doubt')} about its data"] if open_doubts else []
        return evolve(
            self,
            summary=(*warning, *self.summary),
            notes=(*every.sentences, *self.notes),
            other_holders=every.other_holders,
            doubts=every.doubts,
        )

    @property
    def open_doubts(self) -> tuple[Doubt, ...]:
        """The doubts that the user has not accepted."""
        return tuple(doubt for doubt in self.doubts if not doubt.accepted)


class AlgorithmFailedError(ToolFailedError):
    """The algorithm failed; LEAN left a record of it.

    Attributes:
        run: The results folder as it was read.
    """

    def __init__(self, message: str, run: LeanRun) -> None:
        super().__init__(message)
        self.run = run


class LeanInterruptedError(ToolFailedError):
    """LEAN was interrupted by something else than this program, so there is no result."""


class Engine(Protocol):
    """Runs backtests."""

    @property
    def name(self) -> str:
        """The name that the setting `engine` uses."""

    def run(
        self,
        request: EngineRequest,
        *,
        cancel: CancelToken,
        on_line: Callable[[str], None],
        on_progress: Callable[[EngineProgress], None] = lambda progress: None,
    ) -> EngineResult:
        """Run the backtest to its end.

        Args:
            request: The backtest.
            cancel: Stops it.
            on_line: Receives lines of text while it runs, from any thread.
            on_progress: Receives how far it has come, from any thread, at most about once a second.

        Raises:
            ToolMissingError: A program that it needs is not installed.
            ToolFailedError: The backtest failed; the message says why.
            ConfigurationError: The engine cannot run this request.
            Cancelled: It was cancelled.
        """
