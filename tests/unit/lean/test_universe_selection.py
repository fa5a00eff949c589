"""What the real engine offered of universe files, also with other prices, days and tickers; and LEAN's rules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.lean.universe_selection import UNIVERSE_FILES, SelectionRow, read_selections, read_universe
from server.trading_calendar import USEquityTradingCalendar
from tests.support.lean_feed import MemoryFiles, MovedCalendar
from tests.support.lean_universe import lines_of, universe_questions

QUESTIONS = universe_questions()
CALENDAR = USEquityTradingCalendar.shipped()
SID = "A UJ0T0SKEFN1H"


def test_there_are_all_questions_about_universes() -> None:
    """9 of the 52 that were put to the engine."""
    assert len(QUESTIONS) == 9


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_engine_offered_these_rows(name: str) -> None:
    """Each midnight with its rows, numbers as text; no row says that it has fundamental data."""
    question = QUESTIONS[name]

    assert lines_of(question.read(CALENDAR)) == question.fed


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize(
    ("price", "weeks", "names"),
    [(3, -61, {"A": "QQZ", "B": "AAB", "OLD": "ZZ.C", "NEW": "K"}), (7, 8, {"A": "B", "B": "A", "OLD": "NEW"})],
    ids=["later-letters", "tickers-swapped"],
)
def test_other_prices_days_and_tickers(name: str, price: int, weeks: int, names: Mapping[str, str]) -> None:
    """The same rules hold; the calendar moves with the days."""
    move = timedelta(weeks=weeks)
    question = QUESTIONS[name].altered(price, move, names)

    assert lines_of(question.read(MovedCalendar(CALENDAR, move))) == question.fed
    assert question.files != QUESTIONS[name].files


def row(line: str) -> SelectionRow:
    """The one row of a line."""
    (found,) = read_universe(line.encode())
    return found


@pytest.mark.parametrize(
    ("text", "volume"),
    [("1000.75", 1000), ("3E3", 513), ("", 0), ("-5", -25), (" 7", -153), ("9223372036854775808", -(2**63))],
)
def test_volumes_as_the_engine_takes_them(text: str, volume: int) -> None:
    """Recorded: a fraction is cut, E is the digit 21. A sign is the digit -3, a blank the digit -16, and it wraps."""
    assert row(f"{SID},A,1,{text},1,False,1,1").volume == volume


def test_a_header_crlf_a_byte_order_mark_and_blank_lines() -> None:
    """Only lines that begin with an identifier are rows; the last line end may be missing."""
    text = f"\ufeffid,symbol,close\r\n{SID},a,1.5,2,3,False,0.5,0.25\r\n\r\nB 2T,B,4,5,20,False"

    first, second = read_universe(text.encode())

    assert first == SelectionRow(SID, "A", Decimal("1.5"), 2, 3.0, Decimal("0.5"), Decimal("0.25"))
    assert second == SelectionRow("B 2T", "B", Decimal(4), 5, 20.0, Decimal(1), Decimal(1))


@pytest.mark.parametrize("rest", ["A", "A,1,2,3,,1,1", "A,1,2,3,yes,1,1", f"A,0.{'1' * 29},2,3,False,1,1"])
def test_a_row_whose_numbers_cannot_be_read_is_offered_without_them(rest: str) -> None:
    """Price, volume and factors are 0, and the dollar volume is not a number."""
    found = row(f"{SID},{rest}")

    assert (found.ticker, found.price, found.volume, found.price_factor) == ("A", 0, 0, 0)
    assert isnan(found.dollar_volume)


def test_of_a_share_twice_both_have_the_numbers_of_the_last_line() -> None:
    """They are looked up by the identifier."""
    found = read_universe(f"{SID},A,1,1,1,False,1,1\n{SID},A,2,2,4,False,1,1\n".encode())

    assert [one.price for one in found] == [2, 2]


def files_of(*days: date) -> MemoryFiles:
    return MemoryFiles({f"{UNIVERSE_FILES}/{day:%Y%m%d}.csv": f"{SID},A,1,1,1,False,1,1" for day in days})


def test_a_friday_is_offered_on_saturday_and_before_a_start_on_monday_at_that() -> None:
    """The first selection is at the start, of the trading day before it (recorded: python-universe-and-history)."""
    friday = date(2014, 3, 28)

    found = read_selections(files_of(friday), friday, date(2014, 4, 1), CALENDAR)
    from_monday = read_selections(files_of(friday), date(2014, 3, 31), date(2014, 3, 31), CALENDAR)

    assert [(str(one.day), str(one.trading_day), one.has_file) for one in found] == [
        ("2014-03-28", "2014-03-27", False),
        ("2014-03-29", "2014-03-28", True),
        ("2014-04-01", "2014-03-31", False),
    ]
    assert [(str(one.day), len(one.rows)) for one in from_monday] == [("2014-03-31", 1)]


@given(content=st.binary(max_size=200) | st.text(alphabet="AB 2T,.-E1\r\n", max_size=200).map(str.encode))
def test_any_content_is_read(content: bytes) -> None:
    """Without an exception, and at most one row for each line."""
    assert len(read_universe(content)) <= content.count(b"\n") + content.count(b"\r") + 1
