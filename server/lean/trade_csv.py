"""The rows of LEAN's trade bars, in both directions, without a Python object for each bar.

Two labels exist: the milliseconds since New York midnight, in a file of one day, and ``yyyyMMdd HH:mm``, in a file of
all days. Five numbers follow: prices in 1/10,000 dollars and the volume in shares. Rows are joined by LF, without a
final line end (LEAN: ``LeanData.GenerateLine``, ``LeanDataWriter``).

LEAN's reader does not validate (LEAN: ``StreamReaderExtensions``): a seventh field or ``1e6`` becomes a wrong bar
without an error. The form is therefore checked here before a number is used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from server.lean.bars import PRICES, Bars
from server.lean.days import MS_PER_DAY, day_of_number, midnight, midnights
from server.lean.errors import FormatError
from server.lean.numbers import Column
from server.lean.row_rendering import DayText, check_numbers, instant_text, place_in_days, render_rows

__all__ = [
    "DayText",
    "check_dated",
    "check_times",
    "label_days",
    "normalized",
    "parse_dated",
    "parse_times",
    "read_dated_numbers",
    "read_numbers",
    "render_dated",
    "render_times",
    "salvaged_days",
    "split_dated",
]

Labels = npt.NDArray[np.int64]
Table = npt.NDArray[np.float64]

_NUMBER = rb"(?:\d+(?:\.\d+)?)"
_NUMBERS = re.compile(rb"(?:,%b){5}\n" % _NUMBER)
_DATED_LABEL = re.compile(rb"^\d{8} \d\d:\d\d,", re.MULTILINE)
_ALLOWED = b"0123456789.,\n"
_MS_PER_MINUTE = 60_000
_CLOCK = np.array([f" {minute // 60:02d}:{minute % 60:02d},".encode() for minute in range(1440)])
_CLOCK_TEXT = _CLOCK.view(np.uint8).reshape(1440, -1)
"""uint8, (1440, 7): the second part of a dated label, by the minute of the day."""


def normalized(content: bytes) -> bytes:
    """Remove what LEAN's reader accepts but its writer never writes: byte order mark, CRLF, one final line end."""
    if content.startswith(b"\xef\xbb\xbf"):
        content = content[3:]
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n")
    return content[:-1] if content.endswith(b"\n") else content


# --- rows labelled with the time of day ---


def check_times(content: bytes, bar_ms: int, name: str) -> Labels:
    """Check a normalized CSV of one day.

    Args:
        content: The bytes of the file.
        bar_ms: Length of a bar in milliseconds.
        name: The resolution, for messages.

    Returns:
        int64, milliseconds since midnight of each row.

    Raises:
        FormatError: Names the row that is wrong, and how.
    """
    labels = _check_form(content, None)
    if len(labels) and (labels[-1] >= MS_PER_DAY or (labels % bar_ms).any()):
        raise FormatError(f"a row's time is not a whole {name} of the day")
    return _ascending(labels)


def parse_times(content: bytes, day: date, bar_ms: int, name: str) -> Bars:
    """Read a CSV of one day.

    Raises:
        FormatError: As `check_times`.
    """
    content = normalized(content)
    return _bars(midnight(day) + check_times(content, bar_ms, name), read_numbers(content))


def render_times(bars: Bars, days: Sequence[date], bar_ms: int, name: str) -> list[DayText]:
    """Render bars as rows labelled with the time of day, day by day.

    Raises:
        FormatError: As `Layout.render`.
    """
    check_numbers(bars)
    if not len(bars):
        return []
    place, within = place_in_days(bars, days)
    if (within % bar_ms).any():
        wrong = bars.time[within % bar_ms != 0][0]
        raise FormatError(f"a bar of {instant_text(wrong)} does not begin on a whole {name}")
    return render_rows(bars, days, place, [Column(within), b","])


# --- rows labelled with day and time ---


