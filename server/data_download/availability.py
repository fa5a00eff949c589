"""Which of the requested trading days are missing. Pure: what is on disk and what is recorded come as values."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from server.lean.series import Series

if TYPE_CHECKING:
    from server.data_download.file_check import IrregularFile

ASK_AGAIN_AFTER = (timedelta(days=2), timedelta(days=7), timedelta(days=30))
"""When a day without bars is requested again, after the first, second and third response: the vendor backfills whole
days up to weeks later. After the last of these it counts as empty."""


class DayState(enum.Enum):
    """The state of a trading day of a series in the data folder."""

    PRESENT = "present"
    PROVISIONAL = "provisional"
    EMPTY = "empty"
    DAMAGED = "damaged"
    MISSING = "missing"


@frozen(kw_only=True)
class Gap:
    """Trading days of one series that the host wants: not on disk, not known to be empty.

    Attributes:
        days: Ascending.
        refresh: Those among them that an earlier response left without bars or covered before they were settled; a
            provider must not answer them from a cache.
    """

    series: Series
    days: tuple[date, ...]
    refresh: frozenset[date] = frozenset()

    def narrowed(self, days: Iterable[date]) -> Gap | None:
        """The part of the gap on these days, or None if it is empty."""
        wanted = set(days)
        left = tuple(day for day in self.days if day in wanted)
        return evolve(self, days=left, refresh=self.refresh & wanted) if left else None

    def joined(self, other: Gap) -> Gap:
        """Both gaps of one series as one."""
        return evolve(self, days=tuple(sorted({*self.days, *other.days})), refresh=self.refresh | other.refresh)


@frozen
class EmptyMark:
    """A settled day without bars: when it was last requested (seconds since 1970 UTC), and how often."""

    asked_at: float
    times: int


@frozen(kw_only=True)
class SeriesState:
    """What the data folder and the ledger hold of one series."""

    series: Series
    on_disk: AbstractSet[date]
    damaged: AbstractSet[date] = frozenset()
    provisional: AbstractSet[date] = frozenset()
    empty: Mapping[date, EmptyMark]
    irregular: Sequence[IrregularFile] = ()

    def of(self, day: date) -> DayState:
        """The state of one trading day."""
        if day in self.on_disk:
            return DayState.PROVISIONAL if day in self.provisional else DayState.PRESENT
        if day in self.damaged:
            return DayState.DAMAGED
        return DayState.EMPTY if day in self.empty else DayState.MISSING


def ask_again(mark: EmptyMark, now: datetime) -> bool:
    """Whether a day without bars is due to be requested again.

    A request in the future, which a clock that was ahead has left, does not count: the day may not have been over.
    """
    if mark.asked_at > now.timestamp():
        return True
    if mark.times > len(ASK_AGAIN_AFTER):
        return False
    return now.timestamp() >= mark.asked_at + ASK_AGAIN_AFTER[mark.times - 1].total_seconds()


def find_gap(days: Sequence[date], state: SeriesState, now: datetime, settled_through: date) -> Gap | None:
    """The days to fetch, or None if nothing is missing.

    Missing and damaged days, days without bars that are due to be requested again, and days that were fetched before
    they were settled and are settled now.

    Args:
        days: Trading days, ascending.
        state: What the data folder and the ledger hold.
        now: The instant now, in UTC.
        settled_through: The last settled day.
    """
    wanted = [day for day in days if day not in state.on_disk]
    if state.provisional or (wanted and state.empty):
        return _find_gap(days, state, now, settled_through)
    return Gap(series=state.series, days=tuple(wanted)) if wanted else None


def _find_gap(days: Sequence[date], state: SeriesState, now: datetime, settled_through: date) -> Gap | None:
    wanted: list[date] = []
    refresh: set[date] = set()
    for day in days:
        found = state.of(day)
        again = (found is DayState.EMPTY and ask_again(state.empty[day], now)) or (
            found is DayState.PROVISIONAL and day <= settled_through
        )
        if again:
            refresh.add(day)
        if again or found in (DayState.MISSING, DayState.DAMAGED):
            wanted.append(day)
    return Gap(series=state.series, days=tuple(wanted), refresh=frozenset(refresh)) if wanted else None
