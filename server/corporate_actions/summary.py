"""Summaries of the factor file and the map file of a share on disk. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

from attrs import frozen

from server.corporate_actions.paths import (
    factor_file_path,
    load_factor_rows,
    load_map_rows,
    map_file_path,
    read_text,
)
from server.corporate_actions.verify import factor_fault, map_fault
from server.lean.errors import FormatError
from server.lean.factor_file import FactorRow
from server.lean.map_file import spans_by_ticker
from server.lean.price_adjustment import CorporateEvent, corporate_events
from server.lean.text_lines import LAST_DATE
from server.trading_calendar import USEquityTradingCalendar

_FEW, _MANY = 100, 1000
"""A ratio is shown in whole shares if they are at most this many old and new ones."""

_RATIO_TOLERANCE = Fraction(5, 1_000_000)
"""Relative: some vendors print split factors with six significant digits."""


@frozen(kw_only=True)
class FactorFile:
    """The contents of a factor file.

    Attributes:
        first_day: The first row's date; LEAN reads no data before the preceding day. None without rows.
        events: The events if LEAN visits all trading days, ascending.
        damaged: Why LEAN does not read all of it, or stops at it.
    """

    first_day: date | None = None
    events: tuple[CorporateEvent, ...] = ()
    damaged: str | None = None

    @property
    def splits(self) -> int:
        """The number of splits."""
        return sum(event.split != 1 for event in self.events)

    @property
    def dividends(self) -> int:
        """The number of dividends."""
        return sum(paid(event) for event in self.events)

    @property
    def sentence(self) -> str:
        """For a line on a terminal."""
        if self.damaged:
            return f"factor file damaged: {self.damaged}"
        if self.first_day is None:
            return "factor file without rows"
        newest = f", the newest on {self.events[-1].day}" if self.events else ""
        return (
            f"factor file from {self.first_day}: {_count(self.splits, 'split')}, "
            f"{_count(self.dividends, 'dividend')}{newest}"
        )

    def as_json(self, start: date, end: date) -> dict[str, Any]:
        """In JSON's types, with the events from start to end, both included."""
        return {
            "first_day": str(self.first_day) if self.first_day else None,
            "last_event": str(self.events[-1].day) if self.events else None,
            "splits": self.splits,
            "dividends": self.dividends,
            "events": [
                {
                    "day": str(event.day),
                    "dividend": float(event.distribution) if paid(event) else None,
                    "split": ratio_text(event.split) if event.split != 1 else None,
                }
                for event in self.events
                if start <= event.day <= end
            ],
            "damaged": self.damaged,
        }


@frozen(kw_only=True)
class MapFile:
    """The contents of a map file.

    Attributes:
        tickers: Each with its first and last day, both included, ascending.
        damaged: Why LEAN does not read it, or stops at it.
    """

    tickers: tuple[tuple[str, date, date], ...] = ()
    damaged: str | None = None

    @property
    def delisted(self) -> date | None:
        """The share's last day, if it has one."""
        return self.tickers[-1][2] if self.tickers and self.tickers[-1][2] < LAST_DATE else None

    @property
    def sentence(self) -> str:
        """For a line on a terminal."""
        if self.damaged:
            return f"map file damaged: {self.damaged}"
        if not self.tickers:
            return "map file without rows"
        end = f", until {self.delisted}" if self.delisted else ""
        return "map file: " + ", ".join(f"{ticker} from {first}" for ticker, first, _ in self.tickers) + end

    def as_json(self) -> dict[str, Any]:
        """In JSON's types."""
        return {
            "tickers": [
                {"ticker": ticker, "first_day": str(first), "last_day": str(last) if last < LAST_DATE else None}
                for ticker, first, last in self.tickers
            ],
            "delisted": str(self.delisted) if self.delisted else None,
            "damaged": self.damaged,
        }


@frozen(kw_only=True)
class ShareFiles:
    """The two files of a share; None for a missing one."""

    factor_file: FactorFile | None
    map_file: MapFile | None

    @property
    def sentence(self) -> str:
        """Both, for a line on a terminal."""
        return "; ".join(
            (
                self.factor_file.sentence if self.factor_file else "no factor file",
                self.map_file.sentence if self.map_file else "no map file",
            )
        )

    def as_json(self, start: date, end: date) -> dict[str, Any]:
        """In JSON's types, with the events from start to end, both included."""
        return {
            "factor_file": self.factor_file.as_json(start, end) if self.factor_file else None,
            "map_file": self.map_file.as_json() if self.map_file else None,
        }


def share_files(data_folder: Path, symbol: str, calendar: USEquityTradingCalendar) -> ShareFiles:
    """Return summaries of the two files of a share. A damaged file is part of the result, not raised.

    Args:
        calendar: For the days on which events happen.

    Raises:
        ValueError: It is not a US equity symbol.
    """
    return ShareFiles(factor_file=_factor_file(data_folder, symbol, calendar), map_file=_map_file(data_folder, symbol))


def ratio_text(split: Fraction) -> str:
    """Return a split as new shares for old ones: ``4:1`` for a factor of 1/4, ``1:10`` for 10.

    The factor may be the quotient of two rounded ones, as it is in a file.
    """
    exact = 1 / split
    for most in (_FEW // 10, _FEW):
        near = exact.limit_denominator(most)
        if near.numerator <= _MANY and near and abs(near / exact - 1) <= _RATIO_TOLERANCE:
            return f"{near.numerator}:{near.denominator}"
    return f"{_plain(exact)}:1" if exact >= 1 else f"1:{_plain(split)}"


def paid(event: CorporateEvent) -> bool:
    """Return whether the event is a dividend, even one that is rounded to 0 cents."""
    return event.distribution != 0 or event.split == 1


def _factor_file(data_folder: Path, symbol: str, calendar: USEquityTradingCalendar) -> FactorFile | None:
    try:
        text = read_text(factor_file_path(data_folder, symbol))
        if text is None:
            return None
        fault = factor_fault(text)
        rows = [] if fault else load_factor_rows(data_folder, symbol) or []
        return FactorFile(
            first_day=rows[0].date if rows else None, events=tuple(_events(rows, calendar)), damaged=fault
        )
    except FormatError as error:
        return FactorFile(damaged=str(error))


def _events(rows: Sequence[FactorRow], calendar: USEquityTradingCalendar) -> list[CorporateEvent]:
    first = max(rows[0].date, calendar.first_day) if rows else calendar.last_day
    return corporate_events(rows, calendar.trading_days(first, calendar.last_day)) if first < calendar.last_day else []


def _map_file(data_folder: Path, symbol: str) -> MapFile | None:
    try:
        text = read_text(map_file_path(data_folder, symbol))
        if text is None:
            return None
        fault = map_fault(text)
        rows = [] if fault else load_map_rows(data_folder, symbol) or []
        tickers = spans_by_ticker(rows, rows[0].date, min(rows[-1].date, LAST_DATE)) if rows else []
        return MapFile(tickers=tuple(tickers), damaged=fault)
    except FormatError as error:
        return MapFile(damaged=str(error))


def _plain(number: Fraction) -> str:
    return f"{float(number):.0f}" if number >= _MANY else f"{float(number):.6g}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
