"""A smoke test of the data: reads every file the backtest would read, as LEAN reads it, and buys and holds.

It is not LEAN: no algorithm is run, and there are no fees. It shows that the files are there, open, and hold plausible
prices. Splits, dividends and renames are as in LEAN's default mode, by factor files and map files
(`adjusted_history`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
from attrs import Factory, define, frozen

from server.core.cancel import CancelToken
from server.core.errors import Cancelled
from server.engines.adjusted_history import AdjustedHistory, history_notes, load_history, shortened
from server.engines.base import EngineRequest, EngineResult, Equity
from server.lean.bars import Bars
from server.lean.days import MS_PER_DAY, midnights
from server.lean.errors import FormatError
from server.lean.layout import Layout, layout_of
from server.lean.price_adjustment import adjust_prices
from server.lean.series import Series
from server.lean.zip import first_member
from server.trading_calendar import USEquityTradingCalendar

START_EQUITY = 100_000.0
"""Dollars at the start, as LEAN's default."""

SYMBOLS_SHOWN = 10
"""Up to so many symbols get a line of their own among the statistics."""

NOT_LEAN = "This is a smoke test of the data, not a LEAN backtest: no algorithm was run."
NO_FEES = (
    "Prices are adjusted by factor files as in LEAN's default mode: splits and dividends are in the prices, and no "
    "dividend is paid in cash besides. There are no fees."
)
RAW_PRICES = "Prices are as traded, since no factor file is there: splits and dividends look like price moves. No fees."


@frozen
class DayPrices:
    """One symbol's regular session: first open and last close in dollars, and how many bars there are."""

    open: float
    close: float
    bars: int


@define
class _Reading:
    """What came of reading the files."""

    histories: list[AdjustedHistory] = Factory(list)
    sessions: dict[str, dict[date, DayPrices]] = Factory(dict)
    files: int = 0
    missing: list[str] = Factory(list)
    damaged: list[str] = Factory(list)
    bars: int = 0
    unused: int = 0


class SmokeEngine:
    """The embedded engine. Needs nothing but the data folder."""

    name = "smoke"

    def __init__(self, calendar: USEquityTradingCalendar, clock: Callable[[], datetime]) -> None:
        """Take the calendar, for the end of each session, and the clock (UTC)."""
        self._calendar = calendar
        self._clock = clock

    def run(self, request: EngineRequest, *, cancel: CancelToken, progress: Callable[[str], None]) -> EngineResult:
        """Read every file and hold an equal part of $100,000 of each symbol (see `Engine.run`).

        A file that is missing or damaged is counted and named, as LEAN goes on without it, too.

        Raises:
            Cancelled: It was cancelled.
        """
        started_at = self._clock()
        reading = _Reading()
        for symbol in request.symbols:
            before = reading.bars, reading.files
            history = load_history(request.data_folder, symbol, request.days)
            reading.histories.append(history)
            reading.damaged += history.damaged
            reading.sessions[symbol] = self._read_history(history, request, reading, cancel)
            progress(
                f"{symbol}: {reading.bars - before[0]:,} {request.resolution.value} bars "
                f"in {_count(reading.files - before[1], 'file')}"
            )
        equity = Equity(request.days, tuple(equal_weight_equity(reading.sessions, request.days)))
        return _result(request, reading, equity, started_at, self._clock())

    def _read_history(
        self, history: AdjustedHistory, request: EngineRequest, reading: _Reading, cancel: CancelToken
    ) -> dict[date, DayPrices]:
        """Its adjusted prices, each day from the files of the ticker that it had then."""
        sessions: dict[date, DayPrices] = {}
        for ticker, days in history.days_by_ticker:
            sessions |= self._read_ticker(ticker, days, request, reading, cancel)
        return _adjusted(history, sessions)

    def _read_ticker(
        self, ticker: str, days: Sequence[date], request: EngineRequest, reading: _Reading, cancel: CancelToken
    ) -> dict[date, DayPrices]:
        layout = layout_of(Series(ticker, request.resolution))
        sessions: dict[date, DayPrices] = {}
        for file_day in layout.files(days):
            bars = _read_file(request.data_folder, layout, file_day, reading, cancel)
            if bars is not None:
                sessions |= self._regular_sessions(bars, [file_day] if file_day else days, layout.bar_ms, reading)
        return sessions

    def _regular_sessions(
        self, bars: Bars, days: Sequence[date], bar_ms: int, reading: _Reading
    ) -> dict[date, DayPrices]:
        """The bars that overlap each day's regular session, early closes included.

        Source: LEAN, ``MarketHoursSegment.Overlaps``; a daily bar overlaps its day's session.
        """
        opens = np.array([_milliseconds(self._calendar.session_open(day)) for day in days], np.int64)
        closes = np.array([_milliseconds(self._calendar.session_close(day)) for day in days], np.int64)
        first = np.searchsorted(bars.time, opens - bar_ms, side="right")
        end = np.searchsorted(bars.time, closes, side="left")
        starts = midnights(days)
        held = np.searchsorted(bars.time, starts + MS_PER_DAY) - np.searchsorted(bars.time, starts)
        counts = np.maximum(end - first, 0)
        reading.bars += int(counts.sum())
        reading.unused += int((held - counts).sum())
        return {
            days[at]: DayPrices(float(bars.open[first[at]]), float(bars.close[end[at] - 1]), int(counts[at]))
            for at in np.flatnonzero(counts).tolist()
        }


