"""A smoke test of the data: reads the files of a backtest as LEAN reads them, and buys and holds the symbols.

It runs no algorithm and has no fees. It shows that the files exist, can be read and have plausible prices. Splits,
dividends and renames are applied as in LEAN's default mode, by factor files and map files (see `adjusted_history`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from math import isfinite
from pathlib import Path

import numpy as np
from attrs import Factory, define

from server.core.cancel import CancelToken
from server.core.errors import Cancelled
from server.core.text import count_text, list_text
from server.corporate_actions.findings import doubts_about_closes
from server.data_download.findings import Doubt
from server.engines.adjusted_history import AdjustedHistory, history_notes, load_histories
from server.engines.base import EngineProgress, EngineRequest, EngineResult
from server.engines.equity import Equity
from server.engines.hold import START_EQUITY, DayPrices, equal_weight_equity, max_drawdown
from server.lean.bars import Bars
from server.lean.days import MS_PER_DAY, midnights
from server.lean.errors import FormatError
from server.lean.irregular import read_as_engine
from server.lean.layout import Layout, layout_of
from server.lean.price_adjustment import adjust_prices
from server.lean.series import Series
from server.trading_calendar import USEquityTradingCalendar

SYMBOLS_SHOWN = 10
"""The number of symbols up to which the statistics have a line for each symbol."""

NOT_LEAN = "This is a smoke test of the data, not a LEAN backtest: no algorithm was run."
NO_FEES = (
    "Prices are adjusted by factor files as in LEAN's default mode: splits and dividends are in the prices, and no "
    "dividend is paid in cash. There are no fees."
)
RAW_PRICES = (
    "There are no factor files, so prices are not adjusted: splits and dividends look like price moves. No fees."
)


@define
class _FileContents:
    """The content of the files read so far, and the files that are missing, damaged, or not read whole by LEAN."""

    histories: list[AdjustedHistory] = Factory(list)
    sessions: dict[str, dict[date, DayPrices]] = Factory(dict)
    files: int = 0
    missing: list[str] = Factory(list)
    damaged: list[str] = Factory(list)
    lossy: list[str] = Factory(list)
    bars: int = 0
    unused: int = 0
    doubts: list[Doubt] = Factory(list)


class SmokeEngine:
    """The embedded engine, which needs the data folder only."""

    name = "smoke"

    def __init__(self, calendar: USEquityTradingCalendar, clock: Callable[[], datetime]) -> None:
        """Create the engine.

        Args:
            calendar: Gives the start and end of each session.
            clock: Returns the current instant in UTC.
        """
        self._calendar = calendar
        self._clock = clock

    def run(
        self,
        request: EngineRequest,
        *,
        cancel: CancelToken,
        on_line: Callable[[str], None],
        on_progress: Callable[[EngineProgress], None] = lambda progress: None,
    ) -> EngineResult:
        """Read every file and hold an equal part of $100,000 of each symbol.

        A missing or damaged file is counted and named; LEAN continues without it, too.

        Args:
            request: The backtest.
            cancel: Stops it.
            on_line: Receives a line of text for each symbol.
            on_progress: Receives how far the test has come, after each symbol.

        Returns:
            The result, with the missing files as failed data requests.

        Raises:
            Cancelled: It was cancelled.
        """
        started_at = self._clock()
        contents = _FileContents()
        for history in load_histories(request.data_folder, request.symbols, request.days):
            symbol, before = history.symbol, (contents.bars, contents.files)
            contents.histories.append(history)
            contents.damaged += history.damaged
            contents.sessions[symbol] = self._read_history(history, request, contents, cancel)
            on_line(
                f"{symbol}: {contents.bars - before[0]:,} {request.resolution.value} bars "
                f"in {count_text(contents.files - before[1], 'file')}"
            )
            on_progress(EngineProgress(fraction=len(contents.histories) / len(request.symbols)))
        equity = Equity(request.days, tuple(equal_weight_equity(contents.sessions, request.days)))
        return _result(request, contents, equity, started_at, self._clock())

    def _read_history(
        self, history: AdjustedHistory, request: EngineRequest, contents: _FileContents, cancel: CancelToken
    ) -> dict[date, DayPrices]:
        """Return a share's adjusted prices, each day from the files of its ticker on that day."""
        sessions: dict[date, DayPrices] = {}
        for ticker, days in history.days_by_ticker:
            sessions |= self._read_ticker(ticker, days, request, contents, cancel)
        closes = {day: _close(sessions.get(day)) for day in history.days}
        contents.doubts += doubts_about_closes(history.symbol, history.rows, closes, self._calendar)
        return _adjusted(history, sessions)

    def _read_ticker(
        self, ticker: str, days: Sequence[date], request: EngineRequest, contents: _FileContents, cancel: CancelToken
    ) -> dict[date, DayPrices]:
        layout = layout_of(Series(ticker, request.resolution))
        sessions: dict[date, DayPrices] = {}
        for file_day in layout.files(days):
            bars = _read_file(request.data_folder, layout, file_day, contents, cancel)
            if bars is not None:
                sessions |= self._regular_sessions(bars, [file_day] if file_day else days, layout.bar_ms, contents)
        return sessions

    def _regular_sessions(
        self, bars: Bars, days: Sequence[date], bar_ms: int, contents: _FileContents
    ) -> dict[date, DayPrices]:
        """Return the prices of the bars that overlap each day's regular session, early closes included.

        Source: LEAN, ``MarketHoursSegment.Overlaps``; a daily bar overlaps its day's session.
        """
        opens = np.array([_milliseconds(self._calendar.session_open(day)) for day in days], np.int64)
        closes = np.array([_milliseconds(self._calendar.session_close(day)) for day in days], np.int64)
        first = np.searchsorted(bars.time, opens - bar_ms, side="right")
        end = np.searchsorted(bars.time, closes, side="left")
        starts = midnights(days)
        held = np.searchsorted(bars.time, starts + MS_PER_DAY) - np.searchsorted(bars.time, starts)
        counts = np.maximum(end - first, 0)
        contents.bars += int(counts.sum())
        contents.unused += int((held - counts).sum())
        return {
            days[at]: DayPrices(float(bars.open[first[at]]), float(bars.close[end[at] - 1]))
            for at in np.flatnonzero(counts).tolist()
        }


