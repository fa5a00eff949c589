"""The rows of one file, as the engine reads them, and those that it loses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import groupby

import numpy as np
from attrs import frozen

from server.core.text import count_text
from server.lean.csv_lines import decoded
from server.lean.days import MS_PER_DAY, day_of_number
from server.lean.engine_rows import EngineRow, engine_rows
from server.lean.errors import FormatError
from server.lean.feed.columns import VOLUME, Columns, Instants, Numbers, clock_ms
from server.lean.feed.items import Loss, LossKind
from server.lean.irregular import FileReading, read_file
from server.lean.layout import Layout
from server.lean.trade_csv import check_dated, check_times, normalized, read_dated_numbers, read_numbers
from server.lean.zip import first_member

_SCALE = 10_000
_MOST = 1e18
_MANY_PLACES = re.compile(rb"\.\d{19}")
_MS_PER_MINUTE = 60_000
_LABEL = re.compile(r"\d+(?: \d\d:\d\d)?", re.ASCII)


@frozen(eq=False)
class FileRows:
    """The rows of a file.

    Attributes:
        bars: What the engine reads, in its order, raw.
        losses: What it does not read, or not as it is.
    """

    bars: Columns
    losses: tuple[Loss, ...] = ()


def read_file_rows(layout: Layout, data: bytes, day: date | None) -> FileRows:
    """Return the bars that the engine reads from a zip.

    Args:
        layout: The layout of its series.
        data: The bytes of the zip.
        day: The day of the file; None for a file of all days.
    """
    path = layout.path(day)
    try:
        content = first_member(data)[1]
    except FormatError as error:
        reason = f"LEAN reads nothing of it: {error}"
        return FileRows(no_rows(layout), (Loss(day, day, path, reason, LossKind.DAMAGED),))
    try:
        return FileRows(_plain_bars(layout, normalized(content), day))
    except FormatError as error:
        reason = str(error)
    text = decoded(content)[0].decode("latin-1")
    fed = engine_rows(text, dated=layout.one_file)
    return FileRows(_engine_bars(layout, fed, day), _losses(layout, data, day, fed, text, reason))


def no_rows(layout: Layout) -> Columns:
    """Return the bars of an empty file."""
    return Columns.of_file(np.zeros(0, np.int64), layout.bar_ms, np.zeros((0, 5)), layout.series.ticker)


def _plain_bars(layout: Layout, content: bytes, day: date | None) -> Columns:
    """The bars of a CSV that is as LEAN writes it.

    Raises:
        FormatError: It is not, or has numbers of more digits than the engine takes.
    """
    name = layout.series.resolution.value
    if day is None:
        start = _instants(check_dated(content, layout.bar_ms, name))
        numbers = read_dated_numbers(content)
    else:
        start = clock_ms(day) + check_times(content, layout.bar_ms, name)
        numbers = read_numbers(content)
    if (numbers >= _MOST).any() or (b"." in content and _MANY_PLACES.search(content)):
        raise FormatError("a number has more than 18 digits")
    return Columns.of_file(start, layout.bar_ms, _in_dollars(numbers), layout.series.ticker)


def _engine_bars(layout: Layout, rows: Sequence[EngineRow], day: date | None) -> Columns:
    labels = np.array([label for label, _ in rows], np.int64)
    start = _instants(labels) if day is None else clock_ms(day) + labels
    numbers = np.array([fields for _, fields in rows], np.float64).reshape(-1, 5)
    return Columns.of_file(start, layout.bar_ms, _in_dollars(numbers), layout.series.ticker)


def _in_dollars(numbers: Numbers) -> Numbers:
    """Divide the prices of rows by 10,000, to the nearest double of the quotient."""
    found = numbers.copy()
    prices = numbers[:, :VOLUME]
    found[:, :VOLUME] = prices / _SCALE
    for row, column in np.argwhere((prices != np.floor(prices)) & np.isfinite(prices)).tolist():
        found[row, column] = float(Decimal(repr(float(prices[row, column]))) / _SCALE)
    return found


def _instants(labels: Instants) -> Instants:
    """The instants of labels yyyyMMddHHmm."""
    years, months, days = labels // 100_000_000, labels // 1_000_000 % 100, labels // 10_000 % 100
    first = ((years - 1970) * 12 + months - 1).astype("M8[M]").astype("M8[D]").astype(np.int64)
    found: Instants = (first + days - 1) * MS_PER_DAY + (labels // 100 % 100 * 60 + labels % 100) * _MS_PER_MINUTE
    return found


def _plain_rows(text: str, *, dated: bool) -> Iterator[EngineRow]:
    """The rows of a CSV that is as LEAN writes it."""
    for line in text.split("\n") if text else ():
        label, *fields = line.split(",")
        number = int(label[:8] + label[9:11] + label[12:]) if dated else int(label)
        yield number, tuple(map(float, fields))


def _losses(
    layout: Layout, data: bytes, day: date | None, fed: list[EngineRow], text: str, reason: str
) -> tuple[Loss, ...]:
    path = layout.path(day)
    try:
        reading = read_file(layout, data, day)
    except FormatError:
        return (Loss(day, day, path, f"LEAN reads {count_text(len(fed), 'row')} of it: {reason}", LossKind.DAMAGED),)
    lost = _lost_by_day(reading, dict(fed), dated=day is None)
    repeated = _repeated_days(text, day)
    what = reading.fault or ", ".join(reading.notices) or reason
    kind = LossKind.DAMAGED if reading.fault else LossKind.IRREGULAR
    found = []
    for lost_day in sorted(lost.keys() | repeated | reading.damaged_days):
        count = lost.get(lost_day, 0)
        rows = f"LEAN loses {count_text(count, 'readable row')} of that day; " if count else ""
        found.append(Loss(lost_day, lost_day, path, f"{rows}{what}", kind))
    if not found and reading.fault:
        found.append(Loss(day, day, path, reading.fault, kind))
    return tuple(found)


def _lost_by_day(reading: FileReading, fed: Mapping[int, tuple[float, ...]], *, dated: bool) -> dict[date, int]:
    """The number of rows by day that can be read, but which the engine does not feed as they are."""
    lost = {}
    for day, text in reading.rows.items():
        rows = list(_plain_rows(text.decode("ascii"), dated=dated))
        count = sum(fed.get(label) != numbers for label, numbers in rows)
        if count:
            lost[day] = count
    return lost


def _repeated_days(text: str, day: date | None) -> set[date]:
    """The days of labels that begin several lines: the engine feeds the first of them."""
    counts = Counter(line.partition(",")[0].strip() for line in text.split("\n"))
    labels = [label for label, count in counts.items() if count > 1 and _LABEL.fullmatch(label)]
    days = [day_of_number(int(label[:8])) if day is None else day for label in labels]
    return {found for found in days if found}


def runs_of(days: Iterable[date], trading_days: Iterable[date]) -> Iterator[tuple[date, date, int]]:
    """Return runs of consecutive trading days: the first, the last and the number of each."""
    wanted = set(days)
    for absent, run in groupby(trading_days, key=wanted.__contains__):
        if absent:
            found = list(run)
            yield found[0], found[-1], len(found)
