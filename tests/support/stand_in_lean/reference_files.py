"""Reference data in LEAN's formats, made from rules: market hours, symbol properties and interest rates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

FIRST_YEAR, LAST_YEAR = 1998, 2030
HOURS = "market-hours/market-hours-database.json"
PROPERTIES = "symbol-properties/symbol-properties-database.csv"
RATES = "alternative/interest-rate/usa/interest-rate.csv"
RATES_END = date(2023, 7, 27)
"""The day of the last line of LEAN's file of interest rates."""

# Closings that no rule gives: attacks, funerals, storms.
_SPECIAL = [
    "2001-09-11",
    "2001-09-12",
    "2001-09-13",
    "2001-09-14",
    "2004-06-11",
    "2007-01-02",
    "2012-10-29",
    "2012-10-30",
    "2018-12-05",
    "2025-01-09",
]
_MONDAY, _THURSDAY = 0, 3


def write_reference_files(data: Path) -> None:
    """Write the three files into a data folder."""
    texts = {HOURS: hours_text(), PROPERTIES: properties_text(), RATES: rates_text()}
    for name, text in texts.items():
        path = data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def hours_text() -> str:
    """The market hours of US equities."""
    day = [
        {"start": "04:00:00", "end": "09:30:00", "state": "premarket"},
        {"start": "09:30:00", "end": "16:00:00", "state": "market"},
        {"start": "16:00:00", "end": "20:00:00", "state": "postmarket"},
    ]
    names = ("monday", "tuesday", "wednesday", "thursday", "friday")
    entry = {
        "dataTimeZone": "America/New_York",
        "exchangeTimeZone": "America/New_York",
        "sunday": [],
        **dict.fromkeys(names, day),
        "saturday": [],
        "holidays": [f"{one.month}/{one.day}/{one.year}" for one in holidays()],
        "earlyCloses": {f"{one.month}/{one.day}/{one.year}": "13:00:00" for one in early_closes()},
        "lateOpens": {},
    }
    return json.dumps({"entries": {"Equity-usa-[*]": entry}}, indent=1)


def properties_text() -> str:
    """The properties of US equities."""
    return (
        "market,symbol,type,description,quote_currency,contract_multiplier,minimum_price_variation,lot_size,"
        "market_ticker,minimum_order_size,price_magnifier,strike_multiplier\n"
        "usa,[*],equity,,USD,1,0.01,1,,,,\n"
    )


def rates_text() -> str:
    """Interest rates by day, each valid until the next."""
    rows = ("1998-01-01,5.00", "2002-01-01,1.25", "2009-01-01,0.50", "2019-01-01,2.00", f"{RATES_END},5.50")
    return "\n".join(("Date,InterestRate", *rows)) + "\n"


def holidays() -> list[date]:
    """The weekdays on which the exchange is closed."""
    found = {date.fromisoformat(day) for day in _SPECIAL}
    for year in range(FIRST_YEAR, LAST_YEAR + 1):
        found |= set(_holidays_of(year))
    return sorted(day for day in found if day.weekday() < 5)


def early_closes() -> list[date]:
    """The days on which it closes at 13:00: before Independence Day and Christmas, and after Thanksgiving."""
    closed = set(holidays())
    found = []
    for year in range(FIRST_YEAR, LAST_YEAR + 1):
        after_thanksgiving = _nth(year, 11, _THURSDAY, 4) + timedelta(1)
        found += [date(year, 7, 3), after_thanksgiving, date(year, 12, 24)]
    return [day for day in found if day.weekday() < 5 and day not in closed]


def _holidays_of(year: int) -> Iterator[date]:
    new_year = date(year, 1, 1)
    yield new_year + timedelta(1) if new_year.weekday() == 6 else new_year
    yield _nth(year, 1, _MONDAY, 3)
    yield _nth(year, 2, _MONDAY, 3)
    yield _easter(year) - timedelta(2)
    yield date(year, 5, 31) - timedelta(date(year, 5, 31).weekday())
    if year >= 2022:
        yield _observed(date(year, 6, 19))
    yield _observed(date(year, 7, 4))
    yield _nth(year, 9, _MONDAY, 1)
    yield _nth(year, 11, _THURSDAY, 4)
    yield _observed(date(year, 12, 25))


def _observed(day: date) -> date:
    return day + timedelta({5: -1, 6: 1}.get(day.weekday(), 0))


def _nth(year: int, month: int, weekday: int, number: int) -> date:
    first = date(year, month, 1)
    return first + timedelta((weekday - first.weekday()) % 7 + 7 * (number - 1))


def _easter(year: int) -> date:
    """The Gregorian computus of Meeus, Jones and Butcher."""
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    weekday = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * weekday) // 451
    month, day = divmod(h + weekday - 7 * m + 114, 31)
    return date(year, month, day + 1)
