"""Finds bars whose time is not the start of a bar, and the days that they may belong to. Pure.

A bar of seconds or minutes starts on a multiple of its length, a daily bar at New York midnight. The 16:00 of the daily
bars in the vendor's grouped responses, which cover a whole market, is not valid here.
"""

from __future__ import annotations

import functools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from server.lean.days import MS_PER_DAY, midnights
from server.lean.layout import layout_of
from server.lean.row_rendering import instant_text
from server.plugins.polygon_provider.windows import Window

Times = npt.NDArray[np.float64]


def misplaced_bars(time: Times, window: Window) -> npt.NDArray[np.bool_]:
    """Return which bars do not begin where a bar of the series begins.

    Args:
        time: Milliseconds since 1970 UTC, within the window or NaN where the bar has no time.
        window: The request.
    """
    starts = _day_starts(window.first, window.last)
    bars_of_day = (time - starts[_places(time, starts)]) / layout_of(window.series).bar_ms
    misplaced: npt.NDArray[np.bool_] = bars_of_day != np.floor(bars_of_day)  # a remainder takes ten times as long
    return misplaced


def days_of_misplaced_bars(time: Times, misplaced: npt.NDArray[np.bool_], window: Window) -> dict[date, str]:
    """Return the wanted days that a misplaced bar may belong to, each with what is wrong with the bar.

    That is the day of its time, if this is between the days of its neighbours in the response, and else every day
    between those: the bar may be of any of them.

    Args:
        time: The times of all bars, in the order of the response.
        misplaced: Which of them are misplaced.
        window: The request.
    """
    starts = _day_starts(window.first, window.last)
    places = _places(time, starts)
    good = np.flatnonzero(~misplaced)
    found: dict[date, str] = {}
    for row in np.flatnonzero(misplaced).tolist():
        after = int(np.searchsorted(good, row))
        neighbours = [_day(window, places[good[at]]) if 0 <= at < len(good) else None for at in (after - 1, after)]
        stamped = None if np.isnan(time[row]) else _day(window, places[row])
        for day in _possible_days(window, neighbours[0], neighbours[1], stamped):
            found.setdefault(day, _reason(window, float(time[row])))
        if len(found) == len(window.wanted):
            break
    return found


def _possible_days(window: Window, before: date | None, after: date | None, stamped: date | None) -> Sequence[date]:
    """Return the wanted days that a bar between bars of two days may belong to; a day has one daily bar."""
    wanted = window.wanted
    several = layout_of(window.series).bar_ms < MS_PER_DAY
    first = 0 if before is None else (bisect_left if several else bisect_right)(wanted, before)
    end = len(wanted) if after is None else (bisect_right if several else bisect_left)(wanted, after)
    at = len(wanted) if stamped is None else bisect_left(wanted, stamped)
    own = [day for day in wanted[at : at + 1] if day == stamped]
    return own if own and first <= at < end else wanted[first:end] or own


def _reason(window: Window, time: float) -> str:
    if np.isnan(time):
        return "a bar between those of its neighbouring days has no time: it is missing or not a number"
    kind = window.series.resolution.value
    return f"a bar begins at {instant_text(int(time))} (t {time:.15g}), which is not the start of a {kind} bar"


def _places(time: Times, starts: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Return for each time the index of its day in the window."""
    return np.searchsorted(starts, time, side="right") - 1


def _day(window: Window, place: int) -> date:
    return window.first + timedelta(days=int(place))


@functools.lru_cache(maxsize=64)
def _day_starts(first: date, last: date) -> npt.NDArray[np.float64]:
    """Return the midnights of all days from first to last, to subtract times with NaN from."""
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return midnights(days).astype(np.float64)
