"""Trading days of US equities: which days are sessions, when they open, close and are settled.

The sessions come from exchange_calendars' XNYS, whose days from 1998-01-02 on are LEAN's own (LEAN:
market-hours-database.json, Equity-usa-[*]). Working them out takes that package and pandas half a second, so
the list is kept as a small file and read from there by every later run.
"""

from __future__ import annotations

import bisect
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from importlib import metadata
from pathlib import Path

from server.lean.series import NEW_YORK

FIRST_DAY = date(1998, 1, 2)
"""The first session of LEAN's US equity data."""

PRE_MARKET_OPEN = time(4)
REGULAR_OPEN = time(9, 30)
REGULAR_CLOSE = time(16)
POST_MARKET_CLOSE = time(20)

SETTLE_DELAY = timedelta(minutes=30)
"""How long after 20:00 New York a day's bars may still be on their way (delayed plans lag by 15 minutes)."""


class DayOutOfBounds(ValueError):  # noqa: N818 - named after what is wrong, as exchange_calendars does
    """A day for which the calendar does not know whether it is a session."""


class USEquityTradingCalendar:
    """Sessions of US equities from 1998-01-02 to the end of next year.

    Days are `datetime.date` in New York, instants are timezone-aware UTC.
    """

    def __init__(self, sessions: Sequence[date], early_closes: Mapping[date, time], last_day: date) -> None:
        """Take the sessions (ascending), the early closes among them, and the last day that is known."""
        self._sessions = list(sessions)
        self._early_closes = dict(early_closes)
        self.first_day = FIRST_DAY
        self.last_day = last_day

    @classmethod
    def load(cls, state_folder: Path | None, today: date) -> USEquityTradingCalendar:
        """Read the calendar from the state folder, or work it out and keep it there.

        Args:
            state_folder: Where the list is kept; None, or a folder that cannot be written, keeps nothing.
            today: The day in New York; the calendar reaches to the end of the following year.
        """
        last_day = date(today.year + 1, 12, 31)
        kept = _read(_path(state_folder, last_day)) if state_folder else None
        calendar = cls(*(kept or _compute(last_day)), last_day)
        if state_folder and kept is None:
            calendar.keep(state_folder, anew=True)
        return calendar

    def keep(self, state_folder: Path, *, anew: bool = False) -> None:
        """Keep the list for later runs, unless it is there or the data folder itself is not (yet)."""
        path = _path(state_folder, self.last_day)
        if state_folder.parent.is_dir() and (anew or not path.exists()):
            _write(path, self._sessions, self._early_closes)

    def trading_days(self, start: date, end: date) -> list[date]:
        """The sessions from start to end, both included, ascending."""
        self._check(start)
        self._check(end)
        return self._sessions[bisect.bisect_left(self._sessions, start) : bisect.bisect_right(self._sessions, end)]

    def is_trading_day(self, day: date) -> bool:
        """Whether the exchange held a session that day."""
        self._check(day)
        index = bisect.bisect_left(self._sessions, day)
        return index < len(self._sessions) and self._sessions[index] == day

    def session_open(self, day: date) -> datetime:
        """When regular trading begins (09:30 New York), in UTC.

        Raises:
            ValueError: The day is no session.
        """
        return self._instant(day, REGULAR_OPEN)

    def session_close(self, day: date) -> datetime:
        """When regular trading ends (16:00 New York, or the early close), in UTC.

        Raises:
            ValueError: The day is no session.
        """
        return self._instant(day, self._early_closes.get(day, REGULAR_CLOSE))

    def previous_trading_day(self, day: date) -> date:
        """The last session before this day (which need not be one)."""
        self._check(day)
        index = bisect.bisect_left(self._sessions, day)
        if index == 0:
            raise DayOutOfBounds(f"no session before {day}: the calendar begins on {self.first_day}")
        return self._sessions[index - 1]

    def next_trading_day(self, day: date) -> date:
        """The first session after this day (which need not be one)."""
        self._check(day)
        index = bisect.bisect_right(self._sessions, day)
        if index == len(self._sessions):
            raise DayOutOfBounds(f"no session after {day}: the calendar ends on {self.last_day}")
        return self._sessions[index]

    def settled(self, day: date, now: datetime) -> bool:
        """Whether all of the day's trades, extended hours included, have happened and been published."""
        return day <= self.settled_through(now)

    def settled_through(self, now: datetime) -> date:
        """The last day, trading day or not, that is settled."""
        local = now.astimezone(NEW_YORK) - SETTLE_DELAY
        return local.date() if local.time() >= POST_MARKET_CLOSE else local.date() - timedelta(days=1)

    def last_session(self, now: datetime) -> date:
        """The newest session whose pre-market has begun: the last day that can have bars at all."""
        local = now.astimezone(NEW_YORK)
        day = local.date()
        if self.is_trading_day(day) and local.time() >= PRE_MARKET_OPEN:
            return day
        return self.previous_trading_day(day)

    def _instant(self, day: date, at: time) -> datetime:
        if not self.is_trading_day(day):
            raise ValueError(f"{day} is not a trading day of the US equity market")
        return datetime.combine(day, at, NEW_YORK).astimezone(UTC)

    def _check(self, day: date) -> None:
        if day < self.first_day:
            raise DayOutOfBounds(f"{day} lies before {self.first_day}, where LEAN's US equity calendar begins")
        if day > self.last_day:
            raise DayOutOfBounds(f"{day} lies after {self.last_day}, where the trading calendar ends")


_Sessions = tuple[list[date], dict[date, time]]


def _compute(last_day: date) -> _Sessions:
    import exchange_calendars

    # The bounds are explicit: by default they move with the day on which the package is imported, and an end
    # before a special close would hide it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the package's own use of the newest pandas
        xnys = exchange_calendars.get_calendar("XNYS", start=FIRST_DAY.isoformat(), end=last_day.isoformat())
    early = {day.date(): xnys.closes[day].tz_convert(NEW_YORK).time() for day in xnys.early_closes}
    return list(xnys.sessions.date), early


def _path(state_folder: Path, last_day: date) -> Path:
    return state_folder / f"calendar-XNYS-{metadata.version('exchange_calendars')}-{last_day.year}.json"


def _read(path: Path) -> _Sessions | None:
    try:
        kept = json.loads(path.read_bytes())
        sessions = [date.fromordinal(ordinal) for ordinal in kept["sessions"]]
        early = {date.fromordinal(int(day)): time.fromisoformat(at) for day, at in kept["early_closes"].items()}
        whole = len(sessions) == kept["count"] and sessions[0] == FIRST_DAY and sessions == sorted(sessions)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError):
        return None
    return (sessions, early) if whole else None


def _write(path: Path, sessions: Sequence[date], early_closes: Mapping[date, time]) -> None:
    kept = {
        "count": len(sessions),
        "sessions": [day.toordinal() for day in sessions],
        "early_closes": {str(day.toordinal()): at.isoformat() for day, at in early_closes.items()},
    }
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(kept), encoding="ascii")
        os.replace(temporary, path)
