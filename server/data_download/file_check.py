"""Decides what a file of bars is worth: the one place that says which days it has, what is damaged and what LEAN loses.

Pure: the bytes come as a value. The catalog uses it for what is missing, `verify` for what it lists, and the check
before a backtest for what LEAN would not read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from server.core.json import json_options
from server.data_download.data_findings import DataFinding, FindingKind, Severity

if TYPE_CHECKING:
    from server.lean.csv_lines import Irregularity
    from server.lean.irregular import FileReading
    from server.lean.layout import Layout


@frozen(kw_only=True)
class DamagedFile:
    """A file of which LEAN cannot read all rows, and why.

    Attributes:
        in_part: Whether days of it can be used.
    """

    path: Path
    reason: str
    in_part: bool = field(default=False, metadata=json_options(omit=True))


@frozen(kw_only=True)
class IrregularFile:
    """A file of which all rows can be read, but which is not as LEAN writes it, and what is irregular.

    Attributes:
        is_read_whole: Whether LEAN reads all rows as they are.
    """

    path: Path
    reason: str
    is_read_whole: bool = field(default=True, metadata=json_options(omit=True))


@frozen(kw_only=True)
class FileCheck:
    """What a file of bars is worth.

    Attributes:
        rows: The number of rows that can be used.
        days: The days without damage, ascending.
        damaged_days: Days of which rows cannot be read, as far as the file shows them.
        fault: Why it is damaged, or None.
        irregular: What of it LEAN would not have written, as one sentence; empty where it is damaged, too.
        is_as_written: Whether it is as LEAN writes it, line ends and encoding apart.
        is_read_whole: Whether LEAN reads all of its rows.
        is_rewritable: Whether a rewrite changes it; rows that are not plausible stay until their day is fetched again.
        findings: What LEAN does not read of it, or not as it is, and what is irregular.
    """

    rows: int = 0
    days: tuple[date, ...] = ()
    damaged_days: frozenset[date] = frozenset()
    fault: str | None = None
    irregular: str = ""
    is_as_written: bool = False
    is_read_whole: bool = True
    is_rewritable: bool = True
    findings: tuple[DataFinding, ...] = ()

    @property
    def is_damaged_whole(self) -> bool:
        """Whether no day of it can be used."""
        return self.fault is not None and not self.days


def check_file(layout: Layout, data: bytes, day: date | None) -> FileCheck:
    """Check a zip of any form.

    Args:
        layout: The layout of its series.
        data: The bytes of the zip.
        day: The day of the file; None for a file of all days.
    """
    from server.lean.csv_lines import Irregularity, decoded
    from server.lean.errors import FormatError
    from server.lean.irregular import FileReading, read_file
    from server.lean.row_checks import row_faults
    from server.lean.trade_csv import normalized

    try:
        content = layout.member_content(data, day)
        plain = normalized(content)
        found = layout.check_rows(plain, day)
    except FormatError:
        try:
            return _checked(layout, read_file(layout, data, day), data, day)
        except FormatError as error:
            kind = _kind_of_unread(data)
            return FileCheck(fault=str(error), findings=(file_finding(layout, day, kind, str(error)),))
    notices = [Irregularity("form", text) for text in decoded(content)[1]]
    if row_faults(plain, dated=layout.one_file):
        reading = FileReading(rows=layout.rows_by_day(plain, day), irregularities=tuple(notices))
        return _checked(layout, reading, data, day)
    return FileCheck(
        rows=found.rows,
        days=found.days,
        irregular=", ".join(notice.text for notice in notices),
        is_as_written=True,
        findings=_irregularities(layout, day, notices),
    )


def unopened(layout: Layout, day: date | None, error: OSError) -> FileCheck:
    """Return the check of a file that cannot be opened."""
    fault = f"it cannot be read ({error.strerror or error})"
    return FileCheck(fault=fault, findings=(file_finding(layout, day, "unreadable_file", fault),))


def rows_lost(layout: Layout, day: date | None, days: frozenset[date], rows: int) -> DataFinding | None:
    """Return the finding about rows that a rewrite did not save; None where it saved all."""
    from server.core.text import count_text

    if not days:
        return None
    what = count_text(rows, "row") if rows else "rows"
    message = f"{what} that could not be read {'is' if rows == 1 else 'are'} lost since the file was rewritten"
    return file_finding(layout, day, "rows_lost", message, days, rows=rows, severity="notice")


def closed_days(layout: Layout, days: Iterable[date], sessions: Collection[date]) -> list[DataFinding]:
    """Return the finding about rows of days without a session in a file of all days.

    Args:
        layout: The layout of its series.
        days: The days of its rows.
        sessions: All sessions around them.
    """
    closed = [day for day in days if day not in sessions] if layout.one_file else []
    if not closed:
        return []
    which = "that day, so LEAN drops the row" if len(closed) == 1 else "these days, so LEAN drops their rows"
    message = f"the exchange was closed on {which}"
    return [file_finding(layout, None, "closed_day", message, closed, rows=len(closed), severity="notice")]


def _checked(layout: Layout, reading: FileReading, data: bytes, day: date | None) -> FileCheck:
    from server.lean.row_checks import implausible_days

    findings = () if reading.is_unread else _irregularities(layout, day, reading.irregularities)
    implausible = implausible_days(reading.rows, dated=layout.one_file)
    first = next(iter(implausible.values()), None)
    if first:
        findings = (file_finding(layout, day, "implausible_rows", first, implausible), *findings)
    if reading.fault:
        kind: FindingKind = _kind_of_unread(data) if reading.is_unread else "unreadable_rows"
        days = reading.damaged_days | reading.lost_days
        lost = reading.unreadable + (reading.count if reading.is_unread else reading.lost)
        findings = (file_finding(layout, day, kind, reading.fault, days, rows=lost), *findings)
    return FileCheck(
        rows=reading.count,
        days=tuple(found for found in reading.days if found not in implausible),
        damaged_days=reading.damaged_days | implausible.keys(),
        fault=reading.fault or first,
        irregular="" if reading.fault or first else reading.notice,
        is_read_whole=not (reading.fault or first or reading.lost),
        is_rewritable=reading.is_changed_by_rewriting,
        findings=findings,
    )


def _kind_of_unread(data: bytes) -> FindingKind:
    """Why LEAN reads nothing of a zip."""
    from server.lean.errors import FormatError
    from server.lean.zip import members

    try:
        (_, content), *others = members(data)
    except FormatError:
        return "empty_zip" if _has_no_member(data) else "cut_short_zip"
    if any(other.strip() for _, other in others):
        return "foreign_member"
    return "unreadable_rows" if content.strip() else "empty_member"


def _has_no_member(data: bytes) -> bool:
    """Whether a file is empty, or a whole zip without a member."""
    return not data or (data.startswith(b"PK\5\6") and len(data) >= 22)  # an end record alone


def _irregularities(
    layout: Layout, day: date | None, irregularities: tuple[Irregularity, ...] | list[Irregularity]
) -> tuple[DataFinding, ...]:
    from server.lean.irregular import with_lost_rows

    return tuple(
        file_finding(
            layout,
            day,
            one.kind,
            with_lost_rows(one.text, one.rows),
            one.days,
            rows=one.rows,
            severity="damage" if one.kind == "other_lines" and one.rows else "notice",
            loses=bool(one.rows),
        )
        for one in irregularities
    )


def file_finding(
    layout: Layout,
    day: date | None,
    kind: FindingKind,
    message: str,
    days: Iterable[date] = (),
    *,
    rows: int = 0,
    severity: Severity = "damage",
    loses: bool = True,
) -> DataFinding:
    """Return a finding about a file of bars.

    Args:
        layout: The layout of its series.
        day: The day of the file; None for a file of all days.
        kind: What was found.
        message: What it is.
        days: The days concerned, of a file of all days.
        rows: The number of rows that LEAN does not read.
        severity: Whether it is damage.
        loses: Whether LEAN loses something by it.
    """
    return DataFinding(
        symbol=layout.series.ticker,
        path=layout.path(day),
        series=layout.series,
        kind=kind,
        severity=severity,
        days=(day,) if day else tuple(sorted(days)),
        rows=rows,
        message=message,
        loses=loses,
    )
