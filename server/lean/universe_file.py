"""LEAN's universe file: one row for each security that traded on a day, and the text in both directions. Pure.

LEAN reads it where an algorithm selects its securities by price and volume (LEAN: ``CoarseFundamentalDataProvider``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from attrs import frozen

from server.lean.errors import FormatError
from server.lean.layout import EQUITY_USA
from server.lean.text_lines import excerpt, split_lines, strip_zeros

UNIVERSE_FILES = f"{EQUITY_USA}/fundamental/coarse"
"""The folder of universe files, each named by its trading day (LEAN: ``CoarseFundamental.GetSource``)."""

_FIELDS = 8
_WHOLE = re.compile(r"\d+", re.ASCII)
_DECIMAL = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_FLAGS = {"True": True, "False": False}


@frozen
class UniverseRow:
    """One row of a universe file.

    Attributes:
        security_id: LEAN's identifier of the security, made of its first ticker and first day: ``AAPL R735QTJ8XC9X``.
        ticker: The ticker of the day, upper case.
        close: The raw close in dollars.
        volume: Shares.
        dollar_volume: Close times volume, without decimals.
        price_factor: The factor file's of the day.
        split_factor: The factor file's of the day.
    """

    security_id: str
    ticker: str
    close: Decimal
    volume: int
    dollar_volume: int
    has_fundamental_data: bool
    price_factor: Decimal
    split_factor: Decimal


def universe_file_path(day: date) -> str:
    """Return the path of the universe file of a trading day, below the data folder."""
    return f"{UNIVERSE_FILES}/{day:%Y%m%d}.csv"


def render_universe_file(rows: Sequence[UniverseRow]) -> str:
    """Return the text: lines sorted by their bytes, each with a line feed, no header, no exponents."""
    return "".join(sorted(map(_line, rows)))


def parse_universe_file(text: str) -> list[UniverseRow]:
    """Return the rows in the order of the file.

    Raises:
        FormatError: A line is not as LEAN's files have it.
    """
    return [_parse_row(line) for line in split_lines(text)]


def _line(row: UniverseRow) -> str:
    fields = (
        row.security_id,
        row.ticker,
        _plain(row.close),
        str(row.volume),
        str(row.dollar_volume),
        str(row.has_fundamental_data),
        _plain(row.price_factor),
        _plain(row.split_factor),
    )
    return ",".join(fields) + "\n"


def _plain(number: Decimal) -> str:
    return strip_zeros(format(number, "f"))


def _parse_row(line: str) -> UniverseRow:
    fields = line.split(",")
    if len(fields) != _FIELDS:
        raise FormatError(f"the line {excerpt(line)} is not a row of a universe file: it has {len(fields)} fields")
    security_id, ticker, close, volume, dollar_volume, flag, price_factor, split_factor = fields
    valid = (
        bool(security_id and ticker)
        and flag in _FLAGS
        and all(_WHOLE.fullmatch(field) for field in (volume, dollar_volume))
        and all(_DECIMAL.fullmatch(field) for field in (close, price_factor, split_factor))
    )
    if not valid:
        raise FormatError(f"the line {excerpt(line)} is not a row of a universe file")
    return UniverseRow(
        security_id,
        ticker,
        Decimal(close),
        int(volume),
        int(dollar_volume),
        _FLAGS[flag],
        Decimal(price_factor),
        Decimal(split_factor),
    )
