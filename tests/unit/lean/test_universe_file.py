"""The text of universe files."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.lean.errors import FormatError
from server.lean.universe_file import UniverseRow, parse_universe_file, render_universe_file

AGILENT = UniverseRow(
    "A RPTMYV3VC57P", "A", Decimal("55.26"), 1983802, 109624898, True, Decimal("0.6694742"), Decimal(1)
)
ALCOA = UniverseRow(
    "AA R735QTJ8XC9X", "AA", Decimal("12.01"), 28620078, 343727136, False, Decimal("0.5373942"), Decimal("3.0003")
)
TEXT = (
    "A RPTMYV3VC57P,A,55.26,1983802,109624898,True,0.6694742,1\n"
    "AA R735QTJ8XC9X,AA,12.01,28620078,343727136,False,0.5373942,3.0003\n"
)
"""The first two lines of LEAN's sample of 2014-03-24."""


def test_rows_are_rendered_in_the_order_of_their_bytes() -> None:
    """A space comes before a letter; each line ends with a line feed."""
    assert render_universe_file([ALCOA, AGILENT]) == TEXT
    assert render_universe_file([]) == ""


def test_rows_are_parsed_in_the_order_of_the_file() -> None:
    """Numbers keep their exact value."""
    assert parse_universe_file(TEXT) == [AGILENT, ALCOA]
    assert parse_universe_file("") == []


@pytest.mark.parametrize(
    ("number", "text"), [("1E+3", "1000"), ("12.10", "12.1"), ("100", "100"), ("1E-7", "0.0000001"), ("0.0", "0")]
)
def test_decimals_have_neither_exponents_nor_trailing_zeros(number: str, text: str) -> None:
    """LEAN normalises them before it prints."""
    row = UniverseRow("X 2T", "X", Decimal(number), 1, 1, False, Decimal(1), Decimal(number))

    assert render_universe_file([row]) == f"X 2T,X,{text},1,1,False,1,{text}\n"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "A 2T,A,1,1,1,True,1",
        "A 2T,A,1,1,1,True,1,1,1",
        ",A,1,1,1,True,1,1",
        "A 2T,,1,1,1,True,1,1",
        "A 2T,A,x,1,1,True,1,1",
        "A 2T,A,-1,1,1,True,1,1",
        "A 2T,A,1,1.5,1,True,1,1",
        "A 2T,A,1,1,1e3,True,1,1",
        "A 2T,A,1,1,1,true,1,1",
        "A 2T,A,1,1,1,True,1e-3,1",
        "A 2T,A,1,1,1,True,1,",
        "A 2T,A,\uff11,1,1,True,1,1",
    ],
)
def test_an_invalid_line_is_named(line: str) -> None:
    """The number of fields, an empty name, and numbers in another form."""
    with pytest.raises(FormatError, match="is not a row of a universe file"):
        parse_universe_file(f"{TEXT}{line}\n")


NUMBERS = st.decimals(min_value=0, max_value=10**9, places=7)
ROWS = st.lists(
    st.builds(
        UniverseRow,
        st.sampled_from(["AAPL R735QTJ8XC9X", "SPY R735QTJ8XC9X", "X 2T"]),
        st.sampled_from(["AAPL", "SPY", "BRK.B"]),
        NUMBERS,
        st.integers(0, 10**12),
        st.integers(0, 10**15),
        st.booleans(),
        NUMBERS,
        NUMBERS,
    )
)


@given(rows=ROWS)
def test_rendered_rows_are_parsed_back(rows: list[UniverseRow]) -> None:
    """Any rows, whatever their order."""
    text = render_universe_file(rows)

    found = parse_universe_file(text)

    assert render_universe_file(found) == text
    assert len(found) == len(rows)
    assert all(row in rows for row in found)


def test_leans_samples_are_rendered_byte_for_byte(lean_sample_data: Path) -> None:
    """Each sample file, parsed and rendered; dollar volume is close times volume without decimals."""
    files = sorted((lean_sample_data / "equity/usa/fundamental/coarse").glob("*.csv"))

    for path in files:
        rows = parse_universe_file(path.read_text(encoding="ascii"))
        assert render_universe_file(rows).encode() == path.read_bytes(), path.name
        assert all(row.dollar_volume == int(row.close * row.volume) for row in rows), path.name
    assert files
