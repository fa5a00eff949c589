"""Trading days of US equities: which days are sessions, when they open and close, and when their data are settled.

Holidays and early closes are listed in `us_equity_holidays.txt`. tools/generate_trading_calendar.py writes that file
from exchange_calendars' XNYS, whose sessions from 1998-01-02 on equal LEAN's (LEAN: market-hours-database.json,
Equity-usa-[*]). Days after the file's last year are computed with exchange_calendars, if it is installed.
"""

from __future__ import annotations

import bisect
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from server.core.errors import BacktestServerError
from server.lean.series import NEW_YORK

FIRST_DAY = date(1998, 1, 2)
"""The first session of LEAN's US equity data."""

PRE_MARKET_OPEN = time(4)
REGULAR_OPEN = time(9, 30)
REGULAR_CLOSE = time(16)
POST_MARKET_CLOSE = time(20)

SETTLE_DELAY = timedelta(minutes=30)
"""Time after 20:00 New York until all bars of the day are published (delayed plans lag by 15 minutes)."""

CALENDAR_FILE = Path(__file__).with_name("us_equity_holidays.txt")
"""The shipped holidays and early closes."""

CLOSED = "closed"
"""Marks a line of holidays in the calendar file; a line of early closes has the time in its place."""


class DayOutOfBounds(ValueError):  # noqa: N818 - named after what is wrong, as exchange_calendars does
    """A day before or after the range of the calendar."""


