"""A data folder with universe files, map files and factor files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

COARSE, MAPS, FACTORS = (f"equity/usa/{name}" for name in ("fundamental/coarse", "map_files", "factor_files"))
DAYS = [date(2013, 10, 7), date(2013, 10, 8), date(2013, 10, 9), date(2013, 10, 10), date(2013, 10, 11)]

NUMBER = "UJ0T0SKEFN1H"
"""Of a share whose map file begins on 2010-01-04: LEAN's, from a recorded run."""


def write(path: Path, text: str) -> Path:
    """Write a file and the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def write_map_file(root: Path, name: str, *rows: str) -> Path:
    """Write a map file; without rows, of one ticker from 2010-01-04 on."""
    ticker = name.split(".")[0]
    return write(
        root / MAPS / f"{name}.csv",
        "".join(f"{row}\n" for row in rows or (f"20100104,{ticker},N", f"20501231,{ticker},N")),
    )


def write_factor_file(root: Path, name: str, price: str, split: str) -> Path:
    """Write a factor file with these factors on all of `DAYS`."""
    return write(
        root / FACTORS / f"{name}.csv", f"20100104,{price},{split},1\n20140102,{price},{split},9\n20501231,1,1,0"
    )


def row(ticker: str, number: str = "2T", factors: str = "1,1") -> str:
    """A row of a universe file."""
    return f"{ticker} {number},{ticker},102,1000,102000,True,{factors}\n"


def write_universe(root: Path, rows: Iterable[str], days: Sequence[date] = DAYS) -> list[Path]:
    """Write the same rows for each day; the files are hours old, so that a rewritten one is later."""
    text = "".join(rows)
    paths = [write(universe_path(root, day), text) for day in days]
    for path in paths:
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return paths


def universe_path(root: Path, day: date) -> Path:
    """Where the universe file of a day is."""
    return root / COARSE / f"{day:%Y%m%d}.csv"


def universe_texts(root: Path) -> list[str]:
    """The files in the folder, in the order of their names."""
    return [path.read_bytes().decode() for path in sorted((root / COARSE).iterdir())]
