"""New York days as instants."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import date, datetime

import numpy as np
import numpy.typing as npt

from server.lean.bars import Bars
from server.lean.series import NEW_YORK

MS_PER_DAY = 86_400_000
"""From the midnight at which a trading day begins to the next: clocks change on Sundays."""


@functools.lru_cache(maxsize=16_384)
def midnight(day: date) -> int:
    """The New York midnight at which the day begins, in milliseconds since 1970 UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).timestamp()) * 1000


def day_of_number(number: int) -> date | None:
    """The day that a number yyyyMMdd is, or None if there is no such day."""
    try:
        return date(number // 10_000, number // 100 % 100, number % 100)
    except ValueError:
        return None


def is_instant(number: int) -> bool:
    """Whether a number yyyyMMddHHmm is a day and a time."""
    return day_of_number(number // 10_000) is not None and number // 100 % 100 < 24 and number % 100 < 60


def midnights(days: Sequence[date]) -> npt.NDArray[np.int64]:
    """The New York midnights at which these days begin: int64, milliseconds since 1970 UTC, not to be written to."""
    return _midnights(tuple(days))


@functools.lru_cache(maxsize=64)
def _midnights(days: tuple[date, ...]) -> npt.NDArray[np.int64]:
    found = np.fromiter(map(midnight, days), np.int64, len(days))
    found.flags.writeable = False
    return found


def select_days(bars: Bars, days: Sequence[date]) -> tuple[Bars, list[date]]:
    """The bars of these New York days, which ascend, and those of the days that have any."""
    if not len(bars) or not days:
        return bars[:0], []
    starts = midnights(days)
    first, last = np.searchsorted(bars.time, starts), np.searchsorted(bars.time, starts + MS_PER_DAY)
    having = [day for day, has in zip(days, last > first, strict=True) if has]
    if int((last - first).sum()) == len(bars):
        return bars, having
    return bars[np.concatenate([np.arange(begin, end) for begin, end in zip(first, last, strict=True)])], having
