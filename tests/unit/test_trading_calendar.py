"""The trading calendar against LEAN's market-hours database and against the exchange's own announcements."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import exchange_calendars
import pytest

from server.core.errors import BacktestServerError
from server.lean.series import NEW_YORK
from server.trading_calendar import CALENDAR_FILE, DayOutOfBounds, USEquityTradingCalendar

ROOT = Path(__file__).parents[2]
TODAY = date(2025, 6, 2)


@pytest.fixture(scope="module")
def calendar() -> USEquityTradingCalendar:
    return USEquityTradingCalendar.load(TODAY)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class TestSessions:
    def test_number(self, calendar: USEquityTradingCalendar) -> None:
        """As many sessions as LEAN has from 1998 to 2026."""
        days = calendar.trading_days(date(1998, 1, 2), date(2026, 12, 31))
        assert len(days) == 7294
        assert (days[0], days[-1]) == (date(1998, 1, 2), date(2026, 12, 31))
        assert days == sorted(set(days))

    @pytest.mark.parametrize(
        ("year", "sessions"),
        [(2001, 248), (2012, 250), (2020, 253), (2021, 252), (2022, 251), (2023, 250), (2024, 252)],
    )
    def test_number_by_year(self, calendar: USEquityTradingCalendar, year: int, sessions: int) -> None:
        """The exchange's own count of sessions for years with and without special closures."""
        assert len(calendar.trading_days(date(year, 1, 1), date(year, 12, 31))) == sessions

    @pytest.mark.parametrize(
        "day",
        [
            date(2001, 9, 11),
            date(2001, 9, 12),
            date(2001, 9, 13),
            date(2001, 9, 14),
            date(2004, 6, 11),
            date(2007, 1, 2),
            date(2012, 10, 29),
            date(2012, 10, 30),
            date(2018, 12, 5),
            date(2025, 1, 9),
        ],
    )
    def test_special_closures(self, calendar: USEquityTradingCalendar, day: date) -> None:
        """Days on which the exchange stayed closed for once."""
        assert not calendar.is_trading_day(day)
        assert day.weekday() < 5

    @pytest.mark.parametrize(
        ("day", "session"),
        [
            (date(2001, 9, 10), True),
            (date(2001, 9, 17), True),
            (date(2021, 6, 18), True),  # Juneteenth is a holiday of the exchange from 2022 on
            (date(2022, 6, 20), False),
            (date(2023, 6, 19), False),
            (date(2024, 6, 19), False),
            (date(2024, 1, 1), False),
            (date(2024, 1, 15), False),
            (date(2024, 3, 29), False),  # Good Friday
            (date(2024, 5, 27), False),
            (date(2024, 7, 4), False),
            (date(2024, 9, 2), False),
            (date(2024, 11, 28), False),
            (date(2024, 12, 25), False),
            (date(2021, 12, 31), True),  # no substitute for a New Year's Day on a Saturday
            (date(2024, 11, 29), True),
            (date(2024, 1, 6), False),
            (date(2024, 1, 7), False),
            (date(1998, 1, 19), False),
        ],
    )
    def test_days(self, calendar: USEquityTradingCalendar, day: date, session: bool) -> None:
        """Holidays, weekends and days that are often taken for either."""
        assert calendar.is_trading_day(day) is session
        assert calendar.trading_days(day, day) == ([day] if session else [])

    def test_ranges(self, calendar: USEquityTradingCalendar) -> None:
        """Both ends count; a range of days off is empty."""
        assert calendar.trading_days(date(2024, 1, 12), date(2024, 1, 17)) == [
            date(2024, 1, 12),
            date(2024, 1, 16),
            date(2024, 1, 17),
        ]
        assert calendar.trading_days(date(2024, 1, 13), date(2024, 1, 15)) == []

    def test_neighbours(self, calendar: USEquityTradingCalendar) -> None:
        """The sessions before and after a day, which need not be one itself."""
        assert calendar.previous_trading_day(date(2024, 1, 16)) == date(2024, 1, 12)
        assert calendar.previous_trading_day(date(2024, 1, 14)) == date(2024, 1, 12)
        assert calendar.next_trading_day(date(2024, 1, 12)) == date(2024, 1, 16)
        assert calendar.next_trading_day(date(2024, 1, 14)) == date(2024, 1, 16)
        assert calendar.next_trading_day(date(2001, 9, 10)) == date(2001, 9, 17)


