"""The days of which there are bars under a ticker, in any resolution; files are not checked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

from server.lean.layout import Layout, layout_of, parse_path
from server.lean.series import Resolution, Series, parse_symbol


def first_day_on_disk(root: Path, ticker: str) -> date | None:
    """The first day of which there are bars of any resolution under a ticker.

    Raises:
        ValueError: It is not a US equity symbol.
    """
    return min((day for _, day in first_days_on_disk(root, ticker)), default=None)


def first_days_on_disk(root: Path, ticker: str) -> list[tuple[Series, date]]:
    """The first day of each series of bars that exists under a ticker.

    Raises:
        ValueError: It is not a US equity symbol.
    """
    ticker = parse_symbol(ticker)
    every = [Series(ticker, resolution) for resolution in Resolution]
    days = [(series, _first_day(root, layout_of(series))) for series in every]
    return [(series, day) for series, day in days if day is not None]


def days_on_disk(root: Path, ticker: str) -> set[date]:
    """The days of which there are bars of any resolution under a ticker."""
    found: set[date] = set()
    for resolution in Resolution:
        layout = layout_of(Series(ticker, resolution))
        found |= _days_of_rows(root, layout) if layout.one_file else set(_days_of_names(root, layout))
    return found


def _first_day(root: Path, layout: Layout) -> date | None:
    if layout.one_file:
        return min(_days_of_rows(root, layout), default=None)
    return next(_days_of_names(root, layout), None)


def _days_of_rows(root: Path, layout: Layout) -> set[date]:
    from server.lean.errors import FormatError
    from server.lean.trade_csv import salvaged_days
    from server.lean.zip import first_member

    with suppress(OSError, FormatError):
        _, content = first_member((root / layout.path(None)).read_bytes())
        return set(salvaged_days(content))
    return set()


def _days_of_names(root: Path, layout: Layout) -> Iterator[date]:
    """The days of the files in a series' folder, ascending, as the names begin with the day."""
    names: list[str] = []
    with suppress(OSError):
        names = sorted(os.listdir(root / layout.folder))
    for name in names:
        found = parse_path(f"{layout.folder}/{name}")
        if found and found[0] == layout.series and found[1]:
            yield found[1]
