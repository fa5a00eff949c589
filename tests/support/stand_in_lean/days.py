"""Trading days by a data folder's market hours, and instants of New York."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from tests.support.stand_in_lean.reference_files import HOURS

_DAY = timedelta(1)


class TradingDays:
    """The trading days of US equities."""

    def __init__(self, data: Path) -> None:
        entries = json.loads((data / HOURS).read_text("utf-8-sig"))["entries"]
        entry = entries["Equity-usa-[*]"]
        self._closed = {datetime.strptime(text, "%m/%d/%Y").date() for text in entry["holidays"]}

    def between(self, first: date, last: date) -> list[date]:
        """Those of a range, both ends included."""
        days = [first + timedelta(number) for number in range((last - first).days + 1)]
        return [day for day in days if self.is_open(day)]

    def before(self, day: date, count: int) -> list[date]:
        """The last ones before a day."""
        found: list[date] = []
        while len(found) < count and day > date(1990, 1, 1):
            day -= _DAY
            if self.is_open(day):
                found.append(day)
        return found[::-1]

    def is_open(self, day: date) -> bool:
        return day.weekday() < 5 and day not in self._closed


def instant(day: date, hour: int = 0, minute: int = 0) -> datetime:
    """The instant of a time of New York."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC) + timedelta(hours=4 if _summer(day) else 5)


def stamp(day: date, hour: int = 0, minute: int = 0) -> int:
    """The seconds since 1970 of a time of New York; hour 24 is the midnight that ends the day."""
    return int(instant(day + _DAY if hour == 24 else day, hour % 24, minute).timestamp())


def _summer(day: date) -> bool:
    """Whether daylight saving time holds, by the rule of 2007 or that before it, at the times of a session."""
    if day.year >= 2007:
        first, last = _sunday(day.year, 3, 8), _sunday(day.year, 11, 1)
    else:
        first, last = _sunday(day.year, 4, 1), _sunday(day.year, 10, 25)
    return first <= day < last


def _sunday(year: int, month: int, earliest: int) -> date:
    day = date(year, month, earliest)
    return day + timedelta(6 - day.weekday())