class USEquityTradingCalendar:
    """Sessions of US equities from 1998-01-02 to a last day.

    Days are `datetime.date` in New York, instants are timezone-aware UTC.

    Attributes:
        first_day: The first day of the calendar, which is a session.
        last_day: The last day of the calendar, session or not.
    """

    def __init__(self, sessions: Sequence[date], early_closes: Mapping[date, time], last_day: date) -> None:
        """Store the sessions.

        Args:
            sessions: Ascending.
            early_closes: Closing time in New York of sessions that end before 16:00.
            last_day: The last day of the calendar.
        """
        self._sessions = list(sessions)
        self._early_closes = dict(early_closes)
        self.first_day = FIRST_DAY
        self.last_day = last_day

    @classmethod
    def load(cls, today: date) -> USEquityTradingCalendar:
        """Load the calendar to the end of next year.

        Args:
            today: The day in New York.

        Returns:
            The shipped calendar, or a computed one if the shipped one ends too early. Without exchange_calendars the
            shipped one is returned as long as it includes today.

        Raises:
            BacktestServerError: The shipped calendar ends before today and exchange_calendars is not installed.
        """
        last_day = date(today.year + 1, 12, 31)
        shipped = cls.shipped()
        if last_day <= shipped.last_day:
            return shipped._until(last_day)
        try:
            return cls.computed(last_day)
        except ImportError as error:
            if today <= shipped.last_day:
                return shipped
            raise BacktestServerError(
                f"the trading calendar of this release ends on {shipped.last_day}; install a newer release of "
                "backtest-server, or pip install 'backtest-server[calendar]'"
            ) from error

    @classmethod
    def shipped(cls) -> USEquityTradingCalendar:
        """Read the calendar file: all weekdays are sessions, except the holidays in it."""
        closed: set[date] = set()
        early_closes: dict[date, time] = {}
        year = FIRST_DAY.year
        for line in CALENDAR_FILE.read_text(encoding="ascii").splitlines():
            if line.startswith("#"):
                continue
            number, kind, *days = line.split()
            year = int(number)
            listed = [date(year, int(day[:2]), int(day[3:])) for day in days]
            if kind == CLOSED:
                closed.update(listed)
            else:
                early_closes |= dict.fromkeys(listed, time.fromisoformat(kind))
        last_day = date(year, 12, 31)
        weekdays = (
            day
            for day in map(date.fromordinal, range(FIRST_DAY.toordinal(), last_day.toordinal() + 1))
            if day.weekday() < 5
        )
        return cls([day for day in weekdays if day not in closed], early_closes, last_day)

    @classmethod
    def computed(cls, last_day: date) -> USEquityTradingCalendar:
        """Compute the calendar with exchange_calendars, which takes half a second.

        Raises:
            ImportError: exchange_calendars is not installed.
        """
        import exchange_calendars

        # The bounds are explicit: by default they move with the day on which the package is imported, and an end
        # before a special close would hide it.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the package's own use of the newest pandas
            xnys = exchange_calendars.get_calendar("XNYS", start=FIRST_DAY.isoformat(), end=last_day.isoformat())
        early = {day.date(): xnys.closes[day].tz_convert(NEW_YORK).time() for day in xnys.early_closes}
        return cls(list(xnys.sessions.date), early, last_day)

    def trading_days(self, start: date, end: date) -> list[date]:
        """Return the sessions from start to end, both included, ascending."""
        self._check(start)
        self._check(end)
        return self._sessions[bisect.bisect_left(self._sessions, start) : bisect.bisect_right(self._sessions, end)]

    def is_trading_day(self, day: date) -> bool:
        """Return whether the exchange holds a session on that day."""
        self._check(day)
        index = bisect.bisect_left(self._sessions, day)
        return index < len(self._sessions) and self._sessions[index] == day

    def session_open(self, day: date) -> datetime:
        """Return when regular trading begins (09:30 New York), in UTC.

        Raises:
            ValueError: The day is not a session.
        """
        return self._instant(day, REGULAR_OPEN)

    def session_close(self, day: date) -> datetime:
        """Return when regular trading ends (16:00 New York, or the early close), in UTC.

        Raises:
            ValueError: The day is not a session.
        """
        return self._instant(day, self._early_closes.get(day, REGULAR_CLOSE))

    def previous_trading_day(self, day: date) -> date:
        """Return the last session before a day, which itself need not be a session."""
        self._check(day)
        index = bisect.bisect_left(self._sessions, day)
        if index == 0:
            raise DayOutOfBounds(f"no session before {day}: the calendar begins on {self.first_day}")
        return self._sessions[index - 1]

    def next_trading_day(self, day: date) -> date:
        """Return the first session after a day, which itself need not be a session."""
        self._check(day)
        index = bisect.bisect_right(self._sessions, day)
        if index == len(self._sessions):
            raise DayOutOfBounds(f"no session after {day}: the calendar ends on {self.last_day}")
        return self._sessions[index]

    def settled(self, day: date, now: datetime) -> bool:
        """Return whether all trades of the day, extended hours included, are published at an instant."""
        return day <= self.settled_through(now)

    def settled_through(self, now: datetime) -> date:
        """Return the last day, session or not, that is settled at an instant."""
        local = now.astimezone(NEW_YORK) - SETTLE_DELAY
        return local.date() if local.time() >= POST_MARKET_CLOSE else local.date() - timedelta(days=1)

    def last_session(self, now: datetime) -> date:
        """Return the newest session whose pre-market has begun, which is the last day that can have bars."""
        local = now.astimezone(NEW_YORK)
        day = local.date()
        if self.is_trading_day(day) and local.time() >= PRE_MARKET_OPEN:
            return day
        return self.previous_trading_day(day)

    def _until(self, last_day: date) -> USEquityTradingCalendar:
        sessions = self._sessions[: bisect.bisect_right(self._sessions, last_day)]
        return USEquityTradingCalendar(sessions, self._early_closes, last_day)

    def _instant(self, day: date, at: time) -> datetime:
        if not self.is_trading_day(day):
            raise ValueError(f"{day} is not a trading day of the US equity market")
        return datetime.combine(day, at, NEW_YORK).astimezone(UTC)

    def _check(self, day: date) -> None:
        if day < self.first_day:
            raise DayOutOfBounds(f"{day} lies before {self.first_day}, where LEAN's US equity calendar begins")
        if day > self.last_day:
            raise DayOutOfBounds(f"{day} lies after {self.last_day}, where the trading calendar ends")
