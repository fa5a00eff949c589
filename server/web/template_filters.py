"""Figures and instants as the pages write them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from server.core.text import days_text, size_text

_MINUTE, _HOUR = 60, 3600
_TEN = 10

size, days = size_text, days_text


def number(value: float) -> str:
    """A number with its thousands apart."""
    return f"{value:,}"


def duration(seconds: float) -> str:
    """A length of time, with as much of it as matters."""
    if seconds < _TEN:
        return f"{seconds:.2f} s"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min {int(seconds % _MINUTE):02d} s"
    return f"{int(seconds // _HOUR)} h {int(seconds % _HOUR // _MINUTE):02d} min"


def instant(at: datetime | str) -> str:
    """An instant for the attribute ``datetime``, from which scripts make local time."""
    return _utc(at).isoformat(timespec="milliseconds")


def utc(at: datetime | str) -> str:
    """An instant in UTC, for people."""
    return f"{_utc(at):%Y-%m-%d %H:%M:%S} UTC"


def _utc(at: datetime | str) -> datetime:
    return (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(UTC)


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "size": size,
    "duration": duration,
    "instant": instant,
    "utc": utc,
    "days": days,
}