def _adjusted(history: AdjustedHistory, sessions: Mapping[date, DayPrices]) -> dict[date, DayPrices]:
    prices = np.array([(day.open, day.close) for day in sessions.values()], np.float64).reshape(-1, 2)
    opens, closes = (adjust_prices(history.rows, list(sessions), column) for column in prices.T)
    return {
        day: DayPrices(float(open_), float(close), raw.bars)
        for (day, raw), open_, close in zip(sessions.items(), opens, closes, strict=True)
    }


def _read_file(
    data_folder: Path, layout: Layout, day: date | None, reading: _Reading, cancel: CancelToken
) -> Bars | None:
    if cancel.cancelled:
        raise Cancelled("the smoke test was cancelled", series=layout.series)
    path = layout.path(day)
    try:
        _, content = first_member((data_folder / path).read_bytes())
        bars = layout.parse(content, day)
    except (FileNotFoundError, NotADirectoryError):
        reading.missing.append(path)
        return None
    except FormatError as error:
        reading.damaged.append(f"{path}: {error}")
        return None
    except OSError as error:
        reading.damaged.append(f"{path}: {error.strerror or error}")
        return None
    reading.files += 1
    return bars


def equal_weight_equity(
    sessions: Mapping[str, Mapping[date, DayPrices]], days: Sequence[date], start: float = START_EQUITY
) -> list[float]:
    """What an equal part of the start in each symbol is worth at each day's close, in dollars.

    A symbol is bought, in fractions of a share, at the open of its first bar; until then its part is cash. On a
    day without bars its last close stands.
    """
    part = start / len(sessions) if sessions else start
    worth = dict.fromkeys(sessions, part)
    shares: dict[str, float] = {}
    equity = []
    for day in days:
        for symbol, prices in sessions.items():
            today = prices.get(day)
            if today is None:
                continue
            if symbol not in shares:
                if today.open <= 0:
                    continue
                shares[symbol] = part / today.open
            worth[symbol] = shares[symbol] * today.close
        equity.append(sum(worth.values()) if worth else start)
    return equity


def max_drawdown(values: Sequence[float], start: float = START_EQUITY) -> float:
    """The largest fall from a peak, the start being the first, as a share of that peak (0.1 is 10 %)."""
    peak, deepest = start, 0.0
    for value in values:
        peak = max(peak, value)
        deepest = max(deepest, (peak - value) / peak)
    return deepest


def _result(
    request: EngineRequest, reading: _Reading, equity: Equity, started_at: datetime, finished_at: datetime
) -> EngineResult:
    values = equity.values
    end = values[-1] if values else START_EQUITY
    moves = [value - before for before, value in pairwise((START_EQUITY, *values))]
    up, down = sum(move > 0 for move in moves), sum(move < 0 for move in moves)
    days = len({day for prices in reading.sessions.values() for day in prices})
    total, fall = end / START_EQUITY - 1, max_drawdown(values)
    events = [event for history in reading.histories for event in history.events]
    statistics = {
        "Start Equity": f"{START_EQUITY:.2f}",
        "End Equity": f"{end:.2f}",
        "Total Return": f"{total:.3%}",
        "Max Drawdown": f"{fall:.3%}",
        "Days Up": str(up),
        "Days Down": str(down),
        "Bars": str(reading.bars),
        "Bars Outside Regular Trading": str(reading.unused),
        "Files Read": str(reading.files),
        "Failed Data Requests": str(len(reading.missing)),
        "Damaged Files": str(len(reading.damaged)),
        "Splits In Prices": str(sum(event.split != 1 for event in events)),
        "Dividends In Prices": str(sum(event.distribution != 0 for event in events)),
        "Symbols With Raw Prices": str(sum(history.is_raw for history in reading.histories)),
    }
    if len(request.symbols) <= SYMBOLS_SHOWN:
        statistics |= {f"{symbol} Return": _hold_return(reading.sessions[symbol]) for symbol in request.symbols}
    return EngineResult(
        engine=SmokeEngine.name,
        summary=(
            NOT_LEAN,
            f"{reading.bars:,} {request.resolution.value} bars of regular trading on {_count(days, 'day')}, from "
            f"{_count(reading.files, 'file')}; {len(reading.missing)} missing, {len(reading.damaged)} damaged",
            f"Buy and hold of {shortened(request.symbols)} in equal parts: ${START_EQUITY:,.2f} became ${end:,.2f}, "
            f"return {total:+.2%}, max drawdown {fall:.2%}, {_count(up, 'day')} up, {_count(down, 'day')} down",
        ),
        statistics=statistics,
        equity=equity,
        bars=reading.bars,
        days=days,
        failed_data_requests=tuple(reading.missing),
        started_at=started_at,
        finished_at=finished_at,
        duration_s=(finished_at - started_at).total_seconds(),
        notes=_notes(request, reading),
    )


def _notes(request: EngineRequest, reading: _Reading) -> tuple[str, ...]:
    notes = [RAW_PRICES if all(history.is_raw for history in reading.histories) else NO_FEES]
    notes += history_notes(reading.histories, request.days)
    if reading.missing:
        notes.append(f"{_count(len(reading.missing), 'file')} not found: {shortened(reading.missing)}")
    notes += [f"Damaged, as LEAN would find it: {text}" for text in reading.damaged]
    idle = [symbol for symbol in request.symbols if not reading.sessions[symbol]]
    if idle:
        notes.append(f"No bars at all, kept as cash: {shortened(idle)}")
    return tuple(notes)


def _hold_return(prices: Mapping[date, DayPrices]) -> str:
    held = list(prices.values())
    bought = next((day.open for day in held if day.open > 0), None)
    return f"{held[-1].close / bought - 1:.3%}" if bought else "-"


def _milliseconds(instant: datetime) -> int:
    return int(instant.astimezone(UTC).timestamp()) * 1000


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
