"""LEAN's CSV of US equity trade bars: bars to text, text to bars, and the check of both.

Pure functions. Minute and second files hold one New York day, rows ``ms,open,high,low,close,volume`` with
milliseconds since midnight; daily files hold all days, rows ``yyyyMMdd 00:00,open,...``. Prices are in 1/10,000
dollars, volumes in shares, rows ascend and are joined by LF without one at the end (LEAN: ``LeanData.GenerateLine``,
``LeanDataWriter``).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from attrs import frozen

from server.data_download.lean_paths import EQUITY_USA, member_name, relative_path
from server.data_download.lean_text import (
    Column,
    price_column,
    price_text,
    rows_text,
    volume_column,
    volume_text,
)
from server.data_download.lean_zip import FormatError, first_member, only_member, zip_bytes
from server.data_download.model import Bars, Resolution
from server.trading_calendar import NEW_YORK

__all__ = [
    "DayText",
    "FormatError",
    "check_csv",
    "check_folder",
    "check_zip",
    "daily_rows",
    "first_member",
    "member_name",
    "only_member",
    "parse_csv",
    "relative_path",
    "render_days",
    "zip_bytes",
]

MS_PER_DAY = 86_400_000
_PRICES = ("open", "high", "low", "close")


@frozen
class DayText:
    """One day's rows as LEAN writes them; ``rows`` counts them."""

    day: date
    csv: bytes
    rows: int


@functools.lru_cache(maxsize=16_384)
def midnight(day: date) -> int:
    """The New York midnight at which the day begins, in milliseconds since 1970 UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).timestamp()) * 1000


def _midnights(days: Sequence[date]) -> npt.NDArray[np.int64]:
    return np.fromiter(map(midnight, days), np.int64, len(days))


# --- bars to text ---


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
    starts = _midnights(days)
    place = np.searchsorted(starts, bars.time, side="right") - 1
    within = bars.time - starts[place]
    if place.min() < 0 or within.max() >= MS_PER_DAY:
        wrong = bars.time[(place < 0) | (within >= MS_PER_DAY)][0]
        raise FormatError(f"a bar of {_instant(wrong)} lies outside the days asked for")
    if resolution is Resolution.DAILY:
        if (place[1:] == place[:-1]).any():
            twice = days[int(place[1:][place[1:] == place[:-1]][0])]
            raise FormatError(f"there are 2 daily bars of {twice}")
        labels = np.fromiter((int(f"{day:%Y%m%d}") for day in days), np.int64, len(days))
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
    for name in _PRICES:
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
    for index, day in enumerate(days):
        first, last = int(edges[index]), int(edges[index + 1])
        if first == last:
            continue
        csv = text[offsets[first] : offsets[last] - 1]
        strange = np.flatnonzero(odd[first:last])
        if len(strange):
            lines = csv.split(b"\n")
            for row in strange:
                lines[row] = _row_text(lines[row], bars, first + int(row))
            csv = b"\n".join(lines)
        yield DayText(day, csv, last - first)


def _row_text(line: bytes, bars: Bars, row: int) -> bytes:
    label = line[: line.index(b",")].decode()
    prices = (price_text(float(getattr(bars, name)[row])) for name in _PRICES)
    return ",".join((label, *prices, volume_text(float(bars.volume[row])))).encode()


def _check_numbers(bars: Bars) -> None:
    if len(bars) > 1 and (bars.time[1:] <= bars.time[:-1]).any():
        raise FormatError("bars are out of order or repeated")
    for name in (*_PRICES, "volume"):
        column = getattr(bars, name)
        if not (np.isfinite(column).all() and (column >= 0).all()):
            wrong = int(np.flatnonzero(~(np.isfinite(column) & (column >= 0)))[0])
            raise FormatError(f"the bar of {_instant(bars.time[wrong])} has {name} {column[wrong]}")


def _instant(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(int(milliseconds) / 1000, UTC).astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S} New York"


# --- text to bars ---

_NUMBER = rb"(?:\d+(?:\.\d+)?)"
_NUMBERS = re.compile(rb"(?:,%b){5}\n" % _NUMBER)
_DAILY_LABEL = re.compile(rb"^\d{8} 00:00,", re.MULTILINE)
_ALLOWED = b"0123456789.,\n"


@frozen(eq=False)
class _Rows:
    """A CSV whose form was checked: its bytes, where its rows begin, and the value of their first field."""

    content: bytes
    label: npt.NDArray[np.int64]


def normalised(content: bytes) -> bytes:
    """The text without what LEAN's reader forgives: a byte order mark, CRLF, one line end at the end."""
    if content.startswith(b"\xef\xbb\xbf"):
        content = content[3:]
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n")
    return content[:-1] if content.endswith(b"\n") else content


