"""The text of factor files: printed by LEAN's rule, and read as LEAN's parser reads it."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.lean.errors import FormatError
from server.lean.factor_file import FactorRow, parse_factor_file, render_factor_file


def day(text: str) -> date:
    return date.fromisoformat(text)


# --- printing ---


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ((Fraction(1), Fraction(1), Fraction(0)), "1,1,0"),
        ((Fraction(99, 100), Fraction(1, 4), Fraction("97.3800")), "0.99,0.25,97.38"),
        ((Fraction("0.99230804"), Fraction("0.035714300001"), Fraction("303.74")), "0.9923080,0.03571430,303.74"),
        ((Fraction("0.995"), Fraction(1, 28), Fraction("12.34565")), "0.995,0.03571429,12.3456"),
        ((Fraction("0.99999995"), Fraction("2500000"), Fraction("100")), "1.0000000,2500000,100"),
        ((Fraction("0.12345665"), Fraction(1, 2_000_000), Fraction("0.0001")), "0.1234566,0.0000005,0.0001"),
        ((Fraction("0.5"), Fraction("2E+28") / 3, Fraction("1")), "0.5,6666666666666666666666666666.66666667,1"),
    ],
)
def test_numbers_as_lean_prints_them(row: tuple[Fraction, Fraction, Fraction], line: str) -> None:
    """7, 8 and 4 decimals, half to even, with their zeros only where digits were cut off, never an exponent."""
    assert render_factor_file([FactorRow(day("2020-06-12"), *row)]) == f"20200612,{line}"


# --- reading ---


def read(text: str) -> list[str]:
    return render_factor_file(parse_factor_file(text)).split("\n") if parse_factor_file(text) else []


@pytest.mark.parametrize(
    "text",
    [
        "20200102,0.9,0.5,1\n20501231,1,1,0",
        "20200102,0.9,0.5,1\n20501231,1,1,0\n",
        "20200102,0.9,0.5,1\r\n20501231,1,1,0\r\n",
        "\ufeff20200102,0.9,0.5,1\r20501231,1,1,0",
        "20501231,1,1,0\n20200102,0.9,0.5,1\n20200102,0.9,0.5,1",
        "20200102,0.9,0.5,1\n20200102,0.8,0.5,1\n20501231,1,1",
        "20200102, 0.9 ,+.5,1.\n20501231,1+,1,0,vendor",
        "20190102,0.9,inf,1\n20190103,0.9,1.6e+6,1\n20200102,0.9,0.5,1\n20501231,1,1,0",
        "20190102,0,1,1\n20190103,1,0.0,1\n20190104,-1,1,1\n20200102,0.9,0.5,1\n20501231,1,1,0",
    ],
)
def test_what_lean_reads(text: str) -> None:
    """Line ends, order, repeated lines, forms of numbers, rows passed over: two rows remain of each."""
    assert read(text) == ["20200102,0.9,0.5,1", "20501231,1,1,0"]


def test_an_empty_file_has_no_rows() -> None:
    """LEAN then takes all factors as 1."""
    assert read("") == []


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        "date,price,split",
        "20200230,1,1,1",
        "2020010,1,1,1",
        " 20200102,1,1,1",
        "\uff12\uff10\uff12\uff100102,1,1,1",
        "20200102",
        "20200102,1",
        "20200102,,1,1",
        "20200102,1e5,1,1",
        "20200102,1,1E+5,1",
        "20200102,1,1,x",
        "20200102,1,1,NaN",
        "20200102,- 1,1,1",
        "20200102,+1-,1,1",
        "20200102,.,1,1",
        "20200102,1_0,1,1",
        "20200102,79228162514264337593543950336,1,1",
        "20200102,79228162514264337593543950335,2,1",
    ],
)
def test_a_line_that_lean_cannot_read(line: str) -> None:
    """One such line and LEAN has no factors at all: the file is refused and the line named."""
    with pytest.raises(FormatError, match="is not a row of a factor file; LEAN then ignores the whole file"):
        parse_factor_file(f"20190102,1,1,1\n{line}\n20501231,1,1,0")


@given(st.text() | st.text(alphabet="0123456789,.-+einf \n\r\t", max_size=80))
def test_reading_any_text(text: str) -> None:
    """Any text is rows, ascending, or refused in one way."""
    try:
        rows = parse_factor_file(text)
    except FormatError:
        return
    assert [row.date for row in rows] == sorted({row.date for row in rows})


NUMBERS = st.fractions(Fraction(1, 1000), 10_000, max_denominator=10**12)
ROWS = st.lists(
    st.builds(FactorRow, st.dates(date(1998, 1, 2), date(2050, 12, 31)), NUMBERS, NUMBERS, NUMBERS),
    unique_by=lambda row: row.date,
)


@settings(deadline=None)  # a loaded machine is no fault
@given(rows=ROWS)
def test_what_is_printed_is_read_back(rows: list[FactorRow]) -> None:
    """Any rows, printed and read, are the same rows at 7, 8 and 4 decimals, and no more is lost the second time."""
    text = render_factor_file(rows)
    back = parse_factor_file(text)

    assert back == [
        FactorRow(row.date, round(row.price_factor, 7), round(row.split_factor, 8), round(row.reference, 4))
        for row in sorted(rows, key=lambda row: row.date)
    ]
    assert parse_factor_file(render_factor_file(back)) == back
    assert not {"e", "E", "\r", " "} & set(text)
