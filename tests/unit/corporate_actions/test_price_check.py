"""A share's events against its closes: where closes decide, and where they raise a doubt."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.corporate_actions.model import Dividend, Events
from server.corporate_actions.price_check import CheckedEvents, check_events
from server.corporate_actions.rows import factor_rows
from server.lean.factor_file import render_factor_file
from tests.support.corporate import dividend, split
from tests.support.price_cases import CALENDAR, DAYS, EX, checked, closes, kinds

# --- one split ---


def test_a_split_listed_one_session_early_is_applied_where_the_close_changed() -> None:
    """The issue's example: listed for the 11th, closes 136.5, 137.2, 68.1; the factor row is that of 20170111."""
    known = closes("136.5", "137.2", "68.1")

    found = checked(known, split("2017-01-11", "2"))

    assert found.events.splits == (split("2017-01-12", "2"),)
    assert found.notices == (
        "the split of T, 2:1, is listed for 2017-01-11, but the closes show it on 2017-01-12; it is applied on "
        "2017-01-12",
    )
    assert found.doubts == ()
    prices = {day: close for day, close in known.items() if close is not None}
    rows = factor_rows(DAYS[0], found.events, prices, CALENDAR, last_day=DAYS[-1])
    assert render_factor_file(rows) == "20170103,1,0.5,1\n20170111,1,0.5,137.2\n20501231,1,1,0"


def test_a_split_listed_one_session_late_is_applied_where_the_close_changed() -> None:
    """Listed for the 12th; the close halved on the 11th."""
    found = checked(closes("136.5", "68.6", "68.1"), split("2017-01-12", "2"))

    assert found.events.splits == (split("2017-01-11", "2"),)
    assert (len(found.notices), found.doubts) == (1, ())


@pytest.mark.parametrize(
    ("known", "day"),
    [
        (("100", "93", "69.8"), "2017-01-12"),  # falls by 7 %, then splits
        (("100", "75", "69.8"), "2017-01-11"),  # splits, then falls by 7 %
        (("100", "86.6", "75"), "2017-01-11"),  # a fall in two equal parts shows nothing
    ],
)
def test_a_ratio_that_fits_an_ordinary_change_beside_the_split(known: tuple[str, ...], day: str) -> None:
    """4:3 is within 1.25 of a fall by 7 %; the session after it explains both changes, or does not."""
    found = checked(closes(*known), split("2017-01-11", "4", "3"))

    assert found.events.splits == (split(day, "4", "3"),)
    assert (len(found.notices), found.doubts) == (int(day != "2017-01-11"), ())


@pytest.mark.parametrize("after", ["62.5", "50", "40"])
def test_a_change_within_a_factor_of_1_25_confirms_a_split(after: str) -> None:
    """100 to 62.5 and to 40 are exactly 1.25 times and a 1.25th of a half."""
    found = checked(closes("100", after, after), split("2017-01-11", "2"))

    assert (found.events.splits, found.notices, found.doubts) == ((split("2017-01-11", "2"),), (), ())


@pytest.mark.parametrize("after", ["62.6", "39.9", "100"])
def test_a_split_that_no_close_shows_is_applied_with_a_doubt(after: str) -> None:
    """Neither its date nor the session before or after fits: it stays as listed."""
    found = checked(closes("100", "100", after, after, first=DAYS[4]), split("2017-01-11", "2"))

    assert found.events.splits == (split("2017-01-11", "2"),)
    assert (kinds(found), found.notices) == ([(EX, "split")], ())
    assert found.doubts[0].message == (
        f"a split of 2:1 is listed, but the close changed from $100 to ${after}; it is applied as listed"
    )


def test_closes_do_not_decide_two_sessions_away() -> None:
    """The change of the 13th is not that of a split listed for the 11th; both days are doubtful."""
    found = checked(closes("100", "100", "100", "50"), split("2017-01-11", "2"))

    assert found.events.splits == (split("2017-01-11", "2"),)
    assert kinds(found) == [(EX, "split"), (DAYS[8], "price_change")]


def test_a_split_is_not_moved_where_both_neighbours_fit() -> None:
    """Which of them is right is not known."""
    found = checked(closes("100", "50", "50", "25", first=DAYS[4]), split("2017-01-11", "2"))

    assert found.events.splits == (split("2017-01-11", "2"),)
    assert (EX, "split") in kinds(found)


@pytest.mark.parametrize(("new", "old"), [("1002.7", "1000"), ("5", "4"), ("4", "5"), ("997307", "1000000")])
def test_ratios_near_one_are_taken_as_listed(new: str, old: str) -> None:
    """GOOG's 0.997307 of 2015 cannot be distinguished from other changes; 0.8 and 1.25 are included."""
    listed = split("2017-01-11", new, old)

    found = checked(closes("100", "110", "100"), listed)

    assert (found.events.splits, found.notices, found.doubts) == ((listed,), (), ())


