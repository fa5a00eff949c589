"""LEAN's factor file: its rows, and its text in both directions. Pure.

A row holds the factors by which prices up to and including its date are multiplied to compare with today's prices: the
price factor accounts for dividends, the split factor for splits (LEAN: ``CorporateFactorRow``,
``CorporateFactorProvider``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction

from attrs import frozen

from server.lean.errors import FormatError
from server.lean.text_lines import LAST_DATE, excerpt, parse_date, split_lines, strip_zeros

PRICE_DIGITS, SPLIT_DIGITS, REFERENCE_DIGITS = 7, 8, 4
"""Decimals that LEAN prints of each field (LEAN: ``CorporateFactorRow.GetFileFormat``)."""

MAX_NUMBER = Fraction(79_228_162_514_264_337_593_543_950_335)
"""The largest C# decimal. LEAN ignores a whole file with a greater number in it."""

_DECIMALS = 28
"""Decimals of a C# decimal."""

_NUMBER = re.compile(r"[\t-\r ]*([+-]?)(\d+(?:\.\d*)?|\.\d+)[\t-\r ]*([+-]?)[\t-\r ]*", re.ASCII)


@frozen
class FactorRow:
    """One row of a factor file.

    Attributes:
        date: The last trading day for which the factors apply; the event is on the next trading day.
        price_factor: For dividends; 1 or less.
        split_factor: For splits; less than 1 before a split, more before a reverse split.
        reference: The raw close of that day in dollars; 1 in a first row without an event, 0 in the last row.
    """

    date: date
    price_factor: Fraction
    split_factor: Fraction
    reference: Fraction


LAST_ROW = FactorRow(LAST_DATE, Fraction(1), Fraction(1), Fraction(0))


def render_factor_file(rows: Sequence[FactorRow]) -> str:
    """Return the text as in QuantConnect's files: a line for each row, line feeds between, none at the end.

    Factors have 7 and 8 decimals, rounded half to even and with their zeros, or fewer if that is exact; the reference
    price has up to 4; there are no exponents (LEAN: ``CorporateFactorRow.GetFileFormat``).
    """
    return "\n".join(",".join((f"{row.date:%Y%m%d}", *field_texts(row))) for row in rows)


def field_texts(row: FactorRow) -> tuple[str, str, str]:
    """Return the price factor, split factor and reference price of a row, as LEAN prints them."""
    price, split = _factor_text(row.price_factor, PRICE_DIGITS), _factor_text(row.split_factor, SPLIT_DIGITS)
    return price, split, decimal_text(row.reference, REFERENCE_DIGITS)


def decimal_text(value: Fraction, digits: int) -> str:
    """Return a number rounded to at most this number of decimals, without trailing zeros."""
    return strip_zeros(_rounded(value, digits))


def parse_factor_file(text: str) -> list[FactorRow]:
    """Return the rows that LEAN's engine reads from such a file, ascending; none from an empty file.

    As in the engine, equal lines count once, lines with ``inf`` or ``e+`` and rows whose factors are not positive
    are skipped, and of several rows of one date the first counts (LEAN: ``PriceScalingExtensions.SafeRead``,
    ``CorporateFactorRow.Parse``).

    Raises:
        FormatError: A line cannot be read. The engine then ignores the whole file without a message.
    """
    rows: dict[date, FactorRow] = {}
    for line in dict.fromkeys(split_lines(text)):
        if "inf" in line or "e+" in line:
            continue
        row = _parse_row(line)
        if round(row.price_factor * row.split_factor, _DECIMALS) > 0:
            rows.setdefault(row.date, row)
    return [rows[day] for day in sorted(rows)]


def _factor_text(value: Fraction, digits: int) -> str:
    """The number with its zeros if it had to be rounded, else without."""
    text = _rounded(value, digits)
    return text if (value * 10**digits).denominator != 1 else strip_zeros(text)


def _rounded(value: Fraction, digits: int) -> str:
    units = round(value * 10**digits)  # a Fraction is rounded half to even
    whole, rest = divmod(abs(units), 10**digits)
    return f"{'-' if units < 0 else ''}{whole}.{rest:0{digits}d}"


def _parse_row(line: str) -> FactorRow:
    fields = line.split(",")
    day, numbers = parse_date(fields[0]), [_parse_number(field) for field in fields[1:4]]
    valid = [number for number in numbers if number is not None]
    if day is None or len(numbers) < 2 or len(valid) < len(numbers) or abs(valid[0] * valid[1]) > MAX_NUMBER:
        raise FormatError(f"the line {excerpt(line)} is not a row of a factor file; LEAN then ignores the whole file")
    return FactorRow(day, valid[0], valid[1], valid[2] if len(valid) > 2 else Fraction(0))


def _parse_number(text: str) -> Fraction | None:
    """The number that C# reads (``NumberStyles.Number``): no exponent, a sign at either end, 28 decimals."""
    found = _NUMBER.fullmatch(text)
    if not found or (found[1] and found[3]):
        return None
    number = round(Fraction(Decimal(found[2])), _DECIMALS)
    if number > MAX_NUMBER:
        return None
    return -number if "-" in (found[1], found[3]) else number
