"""Large changes of the close, and large dividends: which of them raise a doubt."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from tests.support.corporate import dividend, split
from tests.support.price_cases import CALENDAR, DAYS, EX, checked, closes, kinds

# --- changes without an event ---


@pytest.mark.parametrize(
    ("after", "text"), [("62.4", "a spin-off or a split"), ("160.1", "a reverse split"), ("170", "a reverse split")]
)
def test_a_large_change_without_an_event_is_doubtful(after: str, text: str) -> None:
    """Beyond 1.6 in either direction, also for a price that really rose by 70 %."""
    found = checked(closes("100", after, after))

    assert kinds(found) == [(EX, "price_change")]
    assert found.doubts[0].message == (
        f"the close changed from $100 to ${after}, and no event is listed that explains it; it may be {text} that the "
        "vendor does not list"
    )


@pytest.mark.parametrize("after", ["62.5", "160"])
def test_a_factor_of_1_6_is_not_beyond_it(after: str) -> None:
    """100 to 62.5 and to 160."""
    assert checked(closes("100", after)).doubts == ()


def test_a_spin_off_is_detected() -> None:
    """Altria's of Philip Morris: 73.83 to 22.20 on 2008-03-31, which the vendor does not list."""
    days = CALENDAR.trading_days(date(2008, 3, 27), date(2008, 4, 1))
    known = dict(zip(days, map(Decimal, ("74.06", "73.83", "22.20", "22.30")), strict=True))

    found = checked(known)

    assert [(doubt.symbol, doubt.day, doubt.kind) for doubt in found.doubts] == [
        ("T", date(2008, 3, 31), "price_change")
    ]


def test_a_change_across_a_session_that_is_not_known_is_not_counted() -> None:
    """A gap in the data is not an event; a session known to be without a bar is part of the change."""
    assert checked({DAYS[4]: Decimal(100), EX: Decimal(10)}).doubts == ()
    assert kinds(checked(closes("100", None, "10"))) == [(DAYS[7], "price_change")]


def test_a_large_change_that_a_dividend_explains() -> None:
    """$50 of $100 is large, and explains the fall."""
    assert kinds(checked(closes("100", "50"), dividend("2017-01-11", "50"))) == [(EX, "large_dividend")]


def test_a_large_dividend_that_the_close_does_not_show() -> None:
    """Both are said: the dividend is large, and the close does not fall by it."""
    found = checked(closes("100", "100"), dividend("2017-01-11", "50"))

    assert kinds(found) == [(EX, "large_dividend"), (EX, "price_change")]
    assert found.doubts[1].message == (
        "the close changed from $100 to $100, which the dividend of $50 does not explain"
    )


# --- dividends ---


@pytest.mark.parametrize(("amount", "doubtful"), [("10", False), ("10.01", True), ("120", True)])
def test_a_dividend_above_a_tenth_of_the_close(amount: str, doubtful: bool) -> None:
    """Of the close before the ex-date, $100."""
    found = checked(closes("100", "95"), dividend("2017-01-11", amount))

    assert ((EX, "large_dividend") in kinds(found)) == doubtful


def test_the_close_before_the_ex_date_counts() -> None:
    """$6 of $100 is no tenth, although it is one of the $50 after the split of the same day."""
    found = checked(closes("100", "47"), split("2017-01-11", "2"), dividend("2017-01-11", "6"))

    assert kinds(found) == [(EX, "two_events")]
