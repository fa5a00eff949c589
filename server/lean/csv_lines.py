"""The lines of a CSV of trade bars that is not in LEAN's form: rows, lines that cannot be read, irregularities."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Literal, NamedTuple

from attrs import Factory, define, frozen

from server.core.text import count_text
from server.lean.days import MS_PER_DAY, day_of_number, is_instant

_NUMBER = rb" *(\d+(?:\.\d*)?|\.\d+)"
_NUMBERS = rb",".join([_NUMBER] * 5)
_TIMED = re.compile(rb" *(\d{1,12})," + _NUMBERS)
_DATED = re.compile(rb" *(\d{8} \d\d:\d\d)," + _NUMBERS)
_DAY = re.compile(rb"\s*(\d{4})-?(\d\d)-?(\d\d)(?!\d)")
_MS_PER_MINUTE = 60_000
_SHOWN = 80


IrregularityKind = Literal["form", "member_name", "other_lines", "repeated_rows", "rows_out_of_order"]
"""What is irregular about a file of which all rows can be read: line ends, encoding or spaces; the name of its member;
lines that are no rows; rows that are repeated; rows that are not in order."""


class Irregularity(NamedTuple):
    """Something about a file that LEAN would not have written so.

    Attributes:
        text: What it is, without a verb: ``2 blank lines``.
        rows: Rows that the engine does not read because of it.
        days: The days of these rows.
    """

    kind: IrregularityKind
    text: str
    rows: int = 0
    days: frozenset[date] = frozenset()


@frozen(kw_only=True)
class RowForm:
    """How the rows of a file begin.

    Attributes:
        dated: With a day and a time, such as ``20240102 00:00``, not with milliseconds.
        bar_ms: Length of a bar in milliseconds.
    """

    dated: bool
    bar_ms: int


@define
class CsvLines:
    """The lines of a CSV.

    Attributes:
        text: The CSV with LF as line end and without byte order mark, as the engine's parser sees it.
        rows: The rows that can be read, by label, the first of each; in the order of the file.
        loose: Rows that the engine does not read, but which are complete, by label.
        damaged_days: The days of rows that cannot be read, as far as they are known.
        faults: The rows that cannot be read, each with its line number.
        notices: What is irregular about lines that can be read.
        plain: Whether every line is a row that the engine takes as it is.
        order: The labels in the order of the file.
    """

    text: str
    rows: dict[int, bytes] = Factory(dict)
    loose: dict[int, bytes] = Factory(dict)
    damaged_days: set[date] = Factory(set)
    faults: list[str] = Factory(list)
    notices: list[Irregularity] = Factory(list)
    plain: bool = True
    order: list[int] = Factory(list)


def read_lines(content: bytes, form: RowForm) -> CsvLines:
    """Read a CSV line by line.

    Args:
        content: The CSV.
        form: How its rows begin.
    """
    text, notices = decoded(content)
    found = CsvLines(text=text.decode("latin-1"), notices=[Irregularity("form", notice) for notice in notices])
    lines = text.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    blank = spaces = 0
    headers: list[bytes] = []
    unknown: list[int] = []  # for each row of which not even the day is known, the number of rows before it
    for number, line in enumerate(lines, 1):
        label, row = _read_row(line, form)
        if label is not None:
            spaces += b", " in line or line.startswith(b" ")
            found.order.append(label)
            found.rows.setdefault(label, row)
        elif not line:
            blank += 1
        elif line in headers or (not found.order and _is_header(line, form)):  # later it has the place of a row
            headers.append(line)
        else:
            _add_fault(found, number, line, form, unknown)
    if blank or headers or found.faults:
        found.plain = False
    if form.dated:
        several = form.bar_ms < MS_PER_DAY
        found.damaged_days.update(_days_between(found.order, unknown, several=several))
    found.notices += [
        Irregularity("other_lines", count_text(count, what))
        for count, what in ((blank, "blank line"), (len(headers), "header line"))
        if count
    ]
    found.notices += [Irregularity("form", f"{count_text(spaces, 'row')} with spaces")] if spaces else []
    found.notices += _order_notices(found.order)
    return found


def decoded(content: bytes) -> tuple[bytes, list[str]]:
    """Return a CSV with LF as line end and without byte order mark, and what was irregular about these.

    The engine's text reader recognizes byte order marks, and takes CR, LF and CRLF for line ends.
    """
    notices = []
    for mark, encoding in ((b"\xef\xbb\xbf", ""), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if content.startswith(mark):
            content = content[len(mark) :]
            notices.append("a byte order mark" if not encoding else "the encoding UTF-16")
            if encoding:
                content = content.decode(encoding, "replace").encode("utf-8")
            break
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        notices.append("line ends other than LF")
    if content.endswith(b"\n"):
        notices.append("a line end after the last row")
    return content, notices


def day_of_label(label: int) -> date:
    """The day of the label of a dated row."""
    number = label // 10_000
    return date(number // 10_000, number // 100 % 100, number % 100)


def _read_row(line: bytes, form: RowForm) -> tuple[int | None, bytes]:
    """The label of a row and its text in LEAN's form, or None where it is not a row that the engine reads."""
    found = (_DATED if form.dated else _TIMED).fullmatch(line)
    if found is None:
        return None, b""
    begin, *numbers = found.groups()
    label = int(begin.translate(None, b" :"))
    if not (_is_dated_label(label, form) if form.dated else label < MS_PER_DAY and label % form.bar_ms == 0):
        return None, b""
    first = begin if form.dated else b"%d" % label
    return label, b",".join([first, *map(_number, numbers)])


