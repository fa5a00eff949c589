"""What LEAN's engine makes of a factor file: scaled prices, and what is paid overnight."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.lean.errors import FormatError
from server.lean.factor_file import LAST_ROW, FactorRow, parse_factor_file
from server.lean.price_adjustment import CorporateEvent, Factors, corporate_events, factors_on
from tests.support.corporate import weekdays

APPLE = parse_factor_file(
    "20200102,0.9949942,0.25,1\n20200806,0.9949942,0.25,455.61\n20200828,0.9967882,0.25,499.23\n"
    "20201105,0.9967882,1,119.03\n20210204,0.9985079,1,137.39\n20501231,1,1,0"
)
CALENDAR = weekdays()


def day(text: str) -> date:
    return date.fromisoformat(text)


def sessions(first: str, last: str) -> list[date]:
    return CALENDAR.trading_days(day(first), day(last))


@pytest.mark.parametrize(
    ("when", "price", "split"),
    [
        ("1999-12-31", "0.9949942", "0.25"),
        ("2020-08-06", "0.9949942", "0.25"),
        ("2020-08-07", "0.9967882", "0.25"),
        ("2020-08-28", "0.9967882", "0.25"),
        ("2020-08-29", "0.9967882", "1"),
        ("2020-08-31", "0.9967882", "1"),
        ("2021-02-05", "1", "1"),
        ("2051-01-01", "1", "1"),
    ],
)
def test_factors_of_a_day(when: str, price: str, split: str) -> None:
    """Those of the first row not before the day; before the first row its own, after the last none."""
    found = factors_on(APPLE, day(when))

    assert found == Factors(Fraction(price), Fraction(split))
    assert found.both == Fraction(price) * Fraction(split)


def test_no_rows_no_factors() -> None:
    """A share without a factor file has raw prices, and is paid nothing."""
    assert factors_on([], day("2020-08-28")) == Factors()
    assert corporate_events([], sessions("2020-08-03", "2020-09-30")) == []


def test_a_split_makes_no_jump() -> None:
    """Apple's closes around its 4:1 split, as traded 499.23 and 129.04: adjusted up by 3.4 per cent, not down by 74."""
    raw = {"2020-08-28": 499.23, "2020-08-31": 129.04}
    closes = [price * float(factors_on(APPLE, day(when)).both) for when, price in raw.items()]

    assert closes == pytest.approx([499.23 * 0.9967882 * 0.25, 129.04 * 0.9967882])
    assert closes[1] / closes[0] - 1 == pytest.approx(0.0339, abs=1e-4)


def test_what_fires() -> None:
    """Each event on the session after its row: dividends in cents (0.205 pays 0.20 or 0.21), the split's ratio."""
    found = corporate_events(APPLE, sessions("2020-01-02", "2021-03-31"))

    assert [(str(one.day), float(one.distribution), one.split) for one in found] == [
        ("2020-08-07", 0.82, 1),
        ("2020-08-31", 0, Fraction(1, 4)),
        ("2020-11-06", 0.21, 1),  # 119.03 - 119.03 * 0.9967882 / 0.9985079 = 0.20500...
        ("2021-02-05", 0.20, 1),  # 137.39 - 137.39 * 0.9985079 = 0.20499...
    ]
    assert found[1].reference == Fraction("499.23")


def test_half_a_cent_goes_to_the_even_cent() -> None:
    """As C# rounds: 0.125 pays 0.12, 0.375 pays 0.38, and LEAN's own example of 1.277788 pays 1.28."""
    first, second, third = Fraction("0.98722212"), Fraction("0.99625"), Fraction("0.99875")
    exact = [
        FactorRow(day("2020-01-06"), first * second * third, Fraction(1), Fraction(100)),
        FactorRow(day("2020-01-07"), second * third, Fraction(1), Fraction(100)),
        FactorRow(day("2020-01-08"), third, Fraction(1), Fraction(100)),
        LAST_ROW,
    ]

    found = corporate_events(exact, sessions("2020-01-02", "2020-01-31"))

    assert [one.distribution for one in found] == [Fraction("1.28"), Fraction("0.38"), Fraction("0.12")]


def test_a_split_and_a_dividend_of_one_day() -> None:
    """One event with both; the dividend is from the close before the split."""
    rows = parse_factor_file("20200102,0.95,0.5,1\n20200612,0.95,0.5,100\n20501231,1,1,0")

    assert corporate_events(rows, sessions("2020-06-01", "2020-06-30")) == [
        CorporateEvent(day("2020-06-15"), Fraction(100), Fraction(5), Fraction(1, 2))
    ]


@pytest.mark.parametrize(
    ("first", "last"), [("2020-08-31", "2020-09-30"), ("2020-08-07", "2020-08-28"), ("2020-08-29", "2020-08-30")]
)
def test_an_event_needs_both_days(first: str, last: str) -> None:
    """A backtest that begins on the ex-date, or ends the day before, has no event."""
    assert corporate_events(APPLE, sessions(first, last)) == []


def test_a_row_on_a_day_without_trading_never_pays() -> None:
    """It scales prices all the same."""
    rows = parse_factor_file("20200102,0.95,1,1\n20200613,0.95,1,100\n20501231,1,1,0")

    assert corporate_events(rows, sessions("2020-06-01", "2020-06-30")) == []
    assert factors_on(rows, day("2020-06-12")).both == Fraction("0.95")


def test_a_reference_price_of_nothing_stops_lean() -> None:
    """It is named, but only where the event would fire."""
    rows = parse_factor_file("20200102,0.95,1,0\n20200612,0.95,1,0\n20501231,1,1,0")

    assert corporate_events(rows, sessions("2020-01-02", "2020-06-12")) == []
    with pytest.raises(FormatError, match="row of 2020-06-12 has an event and the reference price 0"):
        corporate_events(rows, sessions("2020-06-01", "2020-06-30"))


NUMBERS = st.fractions(Fraction(1, 100), 100, max_denominator=1000)
DAYS = st.dates(date(2020, 1, 1), date(2020, 2, 29))
ROWS = st.lists(st.builds(FactorRow, DAYS, NUMBERS, NUMBERS, NUMBERS), max_size=6, unique_by=lambda row: row.date).map(
    lambda rows: sorted(rows, key=lambda row: row.date)
)


@settings(deadline=None)  # a loaded machine is no fault
@given(rows=ROWS)
def test_what_is_paid_keeps_the_money_together(rows: list[FactorRow]) -> None:
    """Holding a share and taking what fires gives the factors' ratio, within the cent that is rounded."""
    days = [date(2019, 12, 31) + timedelta(days=n) for n in range(90)]
    newer = dict(pairwise(rows))
    for one in corporate_events(rows, days):
        row = next(row for row in rows if row.date == one.day - timedelta(days=1))
        assert one.split == row.split_factor / newer[row].split_factor
        ratio = row.price_factor / newer[row].price_factor
        assert abs(row.reference - one.distribution - row.reference * ratio) <= Fraction(1, 200)
