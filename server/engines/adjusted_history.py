"""The history of a symbol by its map file and factor file: tickers, days, and factors of its prices.

In LEAN's default mode, ``Adjusted``, prices are multiplied by both factors, and dividends and splits are **not**
applied to holdings as well (LEAN: ``SecurityPortfolioManager.ApplyDividend`` pays only in the modes ``Raw`` and
``SplitAdjusted``): the dividend is in the price, and paying it too would count it twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Literal

from attrs import frozen

from server.core.text import list_text
from server.corporate_actions.paths import load_factor_rows, load_map_rows
from server.data_download.feed_files import FolderFiles
from server.lean.errors import FormatError
from server.lean.factor_file import FactorRow
from server.lean.feed.share import MapFiles, find_map_file
from server.lean.layout import FACTOR_FILES, MAP_FILES
from server.lean.map_file import spans_by_ticker
from server.lean.price_adjustment import CorporateEvent, corporate_events

FactorFileState = Literal["used", "missing", "empty", "damaged"]
"""Whether the rows of a factor file are used, or why it has no usable rows."""


@frozen(kw_only=True)
class AdjustedHistory:
    """The contents of a symbol's two files for the days of a backtest.

    Attributes:
        days_by_ticker: Tickers, each with the days on which LEAN reads its files, ascending.
        rows: Of the factor file; empty if LEAN takes all factors as 1.
        events: The dividends and splits from the first to the last of those days.
        factor_file: The state of the factor file; anything but "used" leaves `rows` empty.
        damaged: Files that LEAN ignores or stops at, each with the reason.
    """

    symbol: str
    days_by_ticker: tuple[tuple[str, tuple[date, ...]], ...]
    rows: tuple[FactorRow, ...] = ()
    events: tuple[CorporateEvent, ...] = ()
    factor_file: FactorFileState = "used"
    damaged: tuple[str, ...] = ()

    @property
    def days(self) -> tuple[date, ...]:
        """The days that LEAN reads."""
        return tuple(day for _, days in self.days_by_ticker for day in days)

    @property
    def is_raw(self) -> bool:
        """Whether prices are not adjusted, since there are no rows."""
        return self.factor_file != "used"


def load_histories(data_folder: Path, symbols: Sequence[str], days: Sequence[date]) -> Iterator[AdjustedHistory]:
    """Read the map and factor files of symbols, one symbol after the other.

    Args:
        data_folder: LEAN's data folder.
        symbols: US equity symbols.
        days: The trading days of the backtest, ascending.

    Raises:
        ValueError: One is not a symbol.
    """
    maps = MapFiles(FolderFiles(data_folder))
    for symbol in symbols:
        yield _load_history(data_folder, maps, symbol, days)


def _load_history(data_folder: Path, maps: MapFiles, symbol: str, days: Sequence[date]) -> AdjustedHistory:
    """Read the map file and the factor file of a symbol: of the share that has the ticker, or had it last.

    Without a map file, or with a damaged one, the symbol is its one ticker on all days. Days before the map file's
    first row or after its last are not read, nor those before the day that precedes the factor file's first row
    (LEAN: ``CorporateFactorRow.Parse``, ``SubscriptionDataReader``).

    Args:
        data_folder: LEAN's data folder.
        maps: Its map files.
        symbol: A US equity symbol.
        days: The trading days of the backtest, ascending.

    Raises:
        ValueError: It is not a symbol.
    """
    damaged: list[str] = []
    name = find_map_file(maps, symbol, date.max)
    factor_path, map_path = (f"{folder}/{name.lower()}.csv" for folder in (FACTOR_FILES, MAP_FILES))
    rows, state = _load_rows(data_folder, name, factor_path, damaged)
    begin = rows[0].date - timedelta(days=1) if rows else date.min
    days_by_ticker = _load_tickers(data_folder, symbol, name, [day for day in days if day >= begin], map_path, damaged)
    events: list[CorporateEvent] = []
    try:
        events = corporate_events(rows, [day for _, ticker_days in days_by_ticker for day in ticker_days])
    except FormatError as error:
        damaged.append(f"{factor_path}: {error}")
    return AdjustedHistory(
        symbol=symbol,
        days_by_ticker=tuple(days_by_ticker),
        rows=tuple(rows),
        events=tuple(events),
        factor_file=state,
        damaged=tuple(damaged),
    )


def _load_rows(data_folder: Path, name: str, path: str, damaged: list[str]) -> tuple[list[FactorRow], FactorFileState]:
    try:
        rows = load_factor_rows(data_folder, name)
    except FormatError as error:
        damaged.append(f"{path}: {error}")
        return [], "damaged"
    if rows is None:
        return [], "missing"
    return rows, "used" if rows else "empty"


def _load_tickers(
    data_folder: Path, symbol: str, name: str, days: Sequence[date], path: str, damaged: list[str]
) -> list[tuple[str, tuple[date, ...]]]:
    unmapped = [(symbol, tuple(days))] if days else []
    try:
        rows = load_map_rows(data_folder, name)
        if not rows or not days:
            return unmapped
        spans = spans_by_ticker(rows, days[0], days[-1])
    except FormatError as error:
        damaged.append(f"{path}: {error}")
        return unmapped
    found = [(span.ticker, tuple(day for day in days if span.first <= day <= span.last)) for span in spans]
    return [(ticker, ticker_days) for ticker, ticker_days in found if ticker_days]


def history_notes(histories: Sequence[AdjustedHistory], days: Sequence[date]) -> list[str]:
    """Return what the user should know before trusting a result: unadjusted prices, renames, days LEAN does not read.

    Args:
        histories: The histories of all symbols.
        days: The trading days of the backtest, ascending.
    """
    raw: dict[FactorFileState, list[str]] = {}
    for history in histories:
        if history.is_raw:
            raw.setdefault(history.factor_file, []).append(history.symbol)
    notes = [_raw_note(state, symbols) for state, symbols in raw.items()]
    for history in histories:
        notes += _range_notes(history, days)
    return notes


def _raw_note(state: FactorFileState, symbols: Sequence[str]) -> str:
    names = list_text(symbols)
    if state == "missing":
        what = f"{names} {'has' if len(symbols) == 1 else 'have'} no factor file"
    else:
        what = f"the factor file of {names} {'has no rows' if state == 'empty' else 'is damaged'}"
    return f"{what}, so prices are not adjusted for splits and dividends"


def _range_notes(history: AdjustedHistory, days: Sequence[date]) -> Iterator[str]:
    symbol, read = history.symbol, history.days
    for (old, old_days), (new, _) in pairwise(history.days_by_ticker):
        yield f"{symbol} is read as {old} until {old_days[-1]}, then as {new}, according to its map file"
    if not read:
        yield f"LEAN reads no day of {symbol}: its map file or factor file has no row for these days"
        return
    if days[0] < read[0]:
        yield f"LEAN reads {symbol} from {read[0]} on, the first row of its map or factor file"
    if read[-1] < days[-1]:
        yield f"LEAN reads {symbol} until {read[-1]}, when it is delisted according to its map file"
