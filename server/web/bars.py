"""Bars from LEAN's files for a chart, thinned without lying."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from server.data_download.data_folder import DataFolder
from server.lean.bars import PRICES, Bars
from server.lean.days import select_days
from server.lean.errors import FormatError
from server.lean.layout import layout_of
from server.lean.series import Series
from server.lean.zip import first_member

_COLUMNS = ("time", *PRICES, "volume")


def read_bars(folder: DataFolder, series: Series, days: Sequence[date]) -> list[Bars]:
    """The bars of these days as they are on disk, a file each; files that cannot be read are left out."""
    found = (_read(folder, series, day) for day in layout_of(series).files(days))
    return [select_days(bars, days) for bars in found if bars is not None]


def _read(folder: DataFolder, series: Series, day: date | None) -> Bars | None:
    layout = layout_of(series)
    try:
        data = (folder.path / layout.path(day)).read_bytes()
        return layout.parse(first_member(data)[1], day)
    except (OSError, FormatError):
        return None


def thinned(parts: Sequence[Bars], points: int) -> dict[str, Any]:
    """At most about so many points: each stands for the same number of bars of one part.

    A point has the first open, the highest high, the lowest low, the last close and all the volume of its bars,
    and the time of the first; ``bars_per_point`` says how many those are.
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
