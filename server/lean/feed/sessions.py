"""When LEAN takes the exchange to be open. Times are New York's, without a time zone."""

from __future__ import annotations

import functools
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Protocol

import numpy as np
from attrs import Factory, frozen

from server.lean.feed.columns import Instants, Mask, clock_ms
from server.lean.series import NEW_YORK

PRE_MARKET, OPEN, CLOSE, POST_MARKET = time(4), time(9, 30), time(16), time(20)

WHOLE_DAYS_OF_LEAN = frozenset({date(1998, 11, 27), date(1998, 12, 24), date(1999, 12, 31)})
"""Early closes that LEAN's list lacks (LEAN: ``market-hours-database.json``, Equity-usa-[*])."""

_NEVER = -(1 << 62)
"""The open and close of a session before all others."""

_MARGIN = timedelta(days=15)
"""Days around a range, for the session before it and the one after it."""


class TradingCalendar(Protocol):
    """The part of a trading calendar that is used here."""

    first_day: date
    last_day: date

    def trading_days(self, start: date, end: date) -> list[date]:
        """Return the sessions from start to end, both included."""

    def session_close(self, day: date) -> datetime:
        """Return when the session of a day ends."""


@frozen(eq=False)
class Sessions:
    """The sessions around a range of days.

    Attributes:
        days: The trading days, ascending.
        early_closes: When sessions end that end early.
    """

    days: Sequence[date]
    early_closes: Mapping[date, time] = Factory(dict)

    @classmethod
    def around(cls, calendar: TradingCalendar, start: date, end: date) -> Sessions:
        """Return the sessions of a range and of the days around it, as far as the calendar has them."""
        days = calendar.trading_days(
            min(max(start - _MARGIN, calendar.first_day), calendar.last_day),
            max(min(end + _MARGIN, calendar.last_day), calendar.first_day),
        )
        closes = {day: calendar.session_close(day).astimezone(NEW_YORK).time() for day in days}
        early = {day: at for day, at in closes.items() if at != CLOSE and day not in WHOLE_DAYS_OF_LEAN}
        return cls(days, early)

    def between(self, start: date, end: date) -> Sequence[date]:
        """Return the trading days from start to end, both included."""
        return self.days[bisect_left(self.days, start) : bisect_right(self.days, end)]

    @functools.cached_property
    def _hours(self) -> dict[tuple[date, bool], tuple[datetime, datetime]]:
        found = {}
        for day in self.days:
            close = self.early_closes.get(day)
            for extended in (False, True):
                begin, end = (PRE_MARKET, POST_MARKET) if extended else (OPEN, CLOSE)
                found[day, extended] = datetime.combine(day, begin), datetime.combine(day, close or end)
        return found

    def hours(self, day: date, *, extended: bool = False) -> tuple[datetime, datetime]:
        """Return the open and the close of a trading day; an early close ends the extended hours as well."""
        return self._hours[day, extended]

    @functools.cached_property
    def _bounds(self) -> dict[bool, tuple[Instants, Instants]]:
        hours = [(self.hours(day), self.hours(day, extended=True)) for day in self.days]
        return {
            extended: (
                np.array([clock_ms(pair[extended][0]) for pair in hours], np.int64),
                np.array([clock_ms(pair[extended][1]) for pair in hours], np.int64),
            )
            for extended in (False, True)
        }

    def last_before(self, instants: Instants, *, extended: bool = False) -> tuple[Instants, Instants]:
        """Return the open and close of the last session that begins before each instant, far in the past if none does.

        Source: LEAN, ``LeanData.GetDailyCalendar``.
        """
        opens, closes = self._bounds[extended]
        at = np.searchsorted(opens, instants, side="left")
        return np.append(opens, _NEVER)[at - 1], np.append(closes, _NEVER)[at - 1]

    def overlapping(self, start: Instants, end: Instants, *, extended: bool) -> Mask:
        """Return for each bar whether the exchange is open during it (see `overlaps`)."""
        _, closes = self.last_before(end, extended=extended)
        found: Mask = start < closes
        return found

    def overlaps(self, start: datetime, end: datetime, *, extended: bool) -> bool:
        """Return whether the exchange is open during a bar (LEAN: ``MarketHoursSegment.Overlaps``)."""
        day, last = start.date(), end.date()
        while day <= last:
            hours = self._hours.get((day, extended))
            if hours and hours[0] < end and start < hours[1]:
                return True
            day += timedelta(days=1)
        return False

    def session_before(self, instant: datetime) -> tuple[datetime, datetime] | None:
        """Return the last regular session that begins before an instant (LEAN: ``LeanData.GetDailyCalendar``)."""
        at = bisect_left(self.days, instant.date())
        if at < len(self.days) and self.hours(self.days[at])[0] < instant:
            return self.hours(self.days[at])
        return self.hours(self.days[at - 1]) if at else None

    def next_open(self, instant: datetime, *, extended: bool) -> datetime | None:
        """Return when the exchange opens next, after an instant."""
        at = bisect_left(self.days, instant.date())
        opens = (self.hours(day, extended=extended)[0] for day in self.days[at : at + 2])
        return next((begin for begin in opens if begin > instant), None)
