"""The only code that writes files into the data folder. The caller holds the lock of what it writes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from server.core.damaged_files import damaged_path
from server.data_download.data_findings import DataFinding, pack_findings, unpack_findings
from server.data_download.files import (
    ZipToWrite,
    keep_copy,
    put_text,
    put_zips,
    sync_folder,
    temporary_prefix,
    translate_os_errors,
    write_target,
)
from server.data_download.ledger import FileMark, Ledger, digest
from server.data_download.locks import UNIVERSE_LOCK
from server.lean.layout import layout_of
from server.lean.series import Series
from server.lean.universe_file import universe_file_path

if TYPE_CHECKING:
    from server.data_download.workers import Task
    from server.lean.bars import Bars
    from server.lean.irregular import FileReading
    from server.lean.trade_csv import DayText


@frozen
class SeriesWriter:
    """Writes the files of series, and LEAN's text files, and records them in the ledger. Thread-safe."""

    root: Path
    ledger: Ledger

    def write_days(self, series: Series, days: Sequence[DayText]) -> Path | None:
        """Write days: a file for each, or merged into the file of all days, where new rows replace old ones.

        Returns:
            The name of a copy of the previous file of all days, if something of it is not in the new one.

        Raises:
            WriteFailedError: The file concerned is unchanged.
        """
        layout = layout_of(series)
        if layout.one_file:
            previous = self._previous(series, None)
            rows = dict(previous.rows) | {text.day: text.csv for text in days}
            return self._rewrite(series, None, rows, previous, fetched={text.day for text in days})
        with translate_os_errors(self.root / layout.folder, series):
            marks = write_day_files(self.root, series, days)
        self.ledger.record_files(series, marks)
        return None

    def write_held(self, series: Series, days: Sequence[date], task: Task) -> tuple[dict[date, int], dict[date, str]]:
        """Write days whose bars a worker task holds, each into a file of its own; days with a bad bar are not written.

        Returns:
            The number of bars of each day that was written, and the reason of each day with a bad bar.

        Raises:
            FormatError, WriteFailedError, WorkerLost: The file concerned is unchanged.
        """
        with translate_os_errors(self.root / layout_of(series).folder, series):
            written, bad = task.run(_write_held, self.root, series, days)
        self.ledger.record_files(series, written)
        return {day: mark.rows for day, mark in written}, bad

    def rewrite(self, series: Series, day: date | None) -> Path | None:
        """Write a file again in LEAN's form, with the rows of it that can be used.

        Returns:
            As `write_days`, or None where nothing of the file can be used.

        Raises:
            WriteFailedError: The file is unchanged.
        """
        file_day = None if layout_of(series).one_file else day
        previous = self._previous(series, file_day)
        return self._rewrite(series, file_day, previous.rows, previous) if previous.rows else None

    def clear_damaged(self, series: Series, day: date | None) -> Path | None:
        """Leave of a damaged file what LEAN can use: its readable rows, or no file.

        Rows with numbers that cannot be right stay until their day is fetched again.

        Returns:
            The name of a copy of the damaged file; None if there was no file, or all of it is still in place.

        Raises:
            WriteFailedError: The file is unchanged.
        """
        file_day = None if layout_of(series).one_file else day
        previous = self._previous(series, file_day)
        if previous.rows and not previous.is_changed_by_rewriting:
            return None
        if previous.rows:
            return self._rewrite(series, file_day, previous.rows, previous)
        return self.set_aside(series, day)

    def set_aside(self, series: Series, day: date | None) -> Path | None:
        """Rename a damaged file to a name that nothing reads; returns that name, or None if there is no file."""
        layout = layout_of(series)
        path = self.root / layout.path(day)
        if not path.exists():
            return None
        with translate_os_errors(path, series):
            target = write_target(path)  # a link stays, so that the next file is written through it
            aside = damaged_path(target)
            target.replace(aside)
        self.ledger.forget_file(series, None if layout.one_file else day)
        return aside

    def create_folder(self, path: str) -> None:
        """Create a folder that LEAN expects, such as that of map files.

        Args:
            path: Below the data folder.

        Raises:
            WriteFailedError: It could not be created.
        """
        with translate_os_errors(self.root / path, path):
            (self.root / path).mkdir(parents=True, exist_ok=True)

    def write_text(self, symbol: str, path: str, text: str, check: Callable[[str], object]) -> None:
        """Write one of a symbol's text files, and record that this program wrote it.

        Args:
            symbol: The symbol.
            path: Below the data folder.
            text: The text of the file.
            check: Receives what was read back; raises if a reader would not find what it should.

        Raises:
            WriteFailedError: The previous file is unchanged.
        """
        content, whole = text.encode(), self.root / path
        self.ledger.record_text(path, digest(content))
        with translate_os_errors(whole, symbol):
            put_text(whole.parent, symbol, whole.name, content, lambda read: check(read.decode()))
        self.ledger.record_text(path, digest(content), only=True)

    def extend_text(self, symbol: str, path: str, text: str, check: Callable[[str], object]) -> None:
        """Replace a text file of another program; the previous one is kept as ``<name>.old``. It stays foreign.

        Args:
            symbol: The symbol.
            path: Below the data folder.
            text: The new text of the file.
            check: Receives what was read back.

        Raises:
            WriteFailedError: The previous file is unchanged.
        """
        whole = self.root / path
        with translate_os_errors(whole, symbol):
            put_text(whole.parent, symbol, f"{whole.name}.old", whole.read_bytes(), lambda read: None)
            put_text(whole.parent, symbol, whole.name, text.encode(), lambda read: check(read.decode()))

    def write_universe_file(self, day: date, content: bytes) -> tuple[int, int]:
        """Write the universe file of a day; returns its size and its modification time in nanoseconds.

        Raises:
            WriteFailedError: The file is unchanged.
        """
        path = self.root / universe_file_path(day)
        with translate_os_errors(path, f"the universe file of {day}", is_symbol=False):
            target = write_target(path)
            put_text(target.parent, UNIVERSE_LOCK, target.name, content, lambda read: None)
            status = target.stat()
        return status.st_size, status.st_mtime_ns

    def _previous(self, series: Series, day: date | None) -> FileReading:
        """What can be used of an existing file."""
        from server.lean.errors import FormatError
        from server.lean.irregular import FileReading, read_quickly

        layout = layout_of(series)
        path = self.root / layout.path(day)
        with translate_os_errors(path, series):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return FileReading(rows={})
        try:
            return read_quickly(layout, data, day)
        except FormatError as error:
            return FileReading(rows={}, fault=str(error), is_unread=True)

    def _rewrite(
        self,
        series: Series,
        day: date | None,
        rows: Mapping[date, bytes],
        previous: FileReading,
        fetched: AbstractSet[date] = frozenset(),
    ) -> Path | None:
        """Put a file in place of the previous one; keep a copy of that if it has more than the new one has."""
        from server.lean.row_checks import implausible_days

        layout = layout_of(series)
        path = self.root / layout.path(day)
        content = b"\n".join(rows[found] for found in sorted(rows))
        implausible = implausible_days(previous.rows, dated=layout.one_file).keys()
        aside = None
        with translate_os_errors(path, series):
            lost = self._rows_lost(series, day, previous, fetched)
            if previous.fault or previous.has_other_members or implausible & fetched:
                aside = keep_copy(write_target(path), damaged_path)
            partial = sorted(previous.partial_days & rows.keys() - fetched)
            if partial:  # before the file, so that these days are still fetched if the vendor can be asked
                self.ledger.record_days(series, now=datetime.now(UTC), provisional=partial)
            (mark,) = _put(self.root, series, [ZipToWrite(layout.zip_name(day), layout.member(day), content)])
        if implausible - fetched:  # not recorded, so that each scan finds these days
            self.ledger.forget_file(series, day)
            return aside
        days = () if day else tuple(sorted(rows))
        self.ledger.record_files(series, [(day, FileMark(*mark, content.count(b"\n") + 1, days, pack_findings(lost)))])
        return aside

    def _rows_lost(
        self, series: Series, day: date | None, previous: FileReading, fetched: AbstractSet[date]
    ) -> list[DataFinding]:
        """The rows that a rewrite of the previous file does not save, and those that earlier ones did not."""
        from server.data_download.file_check import rows_lost

        layout = layout_of(series)
        path = layout.path(day)
        days = set(previous.days_lost_by_rewriting())
        mark = self.ledger.files(series).get(day.toordinal() if day else 0)
        earlier: list[DataFinding] = []
        if mark and previous.is_unread:
            days |= set(mark.days) - previous.rows.keys()
        if mark and mark.findings and mark.is_of((self.root / path).stat()):
            earlier = [
                one for one in unpack_findings(mark.findings, path=path, series=series) if one.kind == "rows_lost"
            ]
        found = rows_lost(layout, day, frozenset(days - fetched), previous.unreadable)
        left = [one.without(fetched) for one in earlier]
        return [one for one in (*left, found) if one]


