"""Files of another origin: which are this program's, what others lack, and composing it in."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.corporate_actions.extension import (
    extended_factor_rows,
    extended_map_rows,
    is_own_factor_file,
    is_own_map_file,
    known_through,
    later_changes,
    later_events,
)
from server.corporate_actions.model import Events
from server.corporate_actions.rows import closes_needed, factor_rows
from server.lean.factor_file import FactorRow, parse_factor_file, render_factor_file
from server.lean.map_file import MapRow, parse_map_file, render_map_file
from tests.support.corporate import APPLE, dividend, split, weekdays

CALENDAR = weekdays()
FIRST, LAST_DAY = date(2000, 1, 3), date(2021, 6, 30)
NEEDED = closes_needed(APPLE, FIRST, CALENDAR, last_day=LAST_DAY)
CLOSES = {day: Decimal(100 + at) + Decimal(at) / 7 for at, day in enumerate(NEEDED)}


def apple_rows(until: date = date.max, first: date = FIRST) -> list[FactorRow]:
    """The rows that were written when the events up to a day were listed."""
    events = Events(
        splits=tuple(one for one in APPLE.splits if one.ex_date <= until),
        dividends=tuple(one for one in APPLE.dividends if one.ex_date <= until),
    )
    return factor_rows(first, events, CLOSES, CALENDAR, last_day=LAST_DAY)


def printed(rows: list[FactorRow]) -> list[FactorRow]:
    return parse_factor_file(render_factor_file(rows))


FULL = apple_rows()
EX_DATES = sorted({event.ex_date for event in APPLE.every})
CUTS = st.sampled_from([FIRST, *EX_DATES])


# --- known through ---


@pytest.mark.parametrize(
    ("text", "through"),
    [
        ("20040819,1,0.5,1\n20140402,1,0.5,1135.1\n20501231,1,1,0", "2014-04-02"),  # LEAN's googl.csv
        ("20120518,1,1,1\n20501231,1,1,0", "2012-05-18"),  # LEAN's fb.csv
        ("20200701,0.9,1,1\n20200710,0.9,1,100\n20210331,1,1,400\n20501231,1,1,0", "2020-07-10"),
    ],
)
def test_a_file_is_known_through_its_last_event(text: str, through: str) -> None:
    """The last row that differs from the next one; the first row where there is no event."""
    assert known_through(parse_factor_file(text)) == date.fromisoformat(through)


# --- own files ---


@given(until=CUTS)
def test_a_file_written_earlier_is_recognised(until: date) -> None:
    """Whatever events were added since, and whatever program wrote it."""
    text = render_factor_file(apple_rows(until))

    assert is_own_factor_file(text.encode(), parse_factor_file(text), FULL)


@given(until=CUTS, data=st.data())
def test_a_file_with_another_digit_is_not(until: date, data: st.DataObject) -> None:
    """Any digit of a factor or a reference price, or a date; the first day is the file's own."""
    text = render_factor_file(apple_rows(until))
    places = [found.start() for found in re.finditer(r"[0-9]", text) if found.start() >= 8]
    place = data.draw(st.sampled_from(places))
    digit = data.draw(st.sampled_from([one for one in "0123456789" if one != text[place]]))
    changed = f"{text[:place]}{digit}{text[place + 1 :]}"
    try:
        rows = parse_factor_file(changed)
    except ValueError:
        return
    if rows and rows[0].date == FIRST:
        assert not is_own_factor_file(changed.encode(), rows, FULL)


def test_a_file_of_since_is_recognised() -> None:
    """It begins on another day; the caller computes the rows from there on."""
    since = date(2013, 1, 2)
    text = render_factor_file(apple_rows(date(2019, 1, 1), since))

    assert is_own_factor_file(text.encode(), parse_factor_file(text), apple_rows(first=since))


# --- later events ---


def test_later_events_are_those_after_the_last_one() -> None:
    """With the day on which each happens, up to the session after the newest settled one."""
    rows = printed(apple_rows(date(2020, 8, 7)))

    found = later_events("AAPL", rows, APPLE, CALENDAR, last_day=date(2021, 2, 4))

    assert [(one.day, one.what) for one in found] == [
        (date(2020, 8, 31), "split of 4:1"),
        (date(2020, 11, 6), "dividend of $0.205"),
        (date(2021, 2, 5), "dividend of $0.205"),
    ]
    assert len(later_events("AAPL", rows, APPLE, CALENDAR, last_day=date(2021, 2, 3))) == 2


