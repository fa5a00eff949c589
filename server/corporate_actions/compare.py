"""Our factor or map file and one that stands there, row by row, in sentences for people. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TypeVar

from attrs import frozen

from server.corporate_actions.factor_file import PRICE_DIGITS, REFERENCE_DIGITS, SPLIT_DIGITS, FactorRow, factor_fields
from server.corporate_actions.map_file import MapRow

SHOWN = 5
"""Up to so many differences are told."""

SPLIT_TOLERANCE = Fraction(5, 1_000_000)
"""Relative. QuantConnect's split factors are products of ratios of six significant digits, as its vendor gave them."""

Row = TypeVar("Row", FactorRow, MapRow)


@frozen
class Differences:
    """How two files differ.

    Attributes:
        count: Rows that are in one of them only, or differ.
        sentences: One for each of the first of them; "theirs" is the file that stands there.
    """

    count: int = 0
    sentences: tuple[str, ...] = ()


def factor_differences(ours: Sequence[FactorRow], theirs: Sequence[FactorRow], limit: int = SHOWN) -> Differences:
    """How two factor files differ, the newest row first: an event that one of them lacks shows in all older rows.

    Numbers are equal within one unit of the last digit printed, and split factors within `SPLIT_TOLERANCE`.
    """
    return _differences(ours, theirs, _factors_text, _factor_difference, limit)


def map_differences(ours: Sequence[MapRow], theirs: Sequence[MapRow], limit: int = SHOWN) -> Differences:
    """How two map files differ, the newest row first."""
    return _differences(ours, theirs, _ticker_text, _ticker_difference, limit)


def _differences(
    ours: Sequence[Row],
    theirs: Sequence[Row],
    text: Callable[[Row], str],
    difference: Callable[[Row, Row], str],
    limit: int,
) -> Differences:
    mine, other = ({row.date: row for row in rows} for rows in (ours, theirs))
    found = []
    for day in sorted(mine.keys() | other.keys(), reverse=True):
        if day not in other:
            found.append(f"{day}: only ours has this row ({text(mine[day])})")
        elif day not in mine:
            found.append(f"{day}: only theirs has this row ({text(other[day])})")
        elif what := difference(mine[day], other[day]):
            found.append(f"{day}: {what}")
    return Differences(len(found), tuple(found[:limit]))


def _factors_text(row: FactorRow) -> str:
    price, split, reference = factor_fields(row)
    return f"price factor {price}, split factor {split}, close {reference}"


def _factor_difference(ours: FactorRow, theirs: FactorRow) -> str:
    far = (
        _far(ours.price_factor, theirs.price_factor, PRICE_DIGITS),
        _far(ours.split_factor, theirs.split_factor, SPLIT_DIGITS)
        and abs(ours.split_factor - theirs.split_factor) > SPLIT_TOLERANCE * abs(theirs.split_factor),
        _far(ours.reference, theirs.reference, REFERENCE_DIGITS),
    )
    fields = zip(
        ("price factor", "split factor", "close"), factor_fields(ours), factor_fields(theirs), far, strict=True
    )
    return ", ".join(f"{name} {mine} in ours, {other} in theirs" for name, mine, other, wide in fields if wide)


def _far(ours: Fraction, theirs: Fraction, digits: int) -> bool:
    return abs(round(ours, digits) - round(theirs, digits)) > Fraction(1, 10**digits)


def _ticker_text(row: MapRow) -> str:
    return f"{row.ticker}, {f'exchange {row.exchange}' if row.exchange else 'no exchange'}"


def _ticker_difference(ours: MapRow, theirs: MapRow) -> str:
    return "" if ours == theirs else f"{_ticker_text(ours)} in ours, {_ticker_text(theirs)} in theirs"