class TestHours:
    @pytest.mark.parametrize(
        ("day", "opens", "closes"),
        [
            (date(2024, 1, 2), "2024-01-02T14:30", "2024-01-02T21:00"),
            (date(2024, 7, 2), "2024-07-02T13:30", "2024-07-02T20:00"),
            (date(2024, 3, 8), "2024-03-08T14:30", "2024-03-08T21:00"),  # the Friday before the clocks change
            (date(2024, 3, 11), "2024-03-11T13:30", "2024-03-11T20:00"),
            (date(2024, 11, 1), "2024-11-01T13:30", "2024-11-01T20:00"),
            (date(2024, 11, 4), "2024-11-04T14:30", "2024-11-04T21:00"),
            (date(2006, 4, 3), "2006-04-03T13:30", "2006-04-03T20:00"),  # clocks changed in April then
            (date(2006, 3, 13), "2006-03-13T14:30", "2006-03-13T21:00"),
        ],
    )
    def test_regular(self, calendar: USEquityTradingCalendar, day: date, opens: str, closes: str) -> None:
        """Regular hours are 09:30 to 16:00 in New York, whatever that is in UTC."""
        assert calendar.session_open(day) == utc(opens)
        assert calendar.session_close(day) == utc(closes)
        assert calendar.session_close(day).tzinfo is UTC

    @pytest.mark.parametrize(
        ("day", "closes"),
        [
            (date(2023, 7, 3), "2023-07-03T17:00"),
            (date(2023, 11, 24), "2023-11-24T18:00"),
            (date(2024, 7, 3), "2024-07-03T17:00"),
            (date(2024, 11, 29), "2024-11-29T18:00"),
            (date(2024, 12, 24), "2024-12-24T18:00"),
            (date(2018, 12, 24), "2018-12-24T18:00"),
            (date(2003, 12, 26), "2003-12-26T18:00"),
            (date(1999, 12, 31), "1999-12-31T18:00"),
        ],
    )
    def test_early_closes(self, calendar: USEquityTradingCalendar, day: date, closes: str) -> None:
        """On a half day trading ends at 13:00 in New York."""
        assert calendar.session_close(day) == utc(closes)
        assert calendar.session_open(day).astimezone(NEW_YORK).time() == time(9, 30)

    def test_number_of_early_closes(self, calendar: USEquityTradingCalendar) -> None:
        """61 half days shared with LEAN and three that only the exchange knows, all ending at 13:00."""
        days = calendar.trading_days(date(1998, 1, 2), date(2026, 12, 31))
        closes = [calendar.session_close(day).astimezone(NEW_YORK).time() for day in days]
        assert closes.count(time(13)) == 64
        assert closes.count(time(16)) == 7294 - 64

    @pytest.mark.parametrize("day", [date(2024, 1, 6), date(2024, 12, 25)])
    def test_no_session(self, calendar: USEquityTradingCalendar, day: date) -> None:
        """A day off has no hours."""
        for ask in (calendar.session_open, calendar.session_close):
            with pytest.raises(ValueError, match=f"{day} is not a trading day"):
                ask(day)


class TestBounds:
    def test_before(self, calendar: USEquityTradingCalendar) -> None:
        """An error about a day that is too early names the first day."""
        for ask in (calendar.is_trading_day, calendar.session_open, calendar.previous_trading_day):
            with pytest.raises(DayOutOfBounds, match="1998-01-01 lies before 1998-01-02"):
                ask(date(1998, 1, 1))
        with pytest.raises(DayOutOfBounds, match="before 1998-01-02"):
            calendar.trading_days(date(1997, 12, 31), date(2024, 1, 2))

    def test_after(self, calendar: USEquityTradingCalendar) -> None:
        """An error about a day that is too late names the last day, the end of next year."""
        assert calendar.last_day == date(2026, 12, 31)
        with pytest.raises(DayOutOfBounds, match="2027-01-01 lies after 2026-12-31"):
            calendar.is_trading_day(date(2027, 1, 1))
        with pytest.raises(DayOutOfBounds, match="after 2026-12-31"):
            calendar.trading_days(date(2024, 1, 2), date(2027, 1, 4))

    def test_no_neighbour(self, calendar: USEquityTradingCalendar) -> None:
        """The first session has none before it, the last known one none after it."""
        with pytest.raises(DayOutOfBounds, match="begins on 1998-01-02"):
            calendar.previous_trading_day(date(1998, 1, 2))
        with pytest.raises(DayOutOfBounds, match="ends on 2026-12-31"):
            calendar.next_trading_day(date(2026, 12, 31))


