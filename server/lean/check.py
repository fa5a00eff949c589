"""LEAN's files of US equity trade bars: the format's functions in one place, and the check of whole files.

Pure functions. Minute and second files hold one New York day, rows ``ms,open,high,low,close,volume`` with
milliseconds since midnight; daily files hold all days, rows ``yyyyMMdd 00:00,open,...``. Prices are in 1/10,000
dollars, volumes in shares, rows ascend and are joined by LF without one at the end (LEAN:
``LeanData.GenerateLine``, ``LeanDataWriter``).
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

from server.lean.days import midnight
from server.lean.layout import EQUITY_USA, member_name, relative_path
from server.lean.parse import (
    check_csv,
    daily_rows,
    day_of,
    normalised,
    parse_csv,
    salvaged_days,
)
from server.lean.render import DayText, render_days
from server.lean.series import Resolution
from server.lean.zip import (
    FormatError,
    first_member,
    only_member,
    zip_bytes,
)

__all__ = [
    "DayText",
    "FormatError",
    "check_csv",
    "check_folder",
    "check_zip",
    "daily_rows",
    "first_member",
    "identify",
    "member_name",
    "midnight",
    "normalised",
    "only_member",
    "parse_csv",
    "relative_path",
    "render_days",
    "salvaged_days",
    "zip_bytes",
]


def check_zip(
    data: bytes, symbol: str, resolution: Resolution, day: date | None, *, strict: bool = False
) -> npt.NDArray[np.int64]:
    """Check that a zip is one LEAN could have written for this symbol and day.

    Args:
        strict: Also refuse what LEAN's reader forgives but its writer never writes: CRLF, a byte order mark, a
            line end at the end.

    Returns:
        int64, the first field of each row, as `check_csv` gives it.

    Raises:
        FormatError: Says what is wrong.
    """
    name, content = only_member(data)
    expected = member_name(symbol, resolution, day)
    if name != expected:
        raise FormatError(f"the member is called {name}, LEAN writes {expected}")
    plain = normalised(content)
    if strict and plain != content:
        raise FormatError("the CSV has a byte order mark, CRLF or a line end at the end, which LEAN does not write")
    return check_csv(plain, resolution)


_PATH = re.compile(
    r"(?:daily/(?P<daily>[^/]+)|(?P<resolution>minute|second)/(?P<symbol>[^/]+)/(?P<day>\d{8})_trade)\.zip"
)


def identify(path: str) -> tuple[str, Resolution, date | None] | None:
    """Symbol, resolution and day of a path below ``equity/usa``, or None if it is no trade bar file of ours."""
    match = _PATH.fullmatch(path)
    if not match:
        return None
    if match["daily"]:
        return match["daily"].upper(), Resolution.DAILY, None
    return match["symbol"].upper(), Resolution(match["resolution"]), day_of(int(match["day"]))


def check_folder(data_folder: Path, *, strict: bool = True) -> int:
    """Check every trade bar zip of a data folder; returns how many there are.

    Raises:
        FormatError: Names the first file that is wrong.
    """
    root = data_folder / EQUITY_USA
    count = 0
    for path in sorted(root.rglob("*.zip")):
        known = identify(path.relative_to(root).as_posix())
        if known is None:
            continue
        try:
            check_zip(path.read_bytes(), *known, strict=strict)
        except FormatError as error:
            raise FormatError(f"{path}: {error}") from error
        count += 1
    return count
