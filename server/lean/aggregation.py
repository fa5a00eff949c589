"""Hour bars from minutes, and daily bars from hour bars, as QuantConnect's own are. Pure.

An hour bar holds the trades of the regular session (09:30 to 16:00, or to the early close) and is labelled with the
hour in which it begins, so that the bar of 09:00 holds 09:30 to 10:00; an hour without a trade has no bar. A daily bar
is the aggregate of the day's hour bars and is labelled with midnight (LEAN: ``LeanData.GenerateLine``,
``TradeBarConsolidator``; all daily rows of LEAN's sample data are the aggregate of their hour rows).

Sums of volumes are exact to the 15 significant digits that LEAN prints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import numpy.typing as npt
from attrs import evolve, frozen

from server.lean.bars import Bars
from server.lean.days import MS_PER_DAY, midnights
from server.lean.series import DataType, Resolution, Series

SOURCES: Mapping[Resolution, tuple[Resolution, ...]] = {
    Resolution.HOUR: (Resolution.MINUTE,),
    Resolution.DAILY: (Resolution.HOUR, Resolution.MINUTE),
}
"""What bars of a resolution can be aggregated from, the best first; what a provider delivers is the last."""

AGGREGATED = frozenset({Resolution.HOUR})
"""The resolutions that are aggregated always: a vendor's hour bar of 09:00 contains trades before the session."""

_HOUR_MS = 3_600_000
_FIRST_HOUR_MS, _END_OF_HOURS_MS = 9 * _HOUR_MS, 16 * _HOUR_MS
_MILLION = 1e6
_WHOLE_LIMIT = 2.0**62
"""Sums below this fit int64."""

Instants = npt.NDArray[np.int64]


@frozen(eq=False)
class Sessions:
    """The regular sessions of some trading days, ascending.

    Attributes:
        opens, closes: int64, milliseconds since 1970 UTC; a session ends before its close.
    """

    days: tuple[date, ...]
    opens: Instants
    closes: Instants


def has_kinds(series: Series) -> bool:
    """Whether bars of a series are either a vendor's own or aggregated from the regular session."""
    return series.data_type is DataType.TRADE and series.resolution is Resolution.DAILY


def hours_of(series: Series) -> Series:
    """The hour bars of the same ticker."""
    return evolve(series, resolution=Resolution.HOUR)


def aggregate(bars: Bars, source: Resolution, target: Resolution, sessions: Sessions) -> Bars:
    """Aggregate bars of some trading days.

    Args:
        bars: Ascending and unique in time; those outside the regular sessions are left out.
        source: Their resolution: one of the sources of the target.
        target: The resolution of the result.
        sessions: Of the days of the bars.
    """
    hours = bars if source is Resolution.HOUR else hour_bars(bars, sessions)
    return hours if target is Resolution.HOUR else daily_bars(hours, sessions.days)


def hour_bars(minutes: Bars, sessions: Sessions) -> Bars:
    """Aggregate minutes of regular sessions to hour bars, whose time is their label: 09:00 to 15:00 in New York.

    Args:
        minutes: Minutes, or seconds, of all sessions; those outside the regular sessions are left out.
        sessions: The regular sessions.
    """
    place = np.searchsorted(sessions.opens, minutes.time, side="right") - 1
    inside = place >= 0
    inside[inside] = minutes.time[inside] < sessions.closes[place[inside]]
    regular = minutes[inside]
    return _aggregated(regular, regular.time - regular.time % _HOUR_MS)  # New York differs from UTC by whole hours


def daily_bars(hours: Bars, days: Sequence[date]) -> Bars:
    """Aggregate hour bars to daily bars, whose time is midnight in New York.

    Args:
        hours: Hour bars, all of them within the days.
        days: Trading days, ascending.
    """
    if not len(hours):
        return hours
    starts = midnights(days)
    return _aggregated(hours, starts[np.searchsorted(starts, hours.time, side="right") - 1])


def regular_days(hours: Bars, days: Sequence[date]) -> list[date]:
    """The days that have hour bars, all of them labelled 09:00 to 15:00: other programs also write extended hours.

    Args:
        hours: Hour bars, of any days.
        days: Trading days, ascending.
    """
    if not len(hours) or not days:
        return []
    starts = midnights(days)
    edges = [np.searchsorted(hours.time, starts + offset) for offset in (0, _FIRST_HOUR_MS, _END_OF_HOURS_MS)]
    begin, first, last, end = *edges, np.searchsorted(hours.time, starts + MS_PER_DAY)
    regular = (begin == first) & (last == end) & (end > begin)
    return [day for day, has in zip(days, regular.tolist(), strict=True) if has]


def joined(parts: Sequence[Bars]) -> Bars:
    """Bars of several ranges as one; the ranges ascend, and there is at least one."""
    if len(parts) == 1:
        return parts[0]
    names = ("time", "open", "high", "low", "close", "volume")
    return Bars(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _aggregated(bars: Bars, labels: Instants) -> Bars:
    """One bar for each run of equal labels."""
    if not len(bars):
        return bars
    first = np.flatnonzero(np.diff(labels, prepend=labels[0] - 1))
    last = np.append(first[1:], len(labels)) - 1
    return Bars(
        time=labels[first],
        open=bars.open[first],
        high=np.maximum.reduceat(bars.high, first),
        low=np.minimum.reduceat(bars.low, first),
        close=bars.close[last],
        volume=_sums(bars.volume, first),
    )


def _sums(volume: npt.NDArray[np.float64], first: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """The sum of each run that begins at one of these rows.

    Adding doubles one after the other accumulates errors that reach the 15th digit. Volumes of at most six decimal
    places are added as whole numbers of millionths, others by `math.fsum`, which rounds once.
    """
    millionths = np.rint(volume * _MILLION)
    if (millionths / _MILLION == volume).all() and millionths.sum() < _WHOLE_LIMIT:
        return np.add.reduceat(millionths.astype(np.int64), first) / _MILLION
    return np.array([math.fsum(part.tolist()) for part in np.split(volume, first[1:])])
