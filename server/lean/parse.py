"""LEAN's CSV to bars, and the check of its form, without a Python object per bar.

LEAN's own reader never validates (LEAN: ``StreamReaderExtensions``): a seventh field or ``1e6`` silently gives
garbage bars. So the form is checked here, strictly, before a number is believed.
"""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import numpy.typing as npt

from server.lean.bars import PRICES, Bars
from server.lean.days import MS_PER_DAY, midnight, midnights
from server.lean.series import Resolution
from server.lean.zip import FormatError

_NUMBER = rb"(?:\d+(?:\.\d+)?)"
_NUMBERS = re.compile(rb"(?:,%b){5}\n" % _NUMBER)
_DAILY_LABEL = re.compile(rb"^\d{8} 00:00,", re.MULTILINE)
_ALLOWED = b"0123456789.,\n"


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
        day_of(int(number))


def day_of(number: int) -> date:
    """The day written yyyyMMdd.

    Raises:
        FormatError: There is no such day.
    """
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
        time = midnights([day_of(int(number)) for number in label])
        content = content.replace(b" 00:00,", b",")
    elif day is None:
        raise ValueError(f"a {resolution.value} file is one day's; name the day")
    else:
        time = label + midnight(day)
    numbers = np.fromstring(content.replace(b"\n", b",").decode("ascii"), dtype=np.float64, sep=",")
    table = numbers.reshape(-1, 6)
    columns = {name: table[:, index + 1] / 10_000 for index, name in enumerate(PRICES)}
    return Bars(time=time, volume=table[:, 5].copy(), **columns)


def daily_rows(content: bytes) -> dict[date, bytes]:
    """The rows of a daily CSV by their day, each without its line end.

    Raises:
        FormatError: The text is not LEAN's form.
    """
    content = normalised(content)
    label = check_csv(content, Resolution.DAILY)
    return dict(zip((day_of(int(number)) for number in label), content.split(b"\n"), strict=True))


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
