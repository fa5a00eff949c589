"""Bars from LEAN's files for a chart, thinned without lying."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from server.data_download.data_folder import DataFolder
from server.lean.bars import PRICES, Bars
from server.lean.days import midnight
from server.lean.layout import relative_path
from server.lean.parse import parse_csv
from server.lean.series import Resolution
from server.lean.zip import FormatError, first_member

_COLUMNS = ("time", *PRICES, "volume")


def read_bars(folder: DataFolder, symbol: str, resolution: Resolution, days: Sequence[date]) -> list[Bars]:
    """The bars of these days as they are on disk, a day each; days without a readable file are left out."""
    if resolution is Resolution.DAILY:
        bars = _read(folder, symbol, resolution, None)
        if bars is None:
            return []
        wanted = np.isin(bars.time, [midnight(day) for day in days])
        return [Bars(**{name: getattr(bars, name)[wanted] for name in _COLUMNS})]
    found = (_read(folder, symbol, resolution, day) for day in days)
    return [bars for bars in found if bars is not None]


def _read(folder: DataFolder, symbol: str, resolution: Resolution, day: date | None) -> Bars | None:
    try:
        data = (folder.path / relative_path(symbol, resolution, day)).read_bytes()
        return parse_csv(first_member(data)[1], resolution, day)
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
