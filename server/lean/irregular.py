"""Reads files that are not as LEAN writes them: what of them can be used, and what LEAN's engine makes of them.

A file that the engine reads whole is irregular at most; a row that cannot be read is damage, of its day only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from server.core.text import count_text
from server.lean.csv_lines import CsvLines, Irregularity, RowForm, day_of_label, read_lines
from server.lean.days import MS_PER_DAY
from server.lean.engine_rows import engine_rows
from server.lean.errors import FormatError
from server.lean.zip import members, salvage

if TYPE_CHECKING:
    from server.lean.layout import Layout


@frozen(kw_only=True)
class FileReading:
    """What can be used of a file.

    Attributes:
        rows: The rows of each day in LEAN's form: ascending, each once, joined by LF.
        damaged_days: Days of which rows cannot be read, as far as they are known.
        partial_days: Those of them that have other rows in `rows`.
        fault: Why the file is damaged, or None.
        unreadable: Rows that cannot be read.
        irregularities: What is irregular about it, each with the rows that the engine does not read because of it.
        lost: Rows that can be read, but which the engine does not read until the file is rewritten.
        lost_days: The days of these rows.
        has_other_members: Whether a rewrite would lose something else that the zip contains.
        is_unread: Whether the engine reads nothing of the file.
    """

    rows: Mapping[date, bytes]
    damaged_days: frozenset[date] = frozenset()
    partial_days: frozenset[date] = frozenset()
    fault: str | None = None
    unreadable: int = 0
    irregularities: tuple[Irregularity, ...] = ()
    lost: int = 0
    lost_days: frozenset[date] = frozenset()
    has_other_members: bool = False
    is_unread: bool = False

    @property
    def days(self) -> list[date]:
        """The days without damage, ascending."""
        return sorted(self.rows.keys() - self.damaged_days)

    @property
    def count(self) -> int:
        """The number of rows."""
        return sum(text.count(b"\n") + 1 for text in self.rows.values())

    @property
    def notices(self) -> tuple[str, ...]:
        """What is irregular."""
        return tuple(one.text for one in self.irregularities)

    @property
    def notice(self) -> str:
        """What is irregular, as one sentence."""
        return with_lost_rows(", ".join(self.notices), self.lost)

    @property
    def is_changed_by_rewriting(self) -> bool:
        """Whether the file has anything that a rewrite removes or puts in order."""
        return bool(self.fault or self.irregularities or self.lost or self.has_other_members)

    def days_lost_by_rewriting(self) -> frozenset[date]:
        """The days of which a rewrite of the file does not have all rows."""
        return (self.damaged_days - self.rows.keys()) | self.partial_days


def with_lost_rows(what: str, lost: int) -> str:
    """Return what is irregular, with the number of rows that the engine does not read because of it."""
    if not lost:
        return what
    rows, pronoun = count_text(lost, "row"), "it" if lost == 1 else "them"
    return f"{what}; LEAN does not read {rows} until the file is rewritten with {pronoun} in order"


def read_file(layout: Layout, data: bytes, day: date | None) -> FileReading:
    """Read a zip of any form.

    Args:
        layout: The layout of its series.
        data: The bytes of the zip.
        day: The day of the file; None for a file of all days.

    Raises:
        FormatError: Nothing of it can be used.
    """
    try:
        found = members(data)
    except FormatError as error:
        return _read_salvaged(layout, salvage(data), day, str(error))
    (name, content), others = found[0], found[1:]
    foreign = [other for other, _ in others if not _is_byproduct(other)]
    expected = layout.member(day)
    texts = [] if name == expected else [f"a member called {name}, where LEAN writes {expected}"]
    texts += [count_text(len(others), "further member")] if others else []
    notices = [Irregularity("member_name", text) for text in texts]
    try:
        reading = _read_content(layout, content, day)
    except FormatError as error:
        return _read_other_member(layout, others, day, f"the first member, {name}, has no rows ({error})")
    return evolve(reading, irregularities=(*notices, *reading.irregularities), has_other_members=bool(foreign))


def read_quickly(layout: Layout, data: bytes, day: date | None) -> FileReading:
    """Read a zip as `read_file` does; of one as LEAN writes it, the rows only.

    Raises:
        FormatError: Nothing of it can be used.
    """
    try:
        return FileReading(rows=layout.rows_by_day(layout.member_content(data, day), day))
    except FormatError:
        return read_file(layout, data, day)


def read_rows(layout: Layout, data: bytes, day: date | None) -> dict[date, bytes]:
    """The rows by day of a zip of any form, of days without damage.

    Raises:
        FormatError: Nothing of it can be used.
    """
    reading = read_quickly(layout, data, day)
    return {found: reading.rows[found] for found in reading.days}


def _is_byproduct(name: str) -> bool:
    """Whether a member is what archivers add of themselves."""
    return name.endswith("/") or name.startswith("__MACOSX/")


def _read_salvaged(layout: Layout, content: bytes, day: date | None, reason: str) -> FileReading:
    reading = _unread(layout, _read_content(layout, content, day), reason) if content else None
    if reading is None or not reading.rows:
        raise FormatError(reason)
    last = max(reading.rows)
    return evolve(reading, partial_days=reading.partial_days | ({last} if layout.bar_ms < MS_PER_DAY else set()))


def _read_other_member(
    layout: Layout, others: Sequence[tuple[str, bytes]], day: date | None, reason: str
) -> FileReading:
    """Read the first member that has rows, of a zip of which the engine takes another one."""
    for name, content in others:
        try:
            reading = _read_content(layout, content, day)
        except FormatError:
            continue
        if reading.rows:
            return _unread(layout, reading, f"{reason}; LEAN does not read those of {name} after it")
    raise FormatError(reason)


def _unread(layout: Layout, reading: FileReading, reason: str) -> FileReading:
    """The reading of a file of which the engine reads nothing."""
    days = frozenset(reading.rows) | reading.damaged_days
    return evolve(reading, fault=reason, damaged_days=days, has_other_members=True, is_unread=True)


def _read_content(layout: Layout, content: bytes, day: date | None) -> FileReading:
    form = RowForm(dated=layout.one_file, bar_ms=layout.bar_ms)
    lines = read_lines(content, form)
    if not (lines.rows or lines.faults):
        raise FormatError("the CSV is empty")
    if not (lines.rows or lines.loose):
        raise FormatError(lines.faults[0])
    rows = lines.loose | lines.rows
    by_day: dict[date, list[bytes]] = {}
    for label in sorted(rows):
        by_day.setdefault(day_of_label(label) if day is None else day, []).append(rows[label])
    lost = _lost_labels(lines, form)
    damaged = lines.damaged_days if day is None else ({day} if lines.faults else set())
    partial = damaged & by_day.keys()
    if lines.faults and not damaged:
        damaged = {day_of_label(label) for label in lost}
    return FileReading(
        rows={found: b"\n".join(texts) for found, texts in by_day.items()},
        damaged_days=frozenset(damaged),
        partial_days=frozenset(partial),
        fault=_fault(lines, len(lost)),
        unreadable=len(lines.faults),
        irregularities=tuple(_with_lost(lines, lost, day)),
        lost=len(lost),
        lost_days=_days_of(lost, day),
    )


def _days_of(labels: Iterable[int], day: date | None) -> frozenset[date]:
    return frozenset(day_of_label(label) if day is None else day for label in labels)


def _with_lost(lines: CsvLines, lost: Sequence[int], day: date | None) -> Iterator[Irregularity]:
    """The irregularities, each with the rows that the engine does not read because of it."""
    late = lines.rows.keys() - set(_ascending(lines.order))
    by_kind = {
        "rows_out_of_order": [label for label in lost if label in late],
        "other_lines": [label for label in lost if label not in late],
    }
    for one in lines.notices:
        labels = [] if lines.faults else by_kind.pop(one.kind, [])
        yield one._replace(rows=len(labels), days=_days_of(labels, day))


def _fault(lines: CsvLines, lost: int) -> str | None:
    if not lines.faults:
        return None
    more = f", and {count_text(len(lines.faults) - 1, 'other row')}" if len(lines.faults) > 1 else ""
    others = f"; because of it LEAN does not read {count_text(lost, 'other row')}" if lost else ""
    return f"{lines.faults[0]}{more}{others}"


def _lost_labels(lines: CsvLines, form: RowForm) -> list[int]:
    """The labels of readable rows that the engine does not read, or not as they are."""
    if not lines.plain:
        fed = dict(engine_rows(lines.text, dated=form.dated))
        return [label for label, row in lines.rows.items() if fed.get(label) != _numbers(row)]
    return sorted(lines.rows.keys() - set(_ascending(lines.order)))


def _ascending(order: Sequence[int]) -> list[int]:
    """The labels that the engine takes of rows in this order."""
    taken: list[int] = []
    for label in order:
        if not taken or label > taken[-1]:
            taken.append(label)
    return taken


def _numbers(row: bytes) -> tuple[float, ...]:
    return tuple(map(float, row.split(b",")[1:]))
