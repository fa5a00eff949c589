"""Summarizes the factor file and the map file of a symbol; reads only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from pathlib import Path

from attrs import frozen

from server.core.text import count_text
from server.corporate_actions.paths import factor_file_path, map_file_path, read_text
from server.corporate_actions.verify import factor_fault, map_fault
from server.lean.errors import FormatError
from server.lean.factor_file import FactorRow, parse_factor_file
from server.lean.map_file import parse_map_file, spans_by_ticker
from server.lean.price_adjustment import CorporateEvent, corporate_events
from server.lean.text_lines import LAST_DATE
from server.trading_calendar import USEquityTradingCalendar

_FEW, _MANY = 100, 1000
"""Largest numbers of old and new shares of a ratio in whole shares."""

_RATIO_TOLERANCE = Fraction(5, 1_000_000)
"""Relative: some vendors print split factors with six significant digits."""


@frozen(kw_only=True)
class FileEvent:
    """What LEAN applies on a day according to a factor file.

    Attributes:
        dividend: Dollars per share; None without a dividend.
        split: New shares for old ones, ``4:1``; None without a split.
    """

    day: date
    dividend: float | None
    split: str | None


@frozen(kw_only=True)
class FactorFile:
    """Content of a factor file.

    Attributes:
        first_day: The first row's day; LEAN reads no data from before the day that precedes it. None without rows.
        last_event: Day of the newest event.
        splits, dividends: Number of events of the whole file.
        events: The events of the requested days, ascending.
        damaged: Why LEAN does not read the whole file, if it does not.
    """

    first_day: date | None = None
    last_event: date | None = None
    splits: int = 0
    dividends: int = 0
    events: tuple[FileEvent, ...] = ()
    damaged: str | None = None

    @property
    def sentence(self) -> str:
        """One line for the terminal."""
        if self.damaged:
            return f"factor file damaged: {self.damaged}"
        if self.first_day is None:
            return "factor file without rows"
        newest = f", the newest on {self.last_event}" if self.last_event else ""
        return (
            f"factor file from {self.first_day}: {count_text(self.splits, 'split')}, "
            f"{count_text(self.dividends, 'dividend')}{newest}"
        )


@frozen(kw_only=True)
class TickerDays:
    """The days, both included, on which a symbol has a ticker; without a last day while it has it."""

    ticker: str
    first_day: date
    last_day: date | None


@frozen(kw_only=True)
class MapFile:
    """Content of a map file.

    Attributes:
        tickers: The tickers, ascending by day.
        delisted: The symbol's last day, if it has one.
        damaged: Why LEAN does not read the whole file, if it does not.
    """

    tickers: tuple[TickerDays, ...] = ()
    delisted: date | None = None
    damaged: str | None = None

    @property
    def sentence(self) -> str:
        """One line for the terminal."""
        if self.damaged:
            return f"map file damaged: {self.damaged}"
        if not self.tickers:
            return "map file without rows"
        end = f", until {self.delisted}" if self.delisted else ""
        return "map file: " + ", ".join(f"{one.ticker} from {one.first_day}" for one in self.tickers) + end


@frozen(kw_only=True)
class ShareFiles:
    """The two files of a symbol; None where the file does not exist."""

    factor_file: FactorFile | None
    map_file: MapFile | None

    @property
    def sentence(self) -> str:
        """Both files in one line for the terminal."""
        return "; ".join(
            (
                self.factor_file.sentence if self.factor_file else "no factor file",
                self.map_file.sentence if self.map_file else "no map file",
            )
        )


def share_files(
    data_folder: Path, symbol: str, calendar: USEquityTradingCalendar, *, start: date, end: date
) -> ShareFiles:
    """Read the two files of a symbol. Damage is part of the result and not raised.

    Args:
        data_folder: LEAN's data folder.
        symbol: The symbol.
        calendar: The trading days, on which events apply.
        start, end: The range whose events are listed, both included; counts are of the whole file.
        start: The first day of the events shown.
        end: The last day of the events shown.

    Raises:
        ValueError: The symbol is not a US equity symbol.
    """
    return ShareFiles(
        factor_file=_factor_file(data_folder, symbol, calendar, start, end), map_file=_map_file(data_folder, symbol)
    )


def ratio_text(split: Fraction) -> str:
    """Write a split as new shares for old ones: ``4:1`` for the factor 1/4, ``1:10`` for 10.

    Args:
        split: The factor of the price, which may be the quotient of two rounded ones, as in a file.
    """
    exact = 1 / split
    for most in (_FEW // 10, _FEW):
        near = exact.limit_denominator(most)
        if near.numerator <= _MANY and near and abs(near / exact - 1) <= _RATIO_TOLERANCE:
            return f"{near.numerator}:{near.denominator}"
    return f"{_plain(exact)}:1" if exact >= 1 else f"1:{_plain(split)}"


def _factor_file(
    data_folder: Path, symbol: str, calendar: USEquityTradingCalendar, start: date, end: date
) -> FactorFile | None:
    try:
        text = read_text(factor_file_path(data_folder, symbol))
        if text is None:
            return None
        fault = factor_fault(text)
        rows = [] if fault else parse_factor_file(text)
        events = _events(rows, calendar)
    except FormatError as error:
        return FactorFile(damaged=str(error))
    return FactorFile(
        first_day=rows[0].date if rows else None,
        last_event=events[-1].day if events else None,
        splits=sum(event.split != 1 for event in events),
        dividends=sum(_pays(event) for event in events),
        events=tuple(_file_event(event) for event in events if start <= event.day <= end),
        damaged=fault,
    )


def _events(rows: Sequence[FactorRow], calendar: USEquityTradingCalendar) -> list[CorporateEvent]:
    first = max(rows[0].date, calendar.first_day) if rows else calendar.last_day
    return corporate_events(rows, calendar.trading_days(first, calendar.last_day)) if first < calendar.last_day else []


def _file_event(event: CorporateEvent) -> FileEvent:
    return FileEvent(
        day=event.day,
        dividend=float(event.distribution) if _pays(event) else None,
        split=ratio_text(event.split) if event.split != 1 else None,
    )


def _pays(event: CorporateEvent) -> bool:
    """Whether the event is a dividend, including one that rounds to 0 cents."""
    return event.distribution != 0 or event.split == 1


def _map_file(data_folder: Path, symbol: str) -> MapFile | None:
    try:
        text = read_text(map_file_path(data_folder, symbol))
        if text is None:
            return None
        fault = map_fault(text)
        rows = [] if fault else parse_map_file(text)
        spans = spans_by_ticker(rows, rows[0].date, min(rows[-1].date, LAST_DATE)) if rows else []
    except FormatError as error:
        return MapFile(damaged=str(error))
    tickers = tuple(
        TickerDays(ticker=ticker, first_day=first, last_day=last if last < LAST_DATE else None)
        for ticker, first, last in spans
    )
    return MapFile(tickers=tickers, delisted=tickers[-1].last_day if tickers else None, damaged=fault)


def _plain(number: Fraction) -> str:
    return f"{float(number):.0f}" if number >= _MANY else f"{float(number):.6g}"
