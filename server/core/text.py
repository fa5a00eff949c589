"""Text of counts, sizes, days and lists for messages and pages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

_SIZES = ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB"))


def count_text(number: int, noun: str) -> str:
    """Write a number with its noun, as in ``1 day`` and ``1,200 days``.

    Args:
        number: The number of things.
        noun: What one of them is called; its plural ends in s.
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def size_text(size: int) -> str:
    """Write a number of bytes in decimal units, as in ``312 B`` and ``1.5 MB``."""
    for unit, name in _SIZES:
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size} B"


def traffic_text(requests: int, size: int) -> str:
    """Write a number of requests and the bytes received for them, as in ``2 requests, 1.5 MB``."""
    return f"{count_text(requests, 'request')}, {size_text(size)}"


def days_text(days: Sequence[date] | Sequence[str]) -> str:
    """Write days in ascending order as one day, or as the first, the last and their number.

    Args:
        days: Days, or their ISO text.
    """
    if len(days) > 1:
        return f"{days[0]} to {days[-1]}, {len(days):,} days"
    return str(days[0]) if days else "none"


def list_text(names: Sequence[str], most: int = 5) -> str:
    """Write names separated by commas, as in ``A, B and 3 more``.

    Args:
        names: The names.
        most: How many names are written before the number of the others.
    """
    others = len(names) - most
    return ", ".join(names[:most]) + (f" and {others:,} more" if others > 0 else "")
