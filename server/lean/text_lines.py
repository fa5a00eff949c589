"""Lines, dates and decimals of LEAN's small CSV files, as C# reads and prints them. Pure."""

from __future__ import annotations

import re
from datetime import date

LAST_DATE = date(2050, 12, 31)
"""The date of the last row of a factor file, and of a map file while the share is listed (LEAN: ``Time.EndOfTime``)."""

_DATE = re.compile(r"\d{8}", re.ASCII)


def split_lines(text: str) -> list[str]:
    """Return the lines as C# reads them: without a byte order mark, and without an empty line after the last end."""
    lines = re.split("\r\n|\r|\n", text.removeprefix("\ufeff"))
    return lines if lines[-1] else lines[:-1]


def parse_date(text: str) -> date | None:
    """Return the date of an ``yyyyMMdd``, or None if the text is not one."""
    if not _DATE.fullmatch(text):
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def excerpt(line: str) -> str:
    """Return a line, quoted and shortened, for a message."""
    return repr(line if len(line) <= 60 else line[:57] + "...")


def strip_zeros(text: str) -> str:
    """Return a decimal without trailing zeros behind its point: ``1.50`` gives ``1.5``, ``100`` stays."""
    return text.rstrip("0").rstrip(".") if "." in text else text
