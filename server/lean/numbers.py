"""Columns of numbers to the bytes of LEAN's CSV, without a Python object per bar.

LEAN prints a price as the decimal times 10,000, not rounded, without trailing zeros or exponent, and a volume as
the decimal itself (LEAN: ``LeanData.Scale``, ``Extensions.NormalizeToStr``). The decimal is the double rounded to
15 significant digits, as C# converts it. A double x equals k/10^d for a whole k < 10^15 exactly if its
15-digit decimal is k/10^d; that test is vectorised, and what fails it (a double such as 100.40000000000001) goes
through decimal arithmetic row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal

import numpy as np
import numpy.typing as npt
from attrs import frozen

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_LIMIT = 10.0**15
_POWERS = 10 ** np.arange(19, dtype=np.int64)
_FOUR_DIGITS = np.array([f"{number:04d}".encode() for number in range(10_000)]).view(np.uint32)
_EXACT = Context(prec=60)


@frozen(eq=False)
class Column:
    """One field of all rows: whole numbers >= 0, and where needed the digits behind the point.

    ``fraction`` counts units of 10^-``digits``; None when every value is whole.
    """

    whole: Ints
    fraction: Ints | None = None
    digits: int = 0


Field = Column | bytes | npt.NDArray[np.uint8]
"""A field of all rows: a column of numbers, one text for all rows, or a text for each row as (rows, width) bytes."""


def price_column(dollars: Floats) -> tuple[Column, npt.NDArray[np.bool_]]:
    """Dollars to 1/10,000 dollars, and which rows the column cannot express (rendered by `price_text`)."""
    return _column(dollars, shift=4, digits=4)


def volume_column(shares: Floats) -> tuple[Column, npt.NDArray[np.bool_]]:
    """Shares, and which rows the column cannot express (rendered by `volume_text`)."""
    return _column(shares, shift=0, digits=6)


def price_text(dollars: float) -> str:
    """One price as LEAN prints it: ``123.45`` gives ``1234500``, ``0.00005`` gives ``0.5``."""
    return _plain(_EXACT.multiply(Decimal(format(dollars, ".15g")), Decimal(10_000)))


def volume_text(shares: float) -> str:
    """One volume as LEAN prints it: ``1234.0`` gives ``1234``, ``100.5`` gives ``100.5``."""
    return _plain(Decimal(format(shares, ".15g")))


def _plain(number: Decimal) -> str:
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _column(values: Floats, shift: int, digits: int) -> tuple[Column, npt.NDArray[np.bool_]]:
    with np.errstate(over="ignore"):  # an infinite product is inexact, and rendered by decimal arithmetic
        whole = np.rint(values * 10.0**shift)
    inexact = (whole / 10.0**shift != values) | (whole >= _LIMIT)
    if not inexact.any():
        return Column(whole.astype(np.int64)), inexact
    with np.errstate(over="ignore"):
        scaled = np.rint(values * 10.0 ** (shift + digits))
    inexact = (scaled / 10.0 ** (shift + digits) != values) | (scaled >= _LIMIT)
    units = np.where(inexact, 0, scaled).astype(np.int64)
    unit = int(_POWERS[digits])
    return Column(units // unit, units % unit, digits), inexact


def rows_text(fields: Sequence[Field]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Render the rows, field by field.

    Returns:
        The bytes of all rows without anything between them, and the offset at which each row begins (one more
        than there are rows, the last being the length).
    """
    blocks = [_block(field) for field in fields]
    rows = max(len(text) for text, _ in blocks)
    width = sum(text.shape[1] for text, _ in blocks)
    text = np.empty((rows, width), np.uint8)
    ragged = any(keep is not None for _, keep in blocks)
    keep = np.ones((rows, width), np.bool_) if ragged else None
    at = 0
    lengths = np.full(rows, width, np.int64)
    for block, kept in blocks:
        upto = at + block.shape[1]
        text[:, at:upto] = block
        if kept is not None and keep is not None:
            keep[:, at:upto] = kept
            lengths -= block.shape[1] - np.count_nonzero(kept, axis=1)
        at = upto
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return (text.reshape(-1) if keep is None else text[keep]), offsets


_Block = tuple[npt.NDArray[np.uint8], "npt.NDArray[np.bool_] | None"]


def _block(field: Field) -> _Block:
    if isinstance(field, np.ndarray):
        return field, None
    if isinstance(field, bytes):
        return np.frombuffer(field, np.uint8).reshape(1, -1), None
    text, keep = _whole(field.whole)
    if field.fraction is None or not field.fraction.any():
        return text, keep
    rows, digits = len(field.whole), field.digits
    behind = _digits(field.fraction, digits)
    shown = np.zeros((rows, digits + 1), np.bool_)
    for place in range(digits):  # a digit is shown unless it and all behind it are zero
        shown[:, place + 1] = field.fraction % _POWERS[digits - place] != 0
    shown[:, 0] = field.fraction != 0
    point = np.full((rows, 1), ord("."), np.uint8)
    whole_shown = np.ones(text.shape, np.bool_) if keep is None else keep
    return np.hstack([text, point, behind]), np.hstack([whole_shown, shown])


def _whole(values: Ints) -> _Block:
    width = len(str(int(values.max())))
    text = _digits(values, width)
    if width == len(str(int(values.min()))):
        return text, None
    keep = np.empty(text.shape, np.bool_)
    for place in range(width - 1):
        np.greater_equal(values, _POWERS[width - 1 - place], out=keep[:, place])
    keep[:, -1] = True
    return text, keep


def _digits(values: Ints, width: int) -> npt.NDArray[np.uint8]:
    """The decimal digits of each value, zero-padded to the width, four at a time from a table."""
    groups = -(-width // 4)
    table = np.empty((len(values), groups), np.uint32)
    rest = values
    for group in range(groups - 1, 0, -1):
        above = rest // 10_000
        table[:, group] = _FOUR_DIGITS[rest - above * 10_000]
        rest = above
    table[:, 0] = _FOUR_DIGITS[rest]
    return table.view(np.uint8)[:, groups * 4 - width :]