def test_an_event_of_the_files_last_row_is_no_later_one() -> None:
    """Also one listed for a weekend: its row is that of the Friday."""
    rows = parse_factor_file("20200102,0.5,1,1\n20200828,0.5,1,100\n20501231,1,1,0")
    for ex_date in ("2020-08-29", "2020-08-31"):
        events = Events(dividends=(dividend(ex_date, "50"),))
        assert later_events("T", rows, events, CALENDAR, last_day=LAST_DAY) == []


def test_a_file_that_begins_before_the_calendar() -> None:
    """Other programs may write one; events of before 1998 adjust nothing."""
    rows = parse_factor_file("19930129,1,1,1\n20501231,1,1,0")
    events = Events(dividends=(dividend("1995-03-17", "0.3"), dividend("1998-03-20", "0.4")))

    found = later_events("SPY", rows, events, CALENDAR, last_day=LAST_DAY)

    assert [one.day for one in found] == [date(1998, 3, 20)]


@given(until=CUTS)
def test_a_file_that_has_everything_lacks_nothing(until: date) -> None:
    """The number of later events is that of the dates after the cut."""
    found = later_events("AAPL", printed(apple_rows(until)), APPLE, CALENDAR, last_day=LAST_DAY)

    assert [one.day for one in found] == [event.ex_date for event in APPLE.every if event.ex_date > until]


# --- composing ---


@given(until=CUTS)
def test_a_truncated_file_is_extended_to_the_full_one(until: date) -> None:
    """Printed factors multiplied by those of the later events: equal within the rounding of print."""
    rows = printed(apple_rows(until))

    extended = extended_factor_rows(rows, FULL)

    assert [row.date for row in extended] == [row.date for row in FULL]
    for one, other in zip(extended, FULL, strict=True):
        assert one.reference == other.reference or abs(one.reference - other.reference) <= Fraction(1, 10**4)
        assert abs(one.price_factor - other.price_factor) <= Fraction(1, 10**7)
        assert abs(one.split_factor - other.split_factor) <= Fraction(1, 10**8)
    assert extended_factor_rows(printed(extended), FULL) == printed(extended)


def test_extended_by_arithmetic() -> None:
    """0.9 x 0.98 x 0.5: a dividend of $2 of $100, then 2:1; the file's rows stay, with multiplied factors."""
    rows = parse_factor_file("20200102,0.9,1,1\n20200131,0.9,1,50\n20501231,1,1,0")
    events = Events(
        dividends=(dividend("2020-02-03", "5"), dividend("2020-06-01", "2")), splits=(split("2020-07-01", "2"),)
    )
    closes = {date(2020, 1, 31): Decimal(50), date(2020, 5, 29): Decimal(100), date(2020, 6, 30): Decimal(200)}
    computed = factor_rows(date(2020, 1, 2), events, closes, CALENDAR, last_day=LAST_DAY)

    assert render_factor_file(extended_factor_rows(rows, computed)) == (
        "20200102,0.882,0.5,1\n20200131,0.882,0.5,50\n20200529,0.98,0.5,100\n20200630,1,0.5,200\n20501231,1,1,0"
    )


def test_a_row_without_an_event_after_later_events() -> None:
    """Other programs write such rows: it gets the factors of the events after it only."""
    rows = parse_factor_file("20200102,0.9,1,1\n20200131,0.9,1,50\n20200615,1,1,90\n20501231,1,1,0")
    computed = parse_factor_file("20200102,0.441,1,1\n20200529,0.49,1,100\n20200630,0.5,1,80\n20501231,1,1,0")

    assert render_factor_file(extended_factor_rows(rows, computed)) == (
        "20200102,0.441,1,1\n20200131,0.441,1,50\n20200529,0.49,1,100\n20200615,0.5,1,90\n20200630,0.5,1,80\n"
        "20501231,1,1,0"
    )


