"""Which of the requested trading days are missing. Pure: what is on disk and what is known come as values."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, timedelta

from attrs import frozen

from server.data_download.ledger import EmptyMark
from server.data_download.model import Gap
from server.lean.series import Resolution
from server.trading_calendar import USEquityTradingCalendar

ASK_AGAIN_AFTER = (timedelta(days=2), timedelta(days=7), timedelta(days=30))
"""When a day without bars is asked for again, after the first, second and third answer: the vendor backfills
whole days up to weeks later. After the last of these it is believed."""


class DayState(enum.Enum):
    """What a trading day of a symbol is to the data folder."""

    PRESENT = "present"
    PROVISIONAL = "provisional"
    EMPTY = "empty"
    DAMAGED = "damaged"
    MISSING = "missing"


@frozen(kw_only=True)
class Holdings:
    """What the data folder and the ledger say about one symbol at one resolution."""

    symbol: str
    resolution: Resolution
    on_disk: AbstractSet[date]
    damaged: AbstractSet[date] = frozenset()
    provisional: AbstractSet[date] = frozenset()
    empty: Mapping[date, EmptyMark]

    def state(self, day: date) -> DayState:
        """The state of one trading day."""
        if day in self.on_disk:
            return DayState.PROVISIONAL if day in self.provisional else DayState.PRESENT
        if day in self.damaged:
            return DayState.DAMAGED
        return DayState.EMPTY if day in self.empty else DayState.MISSING


def ask_again(mark: EmptyMark, now: datetime) -> bool:
    """Whether a day without bars is due to be asked for again."""
    if mark.times > len(ASK_AGAIN_AFTER):
        return False
    return now.timestamp() >= mark.asked_at + ASK_AGAIN_AFTER[mark.times - 1].total_seconds()


def find_gap(days: Sequence[date], holdings: Holdings, now: datetime, calendar: USEquityTradingCalendar) -> Gap | None:
    """The days to fetch, or None if nothing is missing.

    Missing and damaged days, days without bars that are due to be asked for again, and days that were fetched
    before they were settled and are settled now.
    """
    wanted = [day for day in days if day not in holdings.on_disk]
    if holdings.provisional or (wanted and holdings.empty):
        return _find_gap(days, holdings, now, calendar.settled_through(now))
    if not wanted:
        return None
    return Gap(symbol=holdings.symbol, resolution=holdings.resolution, days=tuple(wanted))


def _find_gap(days: Sequence[date], holdings: Holdings, now: datetime, settled_through: date) -> Gap | None:
    wanted: list[date] = []
    refresh: set[date] = set()
    for day in days:
        state = holdings.state(day)
        again = (state is DayState.EMPTY and ask_again(holdings.empty[day], now)) or (
            state is DayState.PROVISIONAL and day <= settled_through
        )
        if again:
            refresh.add(day)
        if again or state in (DayState.MISSING, DayState.DAMAGED):
            wanted.append(day)
    if not wanted:
        return None
    return Gap(symbol=holdings.symbol, resolution=holdings.resolution, days=tuple(wanted), refresh=frozenset(refresh))
