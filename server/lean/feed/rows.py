"""The rows of one file, as the engine reads them, and those that it loses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby

from attrs import frozen

from server.core.text import count_text
from server.lean.csv_lines import day_of_label, decoded
from server.lean.days import day_of_number
from server.lean.engine_rows import EngineRow, engine_rows
from server.lean.errors import FormatError
from server.lean.feed.items import Bar, Loss
from server.lean.irregular import FileReading, read_file
from server.lean.layout import Layout
from server.lean.trade_csv import normalized
from server.lean.zip import first_member

_SCALE = 10_000
_LABEL = re.compile(r"\d+(?: \d\d:\d\d)?", re.ASCII)


@frozen
class FileRows:
    """The rows of a file.

    Attributes:
        bars: What the engine reads, in its order, raw.
        losses: What it does not read, or not as it is.
    """

    bars: list[Bar]
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
        return FileRows([], (Loss(day, day, path, f"LEAN reads nothing of it: {error}"),))
    try:
        plain = normalized(content)
        layout.check_rows(plain, day)
        return FileRows(_bars(layout, _plain_rows(plain.decode("ascii"), dated=layout.one_file), day))
    except FormatError as error:
        reason = str(error)
    text = decoded(content)[0].decode("latin-1")
    fed = engine_rows(text, dated=layout.one_file)
    return FileRows(_bars(layout, fed, day), _losses(layout, data, day, fed, text, reason))


def _plain_rows(text: str, *, dated: bool) -> Iterator[EngineRow]:
    """The rows of a CSV that is as LEAN writes it."""
    for line in text.split("\n") if text else ():
        label, *fields = line.split(",")
        number = int(label[:8] + label[9:11] + label[12:]) if dated else int(label)
        yield number, tuple(map(float, fields))


def _bars(layout: Layout, rows: Iterable[EngineRow], day: date | None) -> list[Bar]:
    length = timedelta(milliseconds=layout.bar_ms)
    ticker = layout.series.ticker
    found = []
    latest = datetime.max - length
    for label, numbers in rows:
        start = _instant(label) if day is None else datetime.combine(day, time()) + timedelta(milliseconds=label)
        if start > latest:
            continue
        open_, high, low, close = map(dollars, numbers[:4])
        found.append(Bar(start, start + length, ticker, open_, high, low, close, numbers[4]))
    return found


def dollars(number: float) -> float:
    """Return the double that is nearest to a price, of the number in the file."""
    return number / _SCALE if number.is_integer() else float(Decimal(repr(number)) / _SCALE)


def _instant(label: int) -> datetime:
    return datetime.combine(day_of_label(label), time(label // 100 % 100, label % 100))


def _losses(
    layout: Layout, data: bytes, day: date | None, fed: list[EngineRow], text: str, reason: str
) -> tuple[Loss, ...]:
    path = layout.path(day)
    try:
        reading = read_file(layout, data, day)
    except FormatError:
        return (Loss(day, day, path, f"LEAN reads {count_text(len(fed), 'row')} of it: {reason}"),)
    lost = _lost_by_day(reading, dict(fed), dated=day is None)
    repeated = _repeated_days(text, day)
    what = reading.fault or ", ".join(reading.notices)
    found = []
    for lost_day in sorted(lost.keys() | repeated | reading.damaged_days):
        count = lost.get(lost_day, 0)
        rows = f"LEAN loses {count_text(count, 'readable row')} of that day; " if count else ""
        found.append(Loss(lost_day, lost_day, path, f"{rows}{what}"))
    if not found and reading.fault:
        found.append(Loss(day, day, path, reading.fault))
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
