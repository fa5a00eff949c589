"""A share as LEAN has it by its map file and its factor file: which ticker, which days, and how prices are adjusted.

In LEAN's default mode, ``Adjusted``, prices are multiplied with both factors and dividends and splits are **not**
applied to what is held besides (LEAN: ``SecurityPortfolioManager.ApplyDividend`` pays only in the modes ``Raw`` and
``SplitAdjusted``): the dividend is in the price, and paying it too would count it twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from attrs import frozen

from server.core.text import list_text
from server.corporate_actions.adjust import Fired, fired
from server.corporate_actions.factor_file import FactorRow
from server.corporate_actions.map_file import split_by_ticker
from server.corporate_actions.paths import (
    FACTOR_FILES,
    MAP_FILES,
    load_factor_rows,
    load_map_rows,
)
from server.lean.zip import FormatError

NO_FILE, NO_ROWS, UNREADABLE = "no factor file for", "no rows in the factor file of", "a damaged factor file of"


@frozen(kw_only=True)
class Share:
    """What the two files say of one share.

    Attributes:
        symbol: As it was asked for.
        parts: Tickers with the days of the backtest on which LEAN reads them, ascending.
        rows: Of the factor file; none where LEAN takes all factors as 1.
        events: The dividends and splits that happen from the first to the last of those days.
        raw: Why there are no rows, if there are none: one of `NO_FILE`, `NO_ROWS`, `UNREADABLE`.
        damaged: Files that LEAN passes over or stops at, and why.
    """

    symbol: str
    parts: tuple[tuple[str, tuple[date, ...]], ...]
    rows: tuple[FactorRow, ...] = ()
    events: tuple[Fired, ...] = ()
    raw: str | None = None
    damaged: tuple[str, ...] = ()

    @property
    def days(self) -> tuple[date, ...]:
        """The days that LEAN reads at all."""
        return tuple(day for _, days in self.parts for day in days)


def load_share(data_folder: Path, symbol: str, days: Sequence[date]) -> Share:
    """Read the two files of a share.

    Without a map file, or with one that cannot be read, the share has its one ticker on all days. Days before the map
    file's first row or after its last are not read, nor those before the day that precedes the factor file's first
    row (LEAN: ``CorporateFactorRow.Parse``, ``SubscriptionDataReader``).

    Args:
        symbol: A US equity symbol; the files have its name.
        days: The trading days of the backtest, ascending.

    Raises:
        ValueError: It is no symbol.
    """
    damaged = []
    rows: list[FactorRow] | None = None
    raw: str | None = NO_FILE
    try:
        rows = load_factor_rows(data_folder, symbol)
        raw = raw if rows is None else None if rows else NO_ROWS
    except FormatError as error:
        raw = UNREADABLE
        damaged.append(f"{FACTOR_FILES}/{symbol.lower()}.csv: {error}")
    begin = rows[0].date - timedelta(days=1) if rows else date.min
    wanted = [day for day in days if day >= begin]
    parts = [(symbol, tuple(wanted))] if wanted else []
    try:
        mapped = load_map_rows(data_folder, symbol)
        if mapped and wanted:
            tenures = split_by_ticker(mapped, wanted[0], wanted[-1])
            found = [(ticker, tuple(day for day in wanted if start <= day <= end)) for ticker, start, end in tenures]
            parts = [(ticker, held) for ticker, held in found if held]
    except FormatError as error:
        damaged.append(f"{MAP_FILES}/{symbol.lower()}.csv: {error}")
    events: list[Fired] = []
    try:
        events = fired(rows or (), [day for _, held in parts for day in held])
    except FormatError as error:
        damaged.append(f"{FACTOR_FILES}/{symbol.lower()}.csv: {error}")
    return Share(
        symbol=symbol,
        parts=tuple(parts),
        rows=tuple(rows or ()),
        events=tuple(events),
        raw=raw,
        damaged=tuple(damaged),
    )


def notes_on(shares: Sequence[Share], days: Sequence[date]) -> list[str]:
    """What people should know of these shares before they trust a result: raw prices, renames, days LEAN passes over.

    Args:
        days: The trading days of the backtest, ascending.
    """
    raw: dict[str, list[str]] = {}
    for share in shares:
        if share.raw:
            raw.setdefault(share.raw, []).append(share.symbol)
    notes = [f"raw prices: {why} {list_text(symbols)}" for why, symbols in raw.items()]
    for share in shares:
        for (old, held), (new, _) in zip(share.parts, share.parts[1:], strict=False):
            notes.append(f"{share.symbol} is read as {old} until {held[-1]}, then as {new}, by its map file")
        read = share.days
        if not read:
            notes.append(f"LEAN reads no day of {share.symbol}: its map file or factor file has no row for them")
            continue
        if days[0] < read[0]:
            notes.append(f"LEAN reads {share.symbol} from {read[0]} on, by the first row of its map or factor file")
        if read[-1] < days[-1]:
            notes.append(f"LEAN reads {share.symbol} until {read[-1]}, when its map file has it delisted")
    return notes
