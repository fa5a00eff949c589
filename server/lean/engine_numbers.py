"""Numbers as LEAN's engine takes them from text: it validates nothing, and whole numbers overflow."""

from __future__ import annotations

_ZERO = ord("0")
_MOST_PLACES = 28


class UnreadableNumberError(Exception):
    """The engine raises an exception: a decimal has more than 28 digits behind the point."""


def whole_number(digits: str, bits: int) -> int:
    """Return a whole number, of which each character counts as a digit (``3E3`` is 513).

    Source: LEAN, ``Extensions.ToInt64``, ``StreamReaderExtensions.GetInt32``.

    Args:
        digits: The text without sign and point.
        bits: The width of the integer in which it is computed.
    """
    value = 0
    half = 1 << (bits - 1)
    for character in digits:
        value = (value * 10 + ord(character) - _ZERO + half) % (1 << bits) - half
    return value


def decimal_number(text: str) -> tuple[int, int]:
    """Return a decimal number without sign as its digits and the number of those behind the last point.

    Source: LEAN, ``Extensions.ToDecimal``, ``StreamReaderExtensions.GetDecimal``: the two halves of the 64-bit digits
    are taken as unsigned.

    Raises:
        UnreadableNumberError: More than 28 digits are behind the point.
    """
    places = len(text) - text.rfind(".") - 1 if "." in text else 0
    if places > _MOST_PLACES:
        raise UnreadableNumberError
    return whole_number(text.replace(".", ""), 64) % (1 << 64), places