def check_dated(content: bytes, bar_ms: int, name: str) -> Labels:
    """Check a normalized CSV of all days.

    Returns:
        int64, the label of each row as the number yyyyMMddHHmm.

    Raises:
        FormatError: Names the row that is wrong, and how.
    """
    labels = _check_form(_undated(content), 12)
    if not content.count(b" ") == content.count(b":") == len(_DATED_LABEL.findall(content)) == len(labels):
        raise FormatError("a row does not begin with a day and a time, such as 20240102 00:00")
    hours, minutes = labels // 100 % 100, labels % 100
    times = (hours * 60 + minutes) * _MS_PER_MINUTE
    if (hours > 23).any() or (minutes > 59).any() or (times % bar_ms).any():
        raise FormatError(f"a row of a {name} file has a time that is not the start of a bar")
    _check_days(labels // 10_000)
    return _ascending(labels)


def label_days(labels: Labels) -> tuple[date, ...]:
    """The days of labels that `check_dated` returned, ascending, each once."""
    numbers = labels // 10_000
    first = np.flatnonzero(np.diff(numbers, prepend=-1))
    return tuple(_day_of(number) for number in numbers[first].tolist())


def split_dated(content: bytes, labels: Labels) -> dict[date, bytes]:
    """Split a checked CSV of all days by day; each part is without a final line end."""
    lines = content.split(b"\n")
    numbers = labels // 10_000
    starts = np.flatnonzero(np.diff(numbers, prepend=-1)).tolist()
    if len(starts) == len(lines):
        return {_day_of(number): line for number, line in zip(numbers.tolist(), lines, strict=True)}
    return {
        _day_of(int(numbers[start])): b"\n".join(lines[start:end]) for start, end in pairwise([*starts, len(lines)])
    }


def parse_dated(content: bytes, bar_ms: int, name: str) -> Bars:
    """Read a CSV of all days.

    Raises:
        FormatError: As `check_dated`.
    """
    content = normalized(content)
    labels = check_dated(content, bar_ms, name)
    times = (labels // 100 % 100 * 60 + labels % 100) * _MS_PER_MINUTE
    dates = midnights([_day_of(number) for number in (labels // 10_000).tolist()])
    return _bars(dates + times, read_dated_numbers(content))


def render_dated(bars: Bars, days: Sequence[date], bar_ms: int, name: str) -> list[DayText]:
    """Render bars as rows labelled with day and time, day by day.

    Raises:
        FormatError: As `Layout.render`; two bars begin in one interval.
    """
    check_numbers(bars)
    if not len(bars):
        return []
    place, within = place_in_days(bars, days)
    start = within - within % bar_ms
    repeated = np.flatnonzero((place[1:] == place[:-1]) & (start[1:] == start[:-1]))
    if len(repeated):
        row = int(repeated[0])
        minutes = int(start[row]) // _MS_PER_MINUTE
        at = f" {minutes // 60:02d}:{minutes % 60:02d}" if bar_ms < MS_PER_DAY else ""
        raise FormatError(f"there are 2 {name} bars of {days[int(place[row])]}{at}")
    numbers = np.fromiter((day.year * 10_000 + day.month * 100 + day.day for day in days), np.int64, len(days))
    return render_rows(bars, days, place, [Column(numbers[place]), _CLOCK_TEXT[start // _MS_PER_MINUTE]])


def salvaged_days(content: bytes) -> list[date]:
    """The days whose rows begin in what could be read of a damaged CSV of all days."""
    numbers = dict.fromkeys(re.findall(rb"^ *(\d{8}) ", content, re.MULTILINE))
    return [day for number in numbers if (day := day_of_number(int(number))) is not None]


# --- what both have in common ---


def _undated(content: bytes) -> bytes:
    """Dated labels as plain numbers: yyyyMMddHHmm."""
    return content.translate(None, b" :")


def _check_form(content: bytes, label_width: int | None) -> Labels:
    if not content:
        raise FormatError("the CSV is empty")
    if content.translate(None, _ALLOWED):
        raise FormatError("the CSV holds characters other than digits, points, commas and line ends")
    text = np.frombuffer(content, np.uint8)
    ends = np.append(np.flatnonzero(text == 10), len(text))
    commas = np.flatnonzero(text == 44)
    if len(commas) != 5 * len(ends):
        raise FormatError(f"{len(commas)} commas in {len(ends)} rows; LEAN's trade bars have 5 a row")
    fields = commas.reshape(-1, 5)
    starts = np.empty_like(ends)
    starts[0] = 0
    starts[1:] = ends[:-1] + 1
    widths = fields[:, 0] - starts
    if (widths < 1).any() or (fields[:, 1:] - fields[:, :-1] < 2).any() or (ends - fields[:, 4] < 2).any():
        raise FormatError("a row has an empty field, or more or fewer fields than 6")
    if b"." in content and len(_NUMBERS.findall(content + b"\n")) != len(ends):
        raise FormatError("a row holds a text that is not a number")
    return _read_labels(text, starts, widths, label_width)


def _read_labels(
    text: npt.NDArray[np.uint8], starts: Labels, widths: npt.NDArray[np.int64], label_width: int | None
) -> Labels:
    if label_width is not None and (widths != label_width).any():
        raise FormatError("a row does not begin with a day and a time, such as 20240102 00:00")
    if label_width is None and (widths > 8).any():
        raise FormatError("a row's first field has more than 8 digits")
    labels = np.zeros(len(starts), np.int64)
    for place in range(int(widths.max())):  # at most twelve digits, all rows at once
        digit = text[np.minimum(starts + place, len(text) - 1)].astype(np.int64) - 48
        inside = place < widths
        if (digit[inside] < 0).any():
            raise FormatError("a row's first field is not a whole number")
        labels = np.where(inside, labels * 10 + digit, labels)
    return labels


def _ascending(labels: Labels) -> Labels:
    if (labels[1:] <= labels[:-1]).any():
        row = int(np.flatnonzero(labels[1:] <= labels[:-1])[0]) + 2
        raise FormatError(f"row {row} is not later than the row before it")
    return labels


def _check_days(numbers: Labels) -> None:
    months, days = numbers // 100 % 100, numbers % 100
    plain = (numbers >= 1_00_00) & (months >= 1) & (months <= 12) & (days >= 1) & (days <= 28)
    for number in numbers[~plain].tolist():
        _day_of(number)


def _day_of(number: int) -> date:
    """The day written yyyyMMdd.

    Raises:
        FormatError: There is no such day.
    """
    day = day_of_number(number)
    if day is None:
        raise FormatError(f"{number} is not a day")
    return day


def read_numbers(content: bytes) -> Table:
    """Return the five numbers of each row, as in the file, of a CSV that `check_times` accepts."""
    numbers = np.fromstring(content.replace(b"\n", b",").decode("ascii"), dtype=np.float64, sep=",")
    return numbers.reshape(-1, 6)[:, 1:]


def read_dated_numbers(content: bytes) -> Table:
    """Return the five numbers of each row, as in the file, of a CSV that `check_dated` accepts."""
    return read_numbers(_undated(content))


def _bars(time: npt.NDArray[np.int64], table: Table) -> Bars:
    columns = {name: table[:, index] / 10_000 for index, name in enumerate(PRICES)}
    return Bars(time=time, volume=table[:, 4].copy(), **columns)