def test_a_split_without_known_closes_is_taken_as_listed() -> None:
    """A session between is not known, or there are no closes at all."""
    listed = split("2017-01-11", "2")
    for known in ({}, {DAYS[4]: Decimal(100), EX: Decimal(100)}, closes("100", first=EX), closes("100")):
        found = checked(known, listed)
        assert (found.events.splits, found.notices, found.doubts) == ((listed,), (), ())


def test_a_reverse_split_after_a_halt() -> None:
    """No bar between the 10th and the 17th: the change over the halt confirms the split, also a session early."""
    for day in ("2017-01-12", "2017-01-17", "2017-01-18"):
        found = checked(closes("1", None, None, None, None, "10.5", "10.4"), split(day, "1", "10"))
        assert [one.ex_date for one in found.events.splits] == [date.fromisoformat(min(day, "2017-01-17"))]
        assert found.doubts == ()


def test_a_split_listed_for_a_weekend() -> None:
    """The change over it is that from Friday to Monday."""
    found = checked(closes("100", "50", first=date(2017, 1, 13)), split("2017-01-14", "2"))

    assert (found.events.splits, found.notices, found.doubts) == ((split("2017-01-14", "2"),), (), ())


def test_a_special_dividend_and_a_split_on_one_day() -> None:
    """2:1 and $40 of $100: the close of 30 is that of both; the day is doubtful as one with two events."""
    found = checked(closes("100", "30", "30"), split("2017-01-11", "2"), dividend("2017-01-11", "40"))

    assert found.events.splits == (split("2017-01-11", "2"),)
    assert found.notices == ()
    assert kinds(found) == [(EX, "two_events"), (EX, "large_dividend")]


def test_a_dividend_of_the_next_session_is_not_the_split() -> None:
    """The fall of the 12th is that of the dividend: the split of the 11th is not moved there."""
    found = checked(closes("100", "100", "50"), split("2017-01-11", "2"), dividend("2017-01-12", "50"))

    assert found.events.splits == (split("2017-01-11", "2"),)
    assert kinds(found) == [(EX, "split"), (DAYS[7], "large_dividend")]


# --- several splits ---


def test_of_two_ratios_on_a_day_the_closes_show_one() -> None:
    """2:1 and 3:1, and the close halves."""
    found = checked(closes("100", "51", "51"), split("2017-01-11", "3"), split("2017-01-11", "2"))

    assert found.events.splits == (split("2017-01-11", "2"),)
    assert found.notices == (
        "splits of 3:1 and 2:1 of T are listed for 2017-01-11; the closes show 2:1, so the other is left out",
    )
    assert found.doubts == ()


def test_two_splits_of_a_day_that_fit_together_both_count() -> None:
    """2:1 and 3:1 make 6:1; a reverse split that is undone at once changes nothing."""
    both = split("2017-01-11", "3"), split("2017-01-11", "2")
    undone = split("2017-01-11", "1", "500"), split("2017-01-11", "500")

    assert checked(closes("120", "20", "20"), *both).events.splits == both
    assert checked(closes("120", "121", "121"), *undone).events.splits == undone


def test_two_ratios_that_the_closes_do_not_show() -> None:
    """Both are applied, with a doubt; also where the closes are not known."""
    both = split("2017-01-11", "3"), split("2017-01-11", "2")
    for known in (closes("100", "100", "100"), {}):
        found = checked(known, *both)
        assert found.events.splits == both
        assert (kinds(found), found.notices) == ([(EX, "two_events")], ())


def test_two_ratios_that_both_fit() -> None:
    """The nearer one is taken, with a doubt."""
    found = checked(closes("100", "50", "50"), split("2017-01-11", "9", "4"), split("2017-01-11", "2"))

    assert found.events.splits == (split("2017-01-11", "2"),)
    assert kinds(found) == [(EX, "two_events")]


def test_a_ratio_near_one_beside_another_is_kept() -> None:
    """Closes say nothing about 11:10; 2:1 of the same day is shown a session later."""
    found = checked(closes("100", "100", "50"), split("2017-01-11", "11", "10"), split("2017-01-11", "2"))

    assert found.events.splits == (split("2017-01-11", "11", "10"), split("2017-01-12", "2"))


def test_a_split_listed_for_two_sessions_in_a_row_counts_once() -> None:
    """The closes show one of them; the other is left out, with a notice."""
    found = checked(closes("100", "100", "50"), split("2017-01-11", "2"), split("2017-01-12", "2"))

    assert found.events.splits == (split("2017-01-12", "2"),)
    assert "is listed for 2017-01-12, too, so the other is left out" in found.notices[0]
    assert found.doubts == ()


def test_two_splits_in_a_row_that_both_happened() -> None:
    """Each has its change."""
    both = split("2017-01-11", "2"), split("2017-01-12", "2")

    assert checked(closes("100", "50", "25"), *both) == CheckedEvents(events=Events(splits=both))


def test_two_dividends_on_one_day() -> None:
    """They add up, with a doubt."""
    found = checked({}, dividend("2017-01-11", "0.2"), dividend("2017-01-11", "0.5"))

    assert len(found.events.dividends) == 2
    assert kinds(found) == [(EX, "two_events")]
    assert found.doubts[0].message == "dividends of $0.2 and $0.5 are listed on one day; they add up"


