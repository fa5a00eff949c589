"""What every engine is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from attrs import field, frozen

from server.core.cancel import CancelToken
from server.core.json import json_options
from server.lean.series import Resolution, parse_symbol


class Equity(NamedTuple):
    """The account's worth in dollars at the end of each day."""

    dates: tuple[date, ...] = ()
    values: tuple[float, ...] = ()


def _parsed(symbols: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(parse_symbol(symbol) for symbol in symbols))


@frozen(kw_only=True)
class EngineRequest:
    """One backtest, its data being there.

    Attributes:
        project: The LEAN project's folder (or its main.py); the smoke test needs none.
        symbols: Parsed, repeated ones dropped.
        start, end: First and last day, both included, New York.
        data_folder: LEAN's data folder.
        days: The trading days from start to end, ascending.
        output_folder: Where results go; None lets the engine choose.

    Raises:
        ValueError: A symbol is none.
    """

    project: Path | None = None
    symbols: tuple[str, ...] = field(converter=_parsed)
    resolution: Resolution
    start: date
    end: date
    data_folder: Path
    days: tuple[date, ...]
    output_folder: Path | None = None


@frozen(kw_only=True)
class EngineResult:
    """What a backtest came to.

    Attributes:
        engine: The engine's name.
        summary: Lines for people, the most important first.
        statistics: Figures by name, printed as the engine prints them.
        equity: The equity curve, a value a day.
        bars: Bars the backtest was given (for LEAN: its data points).
        days: Trading days on which it had any data.
        failed_data_requests: Files it asked for and did not find, below the data folder; for LEAN without those
            that a folder of trade bars never holds.
        duration_s: Seconds from start to finish.
        results_folder: What the engine wrote, if it wrote anything.
        notes: What people should know before they trust the figures.
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


class Engine(Protocol):
    """Something that runs a backtest."""

    @property
    def name(self) -> str:
        """What the setting `engine` calls it."""

    def run(self, request: EngineRequest, *, cancel: CancelToken, progress: Callable[[str], None]) -> EngineResult:
        """Run the backtest to its end.

        Args:
            cancel: Stops it as soon as may be.
            progress: Takes lines for people while it runs; may come from another thread.

        Raises:
            ToolMissingError: A program it needs is not there.
            ToolFailedError: The backtest failed; the text says why.
            ConfigurationError: The request does not fit the engine.
            Cancelled: It was cancelled.
        """
