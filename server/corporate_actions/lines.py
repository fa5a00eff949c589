"""Lines and dates of LEAN's small CSV files, as C# reads them. Pure."""

from __future__ import annotations

import re
from datetime import date

LAST_DATE = date(2050, 12, 31)
"""The date of the last row of a factor file, and of a map file while the share is listed (LEAN: ``Time.EndOfTime``)."""

_DATE = re.compile(r"\d{8}", re.ASCII)


def lines_of(text: str) -> list[str]:
    """The lines as C# reads them: a byte order mark is no part of them, nor what follows the last line's end."""
    lines = re.split("\r\n|\r|\n", text.removeprefix("\ufeff"))
    return lines if lines[-1] else lines[:-1]


def day_of(text: str) -> date | None:
    """The date of an ``yyyyMMdd``, or None if it is none."""
    if not _DATE.fullmatch(text):
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def shown(line: str) -> str:
    """A line of a file, for a message."""
    return repr(line if len(line) <= 60 else line[:57] + "...")