def check_csv(content: bytes, resolution: Resolution) -> npt.NDArray[np.int64]:
    """Check the form of a normalised CSV.

    Returns:
        int64, the first field of each row: milliseconds since midnight, or the day as yyyyMMdd for daily.

    Raises:
        FormatError: Says which row is wrong and how.
    """
    if resolution is Resolution.DAILY:
        label = _check_form(content.replace(b" 00:00,", b","), 8)
        if not content.count(b" 00:00,") == len(_DAILY_LABEL.findall(content)) == len(label):
            raise FormatError("a row of a daily file does not begin with a day and ' 00:00'")
        _check_days(label)
    else:
        label = _check_form(content, None)
        if len(label) and (label[-1] >= MS_PER_DAY or (label % resolution.milliseconds).any()):
            raise FormatError(f"a row's time is not a whole {resolution.value} of the day")
    if (label[1:] <= label[:-1]).any():
        row = int(np.flatnonzero(label[1:] <= label[:-1])[0]) + 2
        raise FormatError(f"row {row} is not later than the row before it")
    return label


def _check_form(content: bytes, label_width: int | None) -> npt.NDArray[np.int64]:
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
        raise FormatError("a row holds a number that is none")
    return _labels(content, text, starts, widths, label_width)


def _labels(
    content: bytes,
    text: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    widths: npt.NDArray[np.int64],
    label_width: int | None,
) -> npt.NDArray[np.int64]:
    if label_width is not None and (widths != label_width).any():
        raise FormatError(f"a row's first field has not {label_width} digits")
    if (widths > 8).any():
        raise FormatError("a row's first field has more than 8 digits")
    label = np.zeros(len(starts), np.int64)
    for place in range(int(widths.max())):  # at most eight digits, all rows at once
        digit = text[np.minimum(starts + place, len(text) - 1)].astype(np.int64) - 48
        inside = place < widths
        if (digit[inside] < 0).any():
            raise FormatError("a row's first field is not a whole number")
        label = np.where(inside, label * 10 + digit, label)
    return label


def _check_days(label: npt.NDArray[np.int64]) -> None:
    months, days = label // 100 % 100, label % 100
    plain = (label >= 1_00_00) & (months >= 1) & (months <= 12) & (days >= 1) & (days <= 28)
    for number in label[~plain]:
        _day(int(number))


def _day(number: int) -> date:
    try:
        return date(number // 10_000, number // 100 % 100, number % 100)
    except ValueError as error:
        raise FormatError(f"{number} is not a day") from error


def parse_csv(content: bytes, resolution: Resolution, day: date | None) -> Bars:
    """Read a CSV of LEAN's back into bars.

    Args:
        day: The New York day of a minute or second file; daily files hold their days themselves.

    Raises:
        FormatError: The text is not LEAN's form.
    """
    content = normalised(content)
    label = check_csv(content, resolution)
    if resolution is Resolution.DAILY:
        time = _midnights([_day(int(number)) for number in label])
        content = content.replace(b" 00:00,", b",")
    elif day is None:
        raise ValueError(f"a {resolution.value} file is one day's; name the day")
    else:
        time = label + midnight(day)
    numbers = np.fromstring(content.replace(b"\n", b",").decode("ascii"), dtype=np.float64, sep=",")
    table = numbers.reshape(-1, 6)
    columns = {name: table[:, index + 1] / 10_000 for index, name in enumerate(_PRICES)}
    return Bars(time=time, volume=table[:, 5].copy(), **columns)


def daily_rows(content: bytes) -> dict[date, bytes]:
    """The rows of a daily CSV by their day, each without its line end.

    Raises:
        FormatError: The text is not LEAN's form.
    """
    content = normalised(content)
    label = check_csv(content, Resolution.DAILY)
    return dict(zip((_day(int(number)) for number in label), content.split(b"\n"), strict=True))


def salvaged_days(content: bytes) -> list[date]:
    """The days whose rows begin in what was saved of a damaged daily CSV."""
    days = (
        f"{day[:4]}-{day[4:6]}-{day[6:]}" for day in re.findall(r"^(\d{8}) ", content.decode("ascii", "replace"), re.M)
    )
    found = []
    for day in days:
        try:
            found.append(date.fromisoformat(day))
        except ValueError:
            continue
    return found


# --- checks of whole files ---


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
    return match["symbol"].upper(), Resolution(match["resolution"]), _day(int(match["day"]))


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
