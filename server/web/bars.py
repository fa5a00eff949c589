"""Reads for a chart what LEAN feeds of a symbol, and merges its bars into fewer points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from server.data_download.data_folder import DataFolder
from server.data_download.feed_files import FolderFiles
from server.lean.bars import PRICES, Bars
from server.lean.days import MS_PER_DAY, midnight
from server.lean.feed import Columns, FeedReader, FeedRequest, ShareFeed, TradingCalendar, normalize
from server.lean.feed.columns import VOLUME, day_of
from server.lean.layout import layout_of
from server.lean.series import Resolution, Series
from server.terminal.feed_formats import record

_COLUMNS = ("time", *PRICES, "volume")


def read_bars(
    folder: DataFolder, symbol: str, resolution: Resolution, request: FeedRequest, calendar: TradingCalendar
) -> tuple[list[Bars], ShareFeed]:
    """Read what LEAN feeds of a symbol.

    Args:
        folder: The data folder.
        symbol: The symbol.
        resolution: The length of a bar.
        request: The range, the mode and the hours.
        calendar: The trading calendar.

    Returns:
        The normalized bars of each file, and what else is fed and lost.
    """
    reader = FeedReader(FolderFiles(folder.path), resolution, request, calendar)
    feed = reader.read(reader.find(symbol))
    bars = normalize(feed.bars, feed.events, feed.share.factor_rows, request.mode)
    return list(_by_file(bars, one_file=layout_of(Series(symbol, resolution)).one_file)), feed


def _by_file(bars: Columns, *, one_file: bool) -> Iterator[Bars]:
    """The bars of each file, with their start in UTC."""
    days = bars.day_numbers
    changes = np.flatnonzero(np.diff(days)) + 1
    time = np.empty(len(bars), np.int64)
    for rows in np.split(np.arange(len(bars)), changes):
        if len(rows):
            time[rows] = midnight(day_of(int(days[rows[0]]))) + bars.start[rows] % MS_PER_DAY
    breaks = np.flatnonzero(bars.ticker[1:] != bars.ticker[:-1]) + 1 if one_file else changes
    for rows in np.split(np.arange(len(bars)), breaks):
        columns = {name: bars.numbers[rows, place] for place, name in enumerate(PRICES)}
        yield Bars(time=time[rows], volume=bars.numbers[rows, VOLUME], **columns)


def described(feed: ShareFeed, request: FeedRequest) -> dict[str, Any]:
    """Return what an answer says besides the bars: the mode, the events, and what LEAN does not feed."""
    return {
        "mode": request.mode,
        "extended_hours": request.extended_hours,
        "events": [record(event) for event in feed.events],
        "losses": [
            {
                "first_day": loss.first,
                "last_day": loss.last,
                "path": loss.path,
                "kind": loss.kind,
                "reason": loss.reason,
            }
            for loss in feed.losses
        ],
    }


def thinned(parts: Sequence[Bars], points: int) -> dict[str, Any]:
    """Merge bars into about a number of points, each from the same number of bars of one part.

    A point has the first open, highest high, lowest low, last close, total volume and first time of its bars.

    Args:
        parts: The bars, by part.
        points: About how many points at most.

    Returns:
        The columns, ``bars_total``, and ``bars_per_point``: the number of bars that a point merges.
    """
    total = sum(len(part) for part in parts)
    size = max(1, -(-total // points))
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for part in parts:
        starts = np.arange(0, len(part), size)
        if not len(starts):
            continue
        ends = np.append(starts[1:], len(part)) - 1
        columns["time"] += part.time[starts].tolist()
        columns["open"] += part.open[starts].tolist()
        columns["high"] += np.maximum.reduceat(part.high, starts).tolist()
        columns["low"] += np.minimum.reduceat(part.low, starts).tolist()
        columns["close"] += part.close[ends].tolist()
        columns["volume"] += np.add.reduceat(part.volume, starts).tolist()
    return {**columns, "bars_total": total, "bars_per_point": size}