def _number(text: bytes) -> bytes:
    whole, point, fraction = text.partition(b".")
    return (whole or b"0") + (point + fraction if fraction else b"")


def _is_dated_label(label: int, form: RowForm) -> bool:
    minutes = label // 100 % 100 * 60 + label % 100
    return is_instant(label) and minutes * _MS_PER_MINUTE % form.bar_ms == 0


def _is_header(line: bytes, form: RowForm) -> bool:
    """Whether a line names columns: the engine skips it, and takes no other row with it."""
    commas = line.count(b",")
    return not re.search(rb"\d", line) and (commas > 0 if form.dated else commas == 5)


def _add_fault(found: CsvLines, number: int, line: bytes, form: RowForm, unknown: list[int]) -> None:
    shown = line[:_SHOWN].decode("utf-8", "replace")
    found.faults.append(f"row {number} cannot be read: {shown!r}{'...' if len(line) > _SHOWN else ''}")
    fields = [field.strip() for field in line.split(b",")]
    label, row = _read_row(b",".join(fields[:6]), form)
    if label is not None:
        found.loose.setdefault(label, row)
    if form.dated:
        written = _DAY.match(line)
        day = day_of_number(int(b"".join(written.groups()))) if written else None
        if day:
            found.damaged_days.add(day)
        else:
            unknown.append(len(found.order))


def _days_between(order: Sequence[int], places: Sequence[int], *, several: bool) -> Iterator[date]:
    """The days that rows of unknown days may have: the weekdays between the rows around them.

    Args:
        order: The labels of the rows that can be read.
        places: For each other row the number of these before it.
        several: Whether a day has several rows, so that the days of the rows around it may be its day, too.
    """
    for place in set(places):
        around = [day_of_label(label) for label in order[max(place - 1, 0) : place + 1]]
        if several:
            yield from around
        if 0 < place < len(order):
            day, last = around
            while (day := day + timedelta(days=1)) < last:
                if day.weekday() < 5:
                    yield day


def _order_notices(order: Sequence[int]) -> list[Irregularity]:
    repeated = len(order) - len(set(order))
    newest, late = -1, 0
    for label in order:
        late += label < newest
        newest = max(newest, label)
    notices = []
    if repeated:
        notices.append(
            Irregularity("repeated_rows", f"{count_text(repeated, 'repeated row')}, of which the first counts")
        )
    if late:
        notices.append(Irregularity("rows_out_of_order", f"{count_text(late, 'row')} out of order"))
    return notices