def write_day_files(root: Path, series: Series, days: Sequence[DayText]) -> list[tuple[date, FileMark]]:
    """Write a file for each day; returns the mark of each.

    Raises:
        OSError: The files of the batch concerned are unchanged.
    """
    layout = layout_of(series)
    zips = [ZipToWrite(layout.zip_name(text.day), layout.member(text.day), text.csv) for text in days]
    marks = _put(root, series, zips)
    return [(text.day, FileMark(*mark, text.rows, findings="")) for text, mark in zip(days, marks, strict=True)]


def _put(root: Path, series: Series, zips: Sequence[ZipToWrite]) -> list[tuple[int, int]]:
    if not zips:
        return []
    folder = f"{root}/{layout_of(series).folder}"
    os.makedirs(folder, exist_ok=True)
    marks = put_zips(folder, temporary_prefix(series.ticker), zips)
    sync_folder(folder)
    return marks


def _write_held(
    bars: Bars, root: Path, series: Series, days: Sequence[date]
) -> tuple[None, tuple[list[tuple[date, FileMark]], dict[date, str]]]:
    """The last step of a task: its bars to files, and why days are left out."""
    from server.lean.bar_checks import without_bad_days

    bars, bad = without_bad_days(bars, days)
    good = [day for day in days if day not in bad]
    return None, (write_day_files(root, series, layout_of(series).render(bars, good)), bad)
