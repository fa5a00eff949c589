"""Map files: the ticker of each day, and the text as LEAN reads and prints it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.lean.errors import FormatError
from server.lean.map_file import MapRow, parse_map_file, render_map_file, spans_by_ticker, ticker_on

META = parse_map_file("20120518,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n")


def day(text: str) -> date:
    return date.fromisoformat(text)


# --- which ticker ---


@pytest.mark.parametrize(
    ("when", "ticker"),
    [
        ("2012-05-17", None),
        ("2012-05-18", "FB"),
        ("2022-06-08", "FB"),
        ("2022-06-09", "META"),
        ("2050-12-31", "META"),
        ("2051-01-01", None),
    ],
)
def test_the_ticker_of_a_day(when: str, ticker: str | None) -> None:
    """A row's date is its ticker's last day; outside of the file LEAN has none."""
    assert ticker_on(META, day(when)) == ticker
    assert ticker_on([], day(when)) is None


@pytest.mark.parametrize(
    ("first", "last", "parts"),
    [
        ("2022-06-01", "2022-06-30", [("FB", "2022-06-01", "2022-06-08"), ("META", "2022-06-09", "2022-06-30")]),
        ("2022-06-08", "2022-06-08", [("FB", "2022-06-08", "2022-06-08")]),
        ("2022-06-09", "2022-06-09", [("META", "2022-06-09", "2022-06-09")]),
        ("2010-01-01", "2012-05-31", [("FB", "2012-05-18", "2012-05-31")]),
        ("2010-01-01", "2012-05-17", []),
        ("2051-01-01", "2051-02-01", []),
    ],
)
def test_days_by_ticker(first: str, last: str, parts: list[tuple[str, str, str]]) -> None:
    """Each part of a range has the ticker of its days."""
    found = spans_by_ticker(META, day(first), day(last))

    assert [(ticker, str(start), str(end)) for ticker, start, end in found] == parts


def test_a_ticker_that_is_no_symbol_splits_nothing() -> None:
    """No path is built from what a file says."""
    with pytest.raises(FormatError, match=r"row of 2050-12-31: '\.\./SPY' is not a US equity symbol"):
        spans_by_ticker(
            [MapRow(day("1998-01-02"), "../SPY"), MapRow(day("2050-12-31"), "../SPY")],
            day("2020-01-02"),
            day("2020-01-03"),
        )


TICKERS = st.sampled_from(["AAA", "BBB", "BRK.B"])
ROWS = st.lists(
    st.builds(MapRow, st.dates(date(2020, 1, 1), date(2020, 3, 1)), TICKERS, st.sampled_from(["", "Q", "N"])),
    unique_by=lambda row: row.date,
).map(lambda rows: sorted(rows, key=lambda row: row.date))
DAYS = st.dates(date(2019, 12, 25), date(2020, 3, 7))


@given(rows=ROWS, first=DAYS, last=DAYS)
def test_days_by_ticker_are_the_tickers_of_the_days(rows: list[MapRow], first: date, last: date) -> None:
    """Each day is in one part at most, ascending, and that is its ticker's."""
    found = {}
    for ticker, start, end in spans_by_ticker(rows, first, last):
        assert start <= end
        for n in range((end - start).days + 1):
            assert start + timedelta(days=n) not in found
            found[start + timedelta(days=n)] = ticker

    asked = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    assert found == {when: ticker_on(rows, when) for when in asked if ticker_on(rows, when)}
    assert list(found) == sorted(found)


# --- reading ---


@pytest.mark.parametrize(
    "text",
    [
        "20120518,fb,Q\n20501231,meta\n",
        "20501231,META\n20120518,Fb,Q\n20120518,fb,Q",
        "\ufeff20120518,fb,Q\r\n\r\n \n20501231,meta,Q,more\r\n",
    ],
)
def test_what_lean_reads(text: str) -> None:
    """Line ends, order, letters, blank and repeated lines, and an exchange only where there are three fields."""
    assert render_map_file(parse_map_file(text)) == "20120518,fb,Q\n20501231,meta\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("20120230,fb,Q", "not a row of a map file; LEAN then ignores the whole file"),
        ("2012-05-18,fb,Q", "not a row of a map file"),
        ("20120518", "not a row of a map file"),
        ("20120518,fb,", "not a row of a map file"),
        ("20120518,fb,NASDAQ", "not a row of a map file"),
        ("20120518,,Q", "has no ticker; LEAN stops"),
        ("20501231,fb,Q", "is a second one of its date; LEAN stops"),
    ],
)
def test_a_line_that_lean_cannot_read(line: str, message: str) -> None:
    """It is named, with what LEAN does then."""
    with pytest.raises(FormatError, match=message):
        parse_map_file(f"20501231,meta,Q\n{line}\n")


@given(st.text() | st.text(alphabet="0125,abQ \n\r", max_size=60))
def test_reading_any_text(text: str) -> None:
    """Any text is rows, ascending, or refused in one way."""
    try:
        rows = parse_map_file(text)
    except FormatError:
        return
    assert [row.date for row in rows] == sorted({row.date for row in rows})


@given(rows=ROWS)
def test_what_is_printed_is_read_back(rows: list[MapRow]) -> None:
    """Any rows."""
    assert parse_map_file(render_map_file(rows)) == rows
