"""Reads bars from LEAN's files for a chart, and merges them into fewer points."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from server.data_download.data_folder import DataFolder
from server.lean.bars import PRICES, Bars
from server.lean.days import select_days
from server.lean.errors import FormatError
from server.lean.irregular import read_as_engine
from server.lean.layout import layout_of
from server.lean.series import Series

_COLUMNS = ("time", *PRICES, "volume")


def read_bars(folder: DataFolder, series: Series, days: Sequence[date]) -> list[Bars]:
    """Read the bars of these days as LEAN reads them; files that cannot be read are omitted.

    Args:
        folder: The data folder.
        series: The series.
        days: Trading days, ascending.

    Returns:
        The bars of each file.
    """
    found = (_read(folder, series, day) for day in layout_of(series).files(days))
    return [select_days(bars, days)[0] for bars in found if bars is not None]


def _read(folder: DataFolder, series: Series, day: date | None) -> Bars | None:
    layout = layout_of(series)
    try:
        data = (folder.path / layout.path(day)).read_bytes()
        return read_as_engine(layout, data, day)[0]
    except (OSError, FormatError):
        return None


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
