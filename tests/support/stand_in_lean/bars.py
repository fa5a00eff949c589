"""Reads LEAN's zips of bars as far as the stand-in needs them: closes of the regular session."""

from __future__ import annotations

import zipfile
import zlib
from datetime import date
from pathlib import Path
from typing import NamedTuple

_OPEN, _CLOSE = 34_200_000, 57_600_000


class CorruptZipError(Exception):
    """The zip cannot be read."""


class EmptyMemberError(Exception):
    """The zip's member is empty."""


class Close(NamedTuple):
    """The last price of a day, and of how many bars."""

    price: float
    bars: int


def day_close(path: Path) -> Close | None:
    """The close of a file of one day; the rows from the first one on that cannot be read are lost (fact 14).

    Raises:
        CorruptZipError: It is no zip.
        EmptyMemberError: It has no rows at all.
    """
    price, bars = 0.0, 0
    for line in rows(path):
        fields = line.split(",")
        try:
            time, value = int(fields[0]), float(fields[4])
        except (ValueError, IndexError):
            break
        if _OPEN <= time < _CLOSE:
            price, bars = value / 10_000, bars + 1
    return Close(price, bars) if bars else None


def closes(path: Path) -> dict[date, Close]:
    """The closes of a file of hours or days, by day; a row that cannot be read is lost, and the one after it.

    Raises:
        CorruptZipError: It is no zip.
        EmptyMemberError: It has no rows at all.
    """
    found: dict[date, Close] = {}
    lines = iter(rows(path))
    for line in lines:
        fields = line.split(",")
        try:
            day = date(int(fields[0][:4]), int(fields[0][4:6]), int(fields[0][6:8]))
            price = float(fields[4]) / 10_000
        except (ValueError, IndexError):
            next(lines, None)
            continue
        earlier = found.get(day)
        found[day] = Close(price, 1 + (earlier.bars if earlier else 0))
    return found


def rows(path: Path) -> list[str]:
    """The lines of a zip's first member."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            data = archive.read(names[0]) if names else b""
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise CorruptZipError(str(error)) from None
    if not data:
        raise EmptyMemberError
    return data.decode("utf-8-sig", "replace").splitlines()
