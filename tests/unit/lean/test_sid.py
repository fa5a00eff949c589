"""LEAN's security identifiers."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.lean.errors import FormatError
from server.lean.map_file import MapRow, parse_map_file, ticker_on
from server.lean.sid import NO_FIRST_DATE, parse_security_id, security_id, security_id_of_share


@pytest.mark.parametrize(
    ("ticker", "day", "text"),
    [
        ("AAPL", date(1998, 1, 2), "AAPL R735QTJ8XC9X"),
        ("fb", date(2012, 5, 18), "FB V6OIPNZEM8V9"),
        ("GOOG", date(2004, 8, 19), "GOOG T1AZ164W5VTX"),
        ("GOOCV", date(2014, 3, 27), "GOOCV VP83T1ZUHROL"),
        ("A", date(2010, 1, 4), "A UJ0T0SKEFN1H"),
        ("BRK.B", NO_FIRST_DATE, "BRK.B 2T"),
    ],
)
def test_identifiers_of_leans_files(ticker: str, day: date, text: str) -> None:
    """LEAN's sample files and recorded runs; without a map file the number has no date."""
    assert security_id(ticker, day) == text
    assert parse_security_id(text) == (ticker.upper(), day)


def test_the_first_row_of_the_map_file_decides() -> None:
    """The first ticker, without the number of a holder; without rows the ticker itself."""
    renamed = parse_map_file("19980102,uw,N\n19980716,uw,N\n20090804,wmi,N\n20501231,wm,N\n")

    assert security_id_of_share("WM", renamed) == "UW R735QTJ8XC9X"
    assert security_id_of_share("WM", []) == "WM 2T"
    assert security_id_of_share("FB", [MapRow(date(2012, 5, 18), "FB.1")]) == "FB V6OIPNZEM8V9"
    assert security_id_of_share("BRK.B", [MapRow(NO_FIRST_DATE, "BRK.B")]) == "BRK.B 2T"


@given(
    ticker=st.from_regex(r"\A[A-Z][A-Z0-9.]{0,11}\Z"),
    days=st.integers(0, 99_999),
)
def test_an_identifier_is_parsed_back(ticker: str, days: int) -> None:
    """Any ticker and any date that LEAN has digits for."""
    day = NO_FIRST_DATE + timedelta(days=days)

    assert parse_security_id(security_id(ticker, day)) == (ticker, day)


@given(text=st.text(st.sampled_from("AZ09 2T|,.-a\u0664"), max_size=20))
def test_any_text_is_an_identifier_or_a_format_error(text: str) -> None:
    """What is parsed is what would be written, leading zeros apart."""
    try:
        ticker, day = parse_security_id(text)
    except FormatError:
        return
    assert security_id(ticker, day).split()[1] == text.split()[1].lstrip("0")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AAPL",
        " 2T",
        "AAPL ",
        "AAPL  2T",
        "AAPL 2t",
        "AAPL 2T ",
        "AAPL 2U",
        "AAPL 0",
        "AAPL 2T|SPY 2T",
        "AAPL R735QTJ8XC9Y",
        "AAPL ZZZZZZZZZZZZZ",
        "AAPL R735QTJ8XC9X,",
        "AAPL \u0662T",
    ],
)
def test_what_is_not_the_identifier_of_a_us_equity(text: str) -> None:
    """Another security type or market, an option, or another form."""
    with pytest.raises(FormatError, match="is not the identifier of a US equity"):
        parse_security_id(text)


@pytest.mark.parametrize(
    ("ticker", "day"),
    [("", NO_FIRST_DATE), ("A B", NO_FIRST_DATE), ("A|B", NO_FIRST_DATE), ("A", date(1899, 12, 29)), ("A", date.max)],
)
def test_what_has_no_identifier(ticker: str, day: date) -> None:
    """A ticker that could not be parsed back, and dates that LEAN has no digits for."""
    with pytest.raises(ValueError, match="LEAN has no identifier"):
        security_id(ticker, day)


def test_identifiers_follow_from_leans_sample_map_files(lean_sample_data: Path) -> None:
    """Each row of the sample universe files whose ticker of the day is in a sample map file."""
    usa = lean_sample_data / "equity/usa"
    maps = [parse_map_file(path.read_text(encoding="ascii")) for path in sorted((usa / "map_files").glob("*.csv"))]
    compared = 0
    for path in sorted((usa / "fundamental/coarse").glob("*.csv")):
        day = date.fromisoformat(path.stem)
        expected = {ticker_on(rows, day): security_id_of_share("", rows) for rows in maps if ticker_on(rows, day)}
        for line in path.read_text(encoding="ascii").splitlines():
            text, ticker = line.split(",")[:2]
            if ticker in expected:
                assert text == expected[ticker], (path.name, ticker)
                compared += 1
    assert compared >= 30


def test_every_identifier_of_leans_samples_is_parsed_back(lean_sample_data: Path) -> None:
    """All shares of all sample universe files."""
    texts = {
        line.split(",")[0]
        for path in (lean_sample_data / "equity/usa/fundamental/coarse").glob("*.csv")
        for line in path.read_text(encoding="ascii").splitlines()
    }

    assert all(security_id(*parse_security_id(text)) == text for text in texts)
    assert len(texts) > 7000
