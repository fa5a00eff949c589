"""The files of trade bars that LEAN opens for symbols."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from server.lean.feed.files import FeedFiles
from server.lean.feed.share import MapFiles, find_share
from server.lean.layout import layout_of
from server.lean.series import Resolution, Series


def trade_paths(files: FeedFiles, symbols: Sequence[str], resolution: Resolution, days: Sequence[date]) -> set[str]:
    """Return the paths of the files of trade bars that LEAN feeds from, each under the ticker of its day.

    Args:
        files: The data folder.
        symbols: As the algorithm names them, in capitals.
        resolution: The length of a bar.
        days: The trading days of the backtest.
    """
    maps = MapFiles(files)
    found: set[str] = set()
    for symbol in symbols:
        share = find_share(maps, symbol, date.max)
        for day in days:
            if share.has_data(day) and day >= share.first_read_day:
                layout = layout_of(Series(share.ticker_on(day, symbol), resolution))
                found.add(layout.path(None if layout.one_file else day))
    return found
