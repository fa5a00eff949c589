"""Bars to the text of LEAN's rows, day by day, whatever the rows' labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from server.lean.bars import PRICES, Bars
from server.lean.days import MS_PER_DAY, midnights
from server.lean.errors import FormatError
from server.lean.numbers import Field, price_column, price_text, rows_text, volume_column, volume_text
from server.lean.series import NEW_YORK


class DayText(NamedTuple):
    """One day's rows as LEAN writes them, joined by LF; ``rows`` counts them."""

    day: date
    csv: bytes
    rows: int


def check_numbers(bars: Bars) -> None:
    """Check that bars ascend and that their numbers are finite and not negative.

    Raises:
        FormatError: Names the first bar that is wrong.
    """
    if len(bars) > 1 and (bars.time[1:] <= bars.time[:-1]).any():
        raise FormatError("bars are out of order or repeated")
    for name in (*PRICES, "volume"):
        column = getattr(bars, name)
        valid = np.isfinite(column) & (column >= 0)
        if not valid.all():
            wrong = int(np.flatnonzero(~valid)[0])
            raise FormatError(f"the bar of {instant_text(bars.time[wrong])} has {name} {column[wrong]}")


def place_in_days(bars: Bars, days: Sequence[date]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """For each bar the index of its day among `days`, and the milliseconds since that day's midnight.

    Raises:
        FormatError: A bar is outside the days.
    """
    starts = midnights(days)
    place = np.searchsorted(starts, bars.time, side="right") - 1
    within = bars.time - starts[place]
    if place.min() < 0 or within.max() >= MS_PER_DAY:
        wrong = bars.time[(place < 0) | (within >= MS_PER_DAY)][0]
        raise FormatError(f"a bar of {instant_text(wrong)} lies outside the days asked for")
    return place, within


def render_rows(bars: Bars, days: Sequence[date], place: npt.NDArray[np.intp], label: Sequence[Field]) -> list[DayText]:
    """Render rows that begin with a label; days without bars are left out.

    Args:
        bars: The bars.
        days: Trading days, ascending.
        place: The index of each bar's day among `days`.
        label: The fields of each row's label, the comma after it included.
    """
    inexact = np.zeros(len(bars), np.bool_)
    fields: list[Field] = list(label)
    for name in PRICES:
        column, left_out = price_column(getattr(bars, name))
        fields += [column, b","]
        inexact |= left_out
    column, left_out = volume_column(bars.volume)
    text, offsets = rows_text([*fields, column, b"\n"])
    return list(_split(bars, days, place, text.tobytes(), offsets, inexact | left_out))


def instant_text(milliseconds: int) -> str:
    """An instant in milliseconds since 1970 UTC as New York's wall clock."""
    return f"{datetime.fromtimestamp(int(milliseconds) / 1000, UTC).astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S} New York"


def _split(
    bars: Bars,
    days: Sequence[date],
    place: npt.NDArray[np.intp],
    text: bytes,
    offsets: npt.NDArray[np.int64],
    inexact: npt.NDArray[np.bool_],
) -> Iterator[DayText]:
    edges = np.searchsorted(place, np.arange(len(days) + 1))
    cuts = offsets[edges].tolist()
    counts = np.diff(edges).tolist()
    some_inexact = inexact.any()
    for index, day in enumerate(days):
        if not counts[index]:
            continue
        csv = text[cuts[index] : cuts[index + 1] - 1]
        if some_inexact:
            first, last = int(edges[index]), int(edges[index + 1])
            csv = _correct(csv, bars, first, np.flatnonzero(inexact[first:last]))
        yield DayText(day, csv, counts[index])


def _correct(csv: bytes, bars: Bars, first: int, rows: npt.NDArray[np.intp]) -> bytes:
    """Render these rows of a day by decimal arithmetic; `first` is the index of the day's first bar."""
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
