"""Bars to LEAN's CSV, day by day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from server.lean.bars import PRICES, Bars
from server.lean.days import MS_PER_DAY, midnights
from server.lean.numbers import (
    Column,
    price_column,
    price_text,
    rows_text,
    volume_column,
    volume_text,
)
from server.lean.series import NEW_YORK, Resolution
from server.lean.zip import FormatError


class DayText(NamedTuple):
    """One day's rows as LEAN writes them; ``rows`` counts them."""

    day: date
    csv: bytes
    rows: int


def render_days(bars: Bars, resolution: Resolution, days: Sequence[date]) -> list[DayText]:
    """Print bars day by day; days without bars are left out.

    Args:
        bars: Ascending and unique in time, within `days`.
        days: Trading days, ascending.

    Raises:
        FormatError: A bar lies outside the days or out of order, or a number is negative, infinite or none.
    """
    _check_numbers(bars)
    if not len(bars):
        return []
    starts = midnights(days)
    place = np.searchsorted(starts, bars.time, side="right") - 1
    within = bars.time - starts[place]
    if place.min() < 0 or within.max() >= MS_PER_DAY:
        wrong = bars.time[(place < 0) | (within >= MS_PER_DAY)][0]
        raise FormatError(f"a bar of {_instant(wrong)} lies outside the days asked for")
    if resolution is Resolution.DAILY:
        if (place[1:] == place[:-1]).any():
            twice = days[int(place[1:][place[1:] == place[:-1]][0])]
            raise FormatError(f"there are 2 daily bars of {twice}")
        labels = np.fromiter((day.year * 10_000 + day.month * 100 + day.day for day in days), np.int64, len(days))
        text, offsets, odd = _print_rows(bars, Column(labels[place]), b" 00:00,")
    else:
        if (within % resolution.milliseconds).any():
            wrong = bars.time[within % resolution.milliseconds != 0][0]
            raise FormatError(f"a bar of {_instant(wrong)} does not begin on a whole {resolution.value}")
        text, offsets, odd = _print_rows(bars, Column(within), b",")
    return list(_split(bars, days, place, text.tobytes(), offsets, odd))


def _print_rows(
    bars: Bars, label: Column, after_label: bytes
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    odd = np.zeros(len(bars), np.bool_)
    fields: list[Column | bytes] = [label, after_label]
    for name in PRICES:
        column, bad = price_column(getattr(bars, name))
        fields += [column, b","]
        odd |= bad
    column, bad = volume_column(bars.volume)
    fields += [column, b"\n"]
    text, offsets = rows_text(fields)
    return text, offsets, odd | bad


def _split(
    bars: Bars,
    days: Sequence[date],
    place: npt.NDArray[np.intp],
    text: bytes,
    offsets: npt.NDArray[np.int64],
    odd: npt.NDArray[np.bool_],
) -> Iterator[DayText]:
    edges = np.searchsorted(place, np.arange(len(days) + 1))
    cuts = offsets[edges].tolist()
    counts = np.diff(edges).tolist()
    strange = odd.any()
    for index, day in enumerate(days):
        if not counts[index]:
            continue
        csv = text[cuts[index] : cuts[index + 1] - 1]
        if strange:
            first, last = int(edges[index]), int(edges[index + 1])
            csv = _corrected(csv, bars, first, np.flatnonzero(odd[first:last]))
        yield DayText(day, csv, counts[index])


def _corrected(csv: bytes, bars: Bars, first: int, rows: npt.NDArray[np.intp]) -> bytes:
    """A day's text with these of its rows printed by decimal arithmetic; its first bar is this one of the bars."""
    if not len(rows):
        return csv
    lines = csv.split(b"\n")
    for row in rows:
        lines[row] = _row_text(lines[row], bars, first + int(row))
    return b"\n".join(lines)


def _row_text(line: bytes, bars: Bars, row: int) -> bytes:
    label = line[: line.index(b",")].decode()
    prices = (price_text(float(getattr(bars, name)[row])) for name in PRICES)
    return ",".join((label, *prices, volume_text(float(bars.volume[row])))).encode()


def _check_numbers(bars: Bars) -> None:
    if len(bars) > 1 and (bars.time[1:] <= bars.time[:-1]).any():
        raise FormatError("bars are out of order or repeated")
    for name in (*PRICES, "volume"):
        column = getattr(bars, name)
        if not (np.isfinite(column).all() and (column >= 0).all()):
            wrong = int(np.flatnonzero(~(np.isfinite(column) & (column >= 0)))[0])
            raise FormatError(f"the bar of {_instant(bars.time[wrong])} has {name} {column[wrong]}")


def _instant(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(int(milliseconds) / 1000, UTC).astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S} New York"
