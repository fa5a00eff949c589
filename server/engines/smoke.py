"""A smoke test of the data: reads the files of a backtest as LEAN reads them, and buys and holds the symbols.

It runs no algorithm and has no fees. It shows that the files exist, can be read and have plausible prices. What LEAN
would feed an algorithm in its default mode decides (see `server.lean.feed`): splits and dividends are in the prices,
and are not applied to holdings as well (LEAN: ``SecurityPortfolioManager.ApplyDividend`` pays only in the modes ``Raw``
and ``SplitAdjusted``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
from attrs import Factory, define, evolve

from server.core.cancel import CancelToken
from server.core.errors import Cancelled
from server.core.text import count_text, list_text
from server.corporate_actions.findings import doubts_about_closes
from server.data_download.feed_files import FolderFiles
from server.data_download.findings import Doubt
from server.engines.base import EngineProgress, EngineRequest, EngineResult
from server.engines.equity import Equity
from server.engines.hold import START_EQUITY, DayPrices, equal_weight_equity, max_drawdown
from server.engines.smoke_notes import raw_notes, share_notes
from server.lean.feed import (
    Dividend,
    FeedReader,
    FeedRequest,
    LossKind,
    Mode,
    ShareFeed,
    Split,
    SplitKind,
    normalize,
)
from server.lean.feed.columns import CLOSE, OPEN, VOLUME, day_of
from server.lean.series import NEW_YORK
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


class _CheckedFiles(FolderFiles):
    """The files of a data folder; those that exist and cannot be opened are remembered."""

    def __init__(self, root: Path, cancel: CancelToken) -> None:
        super().__init__(root)
        self.unreadable: dict[str, str] = {}
        self._cancel = cancel

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file; None where there is no such file, or it cannot be opened.

        Raises:
            Cancelled: The smoke test was cancelled.
        """
        if self._cancel.cancelled:
            raise Cancelled("the smoke test was cancelled")
        try:
            return self.open(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.unreadable[path] = error.strerror or str(error)
            return None


@define
class _Contents:
    """What was read so far.

    Attributes:
        feeds: By symbol.
        sessions: Adjusted prices by symbol and day.
        missing: Files that do not exist.
        damaged: Files that cannot be read, or not whole.
    """

    feeds: dict[str, ShareFeed] = Factory(dict)
    sessions: dict[str, dict[date, DayPrices]] = Factory(dict)
    missing: dict[str, None] = Factory(dict)
    damaged: set[str] = Factory(set)
    notes: list[str] = Factory(list)
    doubts: list[Doubt] = Factory(list)
    bars: int = 0
    unused: int = 0
    files: int = 0


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
        contents = _Contents(sessions={symbol: {} for symbol in request.symbols})
        if request.days:
            self._read(request, contents, cancel, on_line, on_progress)
        equity = Equity(request.days, tuple(equal_weight_equity(contents.sessions, request.days)))
        return _result(request, contents, equity, started_at, self._clock())

    def _read(
        self,
        request: EngineRequest,
        contents: _Contents,
        cancel: CancelToken,
        on_line: Callable[[str], None],
        on_progress: Callable[[EngineProgress], None],
    ) -> None:
        files = _CheckedFiles(request.data_folder, cancel)
        wanted = FeedRequest(
            start=request.days[0],
            end=request.days[-1],
            mode=Mode.ADJUSTED,
            today=self._clock().astimezone(NEW_YORK).date(),
        )
        reader = FeedReader(files, request.resolution, wanted, self._calendar)
        for symbol in request.symbols:
            feed = reader.read(reader.find(symbol))
            contents.feeds[symbol] = feed
            contents.sessions[symbol] = self._sessions(symbol, feed, request, contents)
            _count(symbol, feed, files.unreadable, request, contents)
            on_line(
                f"{symbol}: {len(feed.bars):,} {request.resolution.value} bars in {count_text(len(feed.paths), 'file')}"
            )
            on_progress(EngineProgress(fraction=len(contents.feeds) / len(request.symbols)))

    def _sessions(
        self, symbol: str, feed: ShareFeed, request: EngineRequest, contents: _Contents
    ) -> dict[date, DayPrices]:
        """The adjusted prices of each day's regular session; the raw closes are compared with the events."""
        days = feed.bars.day_numbers
        first = np.flatnonzero(np.diff(days, prepend=-1 << 62))
        last = np.append(first[1:], len(days))[: len(first)] - 1
        found = [day_of(number) for number in days[first].tolist()]
        share = feed.share
        closes: dict[date, Decimal | None] = dict.fromkeys(
            day for day in request.days if share.first_read_day <= day <= share.delisted_on
        )
        closes |= zip(found, (Decimal(repr(close)) for close in feed.bars.numbers[last, CLOSE].tolist()), strict=True)
        contents.doubts += doubts_about_closes(symbol, share.factor_rows, closes, self._calendar)
        numbers = feed.bars.numbers[first]  # of each day one row, with the first open and the last close
        numbers[:, OPEN + 1 : VOLUME] = feed.bars.numbers[last, CLOSE, None]
        adjusted = normalize(evolve(feed.bars[first], numbers=numbers), feed.events, share.factor_rows, Mode.ADJUSTED)
        prices = zip(*adjusted.numbers[:, [OPEN, CLOSE]].T.tolist(), strict=True)
        return {day: DayPrices(*pair) for day, pair in zip(found, prices, strict=True)}


def _count(
    symbol: str, feed: ShareFeed, unreadable: Mapping[str, str], request: EngineRequest, contents: _Contents
) -> None:
    damaged = {loss.path for loss in feed.losses if loss.kind is LossKind.DAMAGED}
    contents.damaged |= damaged | unreadable.keys()
    contents.missing |= dict.fromkeys(path for path in feed.missing if path not in unreadable)
    contents.files += len(feed.paths)
    contents.bars += len(feed.bars)
    contents.unused += feed.bars_outside
    contents.notes += share_notes(symbol, feed, request.days, unreadable)


def _result(
    request: EngineRequest, contents: _Contents, equity: Equity, started_at: datetime, finished_at: datetime
) -> EngineResult:
    values = equity.values
    end = values[-1] if values else START_EQUITY
    moves = [value - before for before, value in pairwise((START_EQUITY, *values))]
    up, down = sum(move > 0 for move in moves), sum(move < 0 for move in moves)
    days = len({day for prices in contents.sessions.values() for day in prices})
    total, fall = end / START_EQUITY - 1, max_drawdown(values)
    events = [event for feed in contents.feeds.values() for event in feed.events]
    splits = sum(isinstance(event, Split) and event.kind is SplitKind.OCCURRED for event in events)
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
        "Splits In Prices": str(splits),
        "Dividends In Prices": str(sum(isinstance(event, Dividend) and event.amount != 0 for event in events)),
        "Symbols With Raw Prices": str(sum(not feed.share.factor_rows for feed in contents.feeds.values())),
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


def _notes(request: EngineRequest, contents: _Contents) -> tuple[str, ...]:
    notes = [NO_FEES if any(feed.share.factor_rows for feed in contents.feeds.values()) else RAW_PRICES]
    notes += raw_notes({symbol: feed.share for symbol, feed in contents.feeds.items()})
    if contents.missing:
        notes.append(f"{count_text(len(contents.missing), 'file')} not found: {list_text(list(contents.missing))}")
    notes += dict.fromkeys(contents.notes)
    idle = [symbol for symbol in request.symbols if not contents.sessions[symbol]]
    if idle:
        notes.append(f"No bars, held as cash: {list_text(idle)}")
    return tuple(notes)


def _hold_return(prices: Mapping[date, DayPrices]) -> str:
    held = list(prices.values())
    bought = next((day.open for day in held if day.open > 0), None)
    return f"{held[-1].close / bought - 1:.3%}" if bought else "-"
