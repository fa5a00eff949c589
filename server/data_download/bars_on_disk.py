"""Reads bars of the data folder to aggregate them; nothing is written and nothing is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from server.lean.aggregation import joined, regular_days
from server.lean.bar_checks import without_bad_days
from server.lean.bars import Bars, no_bars
from server.lean.errors import FormatError
from server.lean.irregular import read_rows
from server.lean.layout import layout_of
from server.lean.series import Series


def read_days(root: Path, series: Series, days: Sequence[date]) -> tuple[Bars, list[date]]:
    """Read the bars of days that a scan found present.

    Args:
        root: LEAN's data folder.
        series: The series.
        days: Trading days, ascending.

    Returns:
        The bars, and the days that could be read and have no bad bar.
    """
    rows: dict[date, bytes] = {}
    for file_day in layout_of(series).files(days):
        rows |= _rows(root, series, file_day)
    having = [day for day in days if day in rows]
    if not having:
        return no_bars(), []
    bars, bad = without_bad_days(_parsed(series, having, rows), having)
    return bars, [day for day in having if day not in bad]


def regular_hours(root: Path, series: Series, days: Sequence[date]) -> tuple[list[date], Bars]:
    """The days whose hour bars are all of the regular session, and the hour bars of these days.

    Args:
        root: LEAN's data folder.
        series: A series of hour bars.
        days: Trading days, ascending.
    """
    bars, read = read_days(root, series, days)
    found = regular_days(bars, read)
    if len(found) == len(read):
        return found, bars
    from server.lean.days import select_days

    return found, select_days(bars, found)[0]


def _parsed(series: Series, days: Sequence[date], rows: dict[date, bytes]) -> Bars:
    layout = layout_of(series)
    if layout.one_file:
        return layout.parse(b"\n".join(rows[day] for day in days), None)
    return joined([layout.parse(rows[day], day) for day in days])


def _rows(root: Path, series: Series, day: date | None) -> dict[date, bytes]:
    """The rows of a file by day; none where it cannot be read any more."""
    layout = layout_of(series)
    try:
        return read_rows(layout, (root / layout.path(day)).read_bytes(), day)
    except (OSError, FormatError):
        return {}