class TestNow:
    @pytest.mark.parametrize(
        ("day", "settles"),
        [
            (date(2024, 1, 2), "2024-01-03T01:30"),
            (date(2024, 7, 2), "2024-07-03T00:30"),
            (date(2024, 3, 8), "2024-03-09T01:30"),
            (date(2024, 3, 11), "2024-03-12T00:30"),
            (date(2024, 11, 29), "2024-11-30T01:30"),  # a half day settles no earlier
        ],
    )
    def test_settled(self, calendar: USEquityTradingCalendar, day: date, settles: str) -> None:
        """A day is settled half an hour after 20:00 in New York, to the second."""
        assert calendar.settled(day, utc(settles))
        assert not calendar.settled(day, utc(settles) - timedelta(seconds=1))
        assert calendar.settled(day, utc(settles).astimezone(NEW_YORK))

    @pytest.mark.parametrize(
        ("now", "day"),
        [
            ("2024-01-03T08:59:59", date(2024, 1, 2)),  # 03:59:59 in New York
            ("2024-01-03T09:00:00", date(2024, 1, 3)),
            ("2024-07-03T07:59:59", date(2024, 7, 2)),
            ("2024-07-03T08:00:00", date(2024, 7, 3)),
            ("2024-03-11T07:59:59", date(2024, 3, 8)),  # the clocks changed over the weekend
            ("2024-03-11T08:00:00", date(2024, 3, 11)),
            ("2024-01-04T04:59:59", date(2024, 1, 3)),  # still the 3rd in New York
            ("2024-01-07T18:00:00", date(2024, 1, 5)),
            ("2024-01-15T18:00:00", date(2024, 1, 12)),
            ("2025-01-09T18:00:00", date(2025, 1, 8)),
        ],
    )
    def test_last_session(self, calendar: USEquityTradingCalendar, now: str, day: date) -> None:
        """The newest session begins with its pre-market, at 04:00 in New York."""
        assert calendar.last_session(utc(now)) == day
        assert calendar.last_session(utc(now).astimezone(NEW_YORK)) == day


class TestShippedFile:
    def test_equals_exchange_calendars(self, tmp_path: Path) -> None:
        """The shipped file is what the generator writes with the installed exchange_calendars."""
        script, written = ROOT / "tools" / "generate_trading_calendar.py", tmp_path / "holidays.txt"
        subprocess.run(
            [sys.executable, script, "--output", written], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True
        )
        shipped = CALENDAR_FILE.read_text()
        assert shipped == written.read_text(), "run: .venv/bin/python tools/generate_trading_calendar.py"

    def test_sessions_equal_exchange_calendars(self) -> None:
        """Reading the file yields the sessions and closing times of the library."""
        shipped = USEquityTradingCalendar.shipped()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the library's own use of the newest pandas
            xnys = exchange_calendars.get_calendar("XNYS", start="1998-01-02", end=str(shipped.last_day))
        days = shipped.trading_days(shipped.first_day, shipped.last_day)
        assert days == list(xnys.sessions.date)
        assert [shipped.session_close(day) for day in days] == [at.to_pydatetime() for at in xnys.closes]

    def test_reaches_beyond_next_year(self) -> None:
        """LEAN's holidays end in 2028; the file does not end earlier."""
        assert USEquityTradingCalendar.shipped().last_day >= date(2028, 12, 31)

    def test_next_year(self) -> None:
        """In another year the calendar reaches a year further."""
        later = USEquityTradingCalendar.load(date(2026, 1, 2))
        assert later.last_day == date(2027, 12, 31)
        assert later.is_trading_day(date(2027, 1, 4))
        assert not later.is_trading_day(date(2027, 1, 1))

    def test_no_heavy_imports(self) -> None:
        """Within the shipped years neither pandas nor numpy nor exchange_calendars is imported."""
        code = (
            "import sys; from datetime import date\n"
            "from server.trading_calendar import USEquityTradingCalendar as C\n"
            "c = C.load(date(2025, 6, 2))\n"
            "print(len(c.trading_days(date(2024, 1, 1), date(2024, 12, 31))), c.session_close(date(2024, 7, 3)))\n"
            "print([m for m in ('pandas', 'numpy', 'exchange_calendars') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
        assert done.stdout == "252 2024-07-03 17:00:00+00:00\n[]\n"


class TestBeyondTheShippedFile:
    def test_computed(self) -> None:
        """Later years come from exchange_calendars: the holidays of 2039, by the exchange's rules."""
        calendar = USEquityTradingCalendar.load(date(2038, 6, 1))
        assert calendar.last_day == date(2039, 12, 31)
        days = calendar.trading_days(date(2039, 1, 1), date(2039, 12, 31))
        weekdays = [date(2039, 1, 1) + timedelta(days=number) for number in range(365)]
        closed = [f"{day:%m-%d}" for day in weekdays if day.weekday() < 5 and day not in days]
        # 1 January, 19 June and 25 December 2039 are a Saturday, a Sunday and a Sunday; Easter is on 10 April.
        assert closed == ["01-17", "02-21", "04-08", "05-30", "06-20", "07-04", "09-05", "11-24", "12-26"]

    def test_without_the_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The shipped years are used to their end; after that one line says what to install."""
        monkeypatch.setitem(sys.modules, "exchange_calendars", None)
        end = USEquityTradingCalendar.shipped().last_day
        assert USEquityTradingCalendar.load(end).last_day == end
        with pytest.raises(BacktestServerError, match=f"ends on {end}; install a newer.*server\\[calendar\\]'$"):
            USEquityTradingCalendar.load(end + timedelta(days=1))
