"""Which share a ticker is, by all map files, and the share's map and factor rows, as LEAN looks them up.

``AddEquity`` takes a ticker for the share that has it today, or had it last, whatever the range of the algorithm
(LEAN: ``SecurityIdentifier.GetFirstTickerAndDate``, ``MapFileResolver.ResolveMapFile``).
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import TypeVar

from attrs import frozen

from server.lean.errors import FormatError
from server.lean.factor_file import FactorRow, parse_factor_file
from server.lean.feed.files import FeedFiles
from server.lean.feed.items import Loss, LossKind
from server.lean.layout import FACTOR_FILES, MAP_FILES
from server.lean.map_file import MapRow, parse_map_file, ticker_on
from server.lean.series import symbol_problem
from server.lean.text_lines import LAST_DATE, excerpt

_NO_DATE = date(1899, 12, 30)
"""The date of a share without a map file (LEAN: ``SecurityIdentifier.DefaultDate``)."""

_EARLIEST = date.min + timedelta(days=1)

_HOLDER = re.compile(r"\.\d+$")
_NOT_READ = re.compile(r"(?:con|prn|prn\.1)\.csv$")
"""Names that are devices of Windows (LEAN: ``MapFile.GetMapFiles``)."""

Row = TypeVar("Row", FactorRow, MapRow)


@frozen(kw_only=True)
class Share:
    """What LEAN knows of a share.

    Attributes:
        ticker: As the algorithm names it.
        map_path: Its map file.
        map_rows: The rows of it, ascending; empty without a map file.
        factor_path: Its factor file, which has the name of its map file.
        factor_rows: The rows of it, ascending; empty without one.
        has_factor_file: Whether it exists.
        losses: What LEAN ignores of both files.
    """

    ticker: str
    map_path: str
    map_rows: Sequence[MapRow] = ()
    factor_path: str
    factor_rows: Sequence[FactorRow] = ()
    has_factor_file: bool = False
    losses: tuple[Loss, ...] = ()

    @property
    def key(self) -> str:
        """What two tickers of one share have in common (LEAN: its ``SecurityIdentifier``)."""
        return self.map_path if self.map_rows else self.ticker

    def has_data(self, day: date) -> bool:
        """Return whether the map file allows data on a day (LEAN: ``MapFile.HasData``)."""
        return not self.map_rows or self.map_rows[0].date <= day <= self.map_rows[-1].date

    def ticker_on(self, day: date, current: str) -> str:
        """Return the ticker on a day, or the current one on days of which the map file knows nothing."""
        return ticker_on(self.map_rows, day) or current

    @property
    def delisted_on(self) -> date:
        """The last day of the share."""
        return min(self.map_rows[-1].date, LAST_DATE) if self.map_rows else LAST_DATE

    @property
    def first_read_day(self) -> date:
        """The day before which no bar is read (LEAN: ``SubscriptionDataReader``).

        That is the map file's first day, or the day before the factor file's first row if it is later.
        """
        bounds = [self.map_rows[0].date] if self.map_rows else []
        bounds += [max(self.factor_rows[0].date, _EARLIEST) - timedelta(days=1)] if self.factor_rows else []
        return max(bounds, default=date.min)


class MapFiles:
    """All map files of a data folder, which are read once, when a share is first looked up."""

    def __init__(self, files: FeedFiles) -> None:
        """Read nothing.

        Args:
            files: The data folder.
        """
        self.files = files

    @functools.cached_property
    def contents(self) -> Sequence[tuple[str, bytes]]:
        """Name, in capitals, and lower-case content of each file that LEAN reads, in the order of their names."""
        names = (file.removesuffix(".csv") for file in sorted(self.files.names(MAP_FILES)) if file.endswith(".csv"))
        return [
            (name.upper(), (self.files.read(f"{MAP_FILES}/{name}.csv") or b"").lower())
            for name in names
            if not _NOT_READ.search(f"{name}.csv") and not symbol_problem(name)
        ]


def find_share(maps: MapFiles, ticker: str, today: date) -> Share:
    """Return the share that LEAN takes a ticker for.

    Args:
        maps: The map files of the data folder.
        ticker: In capitals.
        today: The day of the run.
    """
    files = maps.files
    name = find_map_file(maps, ticker, today)
    rows, losses, _ = _load(files, f"{MAP_FILES}/{name.lower()}.csv", _parse_tickers)
    name = name if rows else ticker
    factor_path = f"{FACTOR_FILES}/{name.lower()}.csv"
    factor_rows, factor_losses, has_factor_file = _load(files, factor_path, parse_factor_file)
    return Share(
        ticker=ticker,
        map_path=f"{MAP_FILES}/{name.lower()}.csv",
        map_rows=rows,
        factor_path=factor_path,
        factor_rows=factor_rows,
        has_factor_file=has_factor_file,
        losses=(*losses, *factor_losses),
    )


def find_map_file(maps: MapFiles, ticker: str, today: date) -> str:
    """Return the name of the map file of the share that LEAN takes a ticker for, in capitals; it need not exist.

    LEAN looks up the ticker of today first, and then the share's first ticker on its first day.

    Args:
        maps: The map files of the data folder.
        ticker: In capitals.
        today: The day of the run.
    """
    name = _resolve(maps, ticker, today)
    rows, *_ = _load(maps.files, f"{MAP_FILES}/{name.lower()}.csv", _parse_tickers)
    if not rows or rows[0].date > today:
        return _resolve(maps, ticker, _NO_DATE)
    return _resolve(maps, _HOLDER.sub("", rows[0].ticker), rows[0].date)


def _resolve(maps: MapFiles, ticker: str, day: date) -> str:
    """Return the name of the map file that has a ticker on a day: of the first row not before it, else the last one."""
    holders: dict[date, str] = {}
    mark = ticker.lower().encode()
    for name, content in maps.contents:
        if mark in content:
            for row in _parsed(content, parse_map_file)[0]:
                if row.ticker == ticker:
                    holders.setdefault(row.date, name)
    days = sorted(holders)
    return holders[days[min(bisect_left(days, day), len(days) - 1)]] if days else ticker


def _load(
    files: FeedFiles, path: str, parse: Callable[[str], list[Row]]
) -> tuple[Sequence[Row], tuple[Loss, ...], bool]:
    """The rows of a file, what LEAN ignores of it, and whether it exists."""
    content = files.read(path)
    if content is None:
        return (), (), False
    rows, reason = _parsed(content, parse)
    return rows, (Loss(None, None, path, reason, LossKind.DAMAGED),) if reason else (), True


def _parse_tickers(text: str) -> list[MapRow]:
    """Parse a map file, of whose tickers paths are built.

    Raises:
        FormatError: A line cannot be read, or a ticker is not a US equity symbol.
    """
    rows = parse_map_file(text)
    for row in rows:
        problem = symbol_problem(row.ticker)
        if problem:
            raise FormatError(f"the ticker {excerpt(row.ticker)} {problem}")
    return rows


def _parsed(content: bytes, parse: Callable[[str], list[Row]]) -> tuple[Sequence[Row], str]:
    try:
        return parse(content.decode("utf-8", "replace")), ""
    except FormatError as error:
        return (), str(error)