@pytest.mark.parametrize(
    ("second", "amount", "doubtful"),
    [
        ("2017-01-12", "0.5", True),
        ("2017-01-21", "0.5", True),
        ("2017-01-22", "0.5", False),
        ("2017-01-12", "0.525", True),
        ("2017-01-12", "0.53", False),
    ],
)
def test_near_duplicates(second: str, amount: str, doubtful: bool) -> None:
    """Within ten days, with amounts within 5 %."""
    found = checked({}, dividend("2017-01-11", "0.5"), dividend(second, amount))

    assert len(found.events.dividends) == 2
    assert kinds(found) == ([(date.fromisoformat(second), "near_duplicate")] if doubtful else [])


def test_a_near_duplicate_with_another_dividend_between() -> None:
    """A special one between the two does not hide it."""
    found = checked({}, dividend("2017-01-11", "0.5"), dividend("2017-01-12", "0.1"), dividend("2017-01-13", "0.5"))

    assert kinds(found) == [(date(2017, 1, 13), "near_duplicate")]


def test_weekly_dividends_are_not_duplicates() -> None:
    """Neither at the beginning nor at the end of the list."""
    weekly = [Dividend(ex_date=day, amount=Decimal("0.3")) for day in DAYS[::5]]

    assert checked({}, *weekly).doubts == ()


def test_a_duplicate_of_a_monthly_dividend_is_found() -> None:
    """Three dividends in five weeks are not one a week."""
    monthly = [dividend(day, "0.3") for day in ("2017-01-11", "2017-02-10", "2017-02-13", "2017-03-10")]

    assert kinds(checked({}, *monthly)) == [(date(2017, 2, 13), "near_duplicate")]


def test_an_event_on_the_first_day_raises_nothing() -> None:
    """There is no close before it."""
    found = checked(closes("100", "101", first=EX), split("2017-01-11", "2"), dividend("2017-01-11", "0.5"))

    assert found.events.splits == (split("2017-01-11", "2"),)
    assert kinds(found) == [(EX, "two_events")]


def test_days_before_the_calendar_are_not_compared() -> None:
    """A file may have bars from before 1998."""
    known = {date(1997, 12, 30): Decimal(100), date(1997, 12, 31): Decimal(10), date(1998, 1, 2): Decimal(10)}

    assert checked(known, split("1997-12-31", "10")).doubts == ()


# --- properties ---

RATIOS = st.sampled_from([("2", "1"), ("3", "1"), ("1", "10"), ("3", "2"), ("21", "20")])
ON = st.integers(1, len(DAYS) - 2)
SPLITS = st.lists(st.tuples(ON, RATIOS), max_size=4, unique_by=lambda pair: pair[0])
DIVIDENDS = st.lists(st.tuples(ON, st.sampled_from(["0.25", "0.5", "1", "30"])), max_size=6)
MOVES = st.lists(st.integers(-3, 3), min_size=len(DAYS), max_size=len(DAYS))


def listed(splits: list[tuple[int, tuple[str, str]]], dividends: list[tuple[int, str]]) -> Events:
    return Events(
        splits=tuple(split(str(DAYS[at]), *ratio) for at, ratio in sorted(splits)),
        dividends=tuple(dividend(str(DAYS[at]), amount) for at, amount in sorted(dividends)),
    )


@given(splits=SPLITS, dividends=DIVIDENDS, prices=st.lists(st.integers(1, 400), max_size=len(DAYS)))
def test_dividends_never_change_and_every_change_is_reported(
    splits: list[tuple[int, tuple[str, str]]], dividends: list[tuple[int, str]], prices: list[int]
) -> None:
    """Whatever the closes are: dividends stay, splits move by a session at most, and each has a notice."""
    events = listed(splits, dividends)
    known = {day: Decimal(price) for day, price in zip(DAYS, prices, strict=False)}

    found = check_events("T", events, known, CALENDAR)

    assert found.events.dividends == events.dividends
    changed = set(events.splits) ^ set(found.events.splits)
    assert bool(changed) <= bool(found.notices)
    for one in found.events.splits:
        at = DAYS.index(one.ex_date)
        assert any(
            DAYS[near] == other.ex_date and other.factor == one.factor
            for other in events.splits
            for near in (at - 1, at, at + 1)
        )


@given(splits=SPLITS, moves=MOVES)
def test_closes_made_from_the_events_raise_no_doubt(
    splits: list[tuple[int, tuple[str, str]]], moves: list[int]
) -> None:
    """Each close is the one before, moved by up to 3 % and divided by the split of its day."""
    events = listed(splits, [])
    factors = {one.ex_date: one.factor for one in events.splits}
    price = Fraction(100)
    known: dict[date, Decimal | None] = {}
    for day, move in zip(DAYS, moves, strict=True):
        price *= factors.get(day, Fraction(1)) * (1 + Fraction(move, 100))
        known[day] = Decimal(price.numerator) / Decimal(price.denominator)

    assert check_events("T", events, known, CALENDAR) == CheckedEvents(events=events)
    assert all(one <= other for one, other in pairwise(known))