def _close(prices: DayPrices | None) -> Decimal | None:
    """The raw close of a session; None without one, or where the file has a number of hundreds of digits."""
    return Decimal(str(prices.close)) if prices is not None and isfinite(prices.close) else None


def _adjusted(history: AdjustedHistory, sessions: Mapping[date, DayPrices]) -> dict[date, DayPrices]:
    prices = np.array([(day.open, day.close) for day in sessions.values()], np.float64).reshape(-1, 2)
    opens, closes = (adjust_prices(history.rows, list(sessions), column) for column in prices.T)
    return {
        day: DayPrices(float(open_), float(close)) for day, open_, close in zip(sessions, opens, closes, strict=True)
    }


def _read_file(
    data_folder: Path, layout: Layout, day: date | None, contents: _FileContents, cancel: CancelToken
) -> Bars | None:
    if cancel.cancelled:
        raise Cancelled("the smoke test was cancelled", series=layout.series)
    path = layout.path(day)
    try:
        bars, reading = read_as_engine(layout, (data_folder / path).read_bytes(), day)
    except (FileNotFoundError, NotADirectoryError):
        contents.missing.append(path)
        return None
    except FormatError as error:
        contents.damaged.append(f"{path}: {error}")
        return None
    except OSError as error:
        contents.damaged.append(f"{path}: {error.strerror or error}")
        return None
    if reading is not None and reading.fault:
        contents.damaged.append(f"{path}: {reading.fault}")
    elif reading is not None and reading.lost:
        contents.lossy.append(f"{path} has {reading.notice}")
    contents.files += 1
    return bars


def _result(
    request: EngineRequest, contents: _FileContents, equity: Equity, started_at: datetime, finished_at: datetime
) -> EngineResult:
    values = equity.values
    end = values[-1] if values else START_EQUITY
    moves = [value - before for before, value in pairwise((START_EQUITY, *values))]
    up, down = sum(move > 0 for move in moves), sum(move < 0 for move in moves)
    days = len({day for prices in contents.sessions.values() for day in prices})
    total, fall = end / START_EQUITY - 1, max_drawdown(values)
    events = [event for history in contents.histories for event in history.events]
    statistics = {
        "Start Equity": f"{START_EQUITY:.2f}",
        "End Equity": f"{end:.2f}",
        "Total Return": f"{total:.3%}",
        "Max Drawdown": f"{fall:.3%}",
        "Days Up": str(up),
        "Days Down": str(down),
        "Bars": str(contents.bars),
        "Bars Outside Regular Trading": str(contents.unused),
        "Files Read": str(contents.files),
        "Failed Data Requests": str(len(contents.missing)),
        "Damaged Files": str(len(contents.damaged)),
        "Splits In Prices": str(sum(event.split != 1 for event in events)),
        "Dividends In Prices": str(sum(event.distribution != 0 for event in events)),
        "Symbols With Raw Prices": str(sum(history.is_raw for history in contents.histories)),
    }
    if len(request.symbols) <= SYMBOLS_SHOWN:
        statistics |= {f"{symbol} Return": _hold_return(contents.sessions[symbol]) for symbol in request.symbols}
    return EngineResult(
        engine=SmokeEngine.name,
        summary=(
            NOT_LEAN,
            f"{contents.bars:,} {request.resolution.value} bars of regular trading on {count_text(days, 'day')}, from "
            f"{count_text(contents.files, 'file')}; {len(contents.missing)} missing, {len(contents.damaged)} damaged",
            f"Buy and hold of {list_text(request.symbols)} in equal parts: ${START_EQUITY:,.2f} became ${end:,.2f}, "
            f"return {total:+.2%}, max drawdown {fall:.2%}, {count_text(up, 'day')} up, {count_text(down, 'day')} down",
        ),
        statistics=statistics,
        equity=equity,
        bars=contents.bars,
        days=days,
        failed_data_requests=tuple(contents.missing),
        started_at=started_at,
        finished_at=finished_at,
        duration_s=(finished_at - started_at).total_seconds(),
        notes=_notes(request, contents),
        doubts=tuple(contents.doubts),
    )


def _notes(request: EngineRequest, contents: _FileContents) -> tuple[str, ...]:
    notes = [RAW_PRICES if all(history.is_raw for history in contents.histories) else NO_FEES]
    notes += history_notes(contents.histories, request.days)
    if contents.missing:
        notes.append(f"{count_text(len(contents.missing), 'file')} not found: {list_text(contents.missing)}")
    notes += [f"Damaged, as LEAN would find it: {text}" for text in contents.damaged]
    notes += [f"Not read whole: {text}" for text in contents.lossy]
    idle = [symbol for symbol in request.symbols if not contents.sessions[symbol]]
    if idle:
        notes.append(f"No bars, held as cash: {list_text(idle)}")
    return tuple(notes)


def _hold_return(prices: Mapping[date, DayPrices]) -> str:
    held = list(prices.values())
    bought = next((day.open for day in held if day.open > 0), None)
    return f"{held[-1].close / bought - 1:.3%}" if bought else "-"


def _milliseconds(instant: datetime) -> int:
    return int(instant.astimezone(UTC).timestamp()) * 1000