def test_nothing_to_compose() -> None:
    """The rows are the same."""
    rows = printed(FULL)

    assert extended_factor_rows(rows, FULL) == rows


# --- map files ---

GOOG = "20140327,goocv,Q\n20140402,goocv,Q\n20501231,goog,Q\n"
GOOGL = "20040819,goog,Q\n20140402,goog,Q\n20501231,googl,Q\n"
FB = "20120518,fb,Q\n20501231,fb,Q\n"
FB_1 = "19990929,fb\n20030328,fb\n"


@pytest.mark.parametrize("text", [GOOG, GOOGL, FB, FB_1])
def test_leans_map_files(text: str) -> None:
    """What would be written now is own, and has nothing later."""
    rows = parse_map_file(text)

    assert is_own_map_file(text.encode(), rows)
    assert later_changes("T", rows, rows) == []
    assert extended_map_rows(rows, rows) == rows


def test_a_map_file_from_before_the_delisting_is_own() -> None:
    """It still ended in 2050."""
    now = parse_map_file("20120518,fb,Q\n20230630,fb,Q\n")

    assert is_own_map_file(FB.encode(), now)
    assert not is_own_map_file(FB.replace("2012", "2011").encode(), now)
    assert is_own_map_file(FB.replace("2012", "2011").encode(), now, date(2011, 5, 18))


def test_a_change_of_ticker_is_a_later_event() -> None:
    """META's file without the change: the first row gets the first ticker."""
    rows = parse_map_file("20120518,meta,N\n20501231,meta,N\n")
    computed = parse_map_file("20120518,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n")

    (change,) = later_changes("META", rows, computed)

    assert (change.day, change.what) == (date(2022, 6, 9), "change of ticker from FB to META")
    assert render_map_file(extended_map_rows(rows, computed)) == "20120518,fb,N\n20220608,fb,N\n20501231,meta,N\n"


def test_a_change_of_ticker_of_a_file_that_begins_earlier() -> None:
    """The vendor lists the share from a later day: its first row still has the first ticker, and no row is added."""
    rows = parse_map_file("20100104,meta,N\n20501231,meta,N\n")
    computed = parse_map_file("20120518,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n")

    assert render_map_file(extended_map_rows(rows, computed)) == "20100104,fb,N\n20220608,fb,N\n20501231,meta,N\n"


def test_a_later_change_after_one_that_the_file_has() -> None:
    """A to B is there, B to C is not."""
    rows = parse_map_file("20100104,a,Q\n20150601,a,Q\n20501231,c,Q\n")
    computed = parse_map_file("20100104,a,Q\n20150601,a,Q\n20190603,b,Q\n20501231,c,Q\n")

    assert [change.what for change in later_changes("C", rows, computed)] == ["change of ticker from B to C"]
    assert extended_map_rows(rows, computed) == computed


def test_a_delisting_is_a_later_event() -> None:
    """The file goes on to 2050."""
    computed = parse_map_file("20120518,fb,Q\n20230630,fb,Q\n")
    rows = parse_map_file(FB)

    assert [(one.day, one.what) for one in later_changes("FB", rows, computed)] == [(date(2023, 6, 30), "delisting")]
    assert extended_map_rows(rows, computed) == computed


@pytest.mark.parametrize(
    "computed",
    [
        "20150102,fb,Q\n20501231,fb,Q\n",  # the vendor's first day is late
        "19980102,fb,N\n20501231,fb,N\n",  # early, another exchange
    ],
)
def test_a_map_file_without_later_changes_stays_as_it_is(computed: str) -> None:
    """Another first day or exchange is no change."""
    rows = parse_map_file(FB)

    assert later_changes("FB", rows, parse_map_file(computed)) == []
    assert extended_map_rows(rows, parse_map_file(computed)) == rows


def test_a_delisting_that_the_vendor_does_not_list_stays() -> None:
    """LEAN's fb.1.csv ends in 2003."""
    rows = parse_map_file(FB_1)

    assert extended_map_rows(rows, [MapRow(date(1999, 9, 29), "FB"), MapRow(date(2050, 12, 31), "FB")]) == rows
    assert all(one.date < other.date for one, other in pairwise(rows))
