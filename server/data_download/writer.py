"""The only code that writes files into the data folder. The caller holds the lock of what it writes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, cast

from attrs import frozen

from server.core.damaged_files import damaged_path
from server.data_download.files import (
    ZipToWrite,
    put_text,
    put_zips,
    sync_folder,
    temporary_prefix,
    translate_os_errors,
)
from server.data_download.ledger import FileMark, Ledger, digest
from server.lean.layout import OneFile, layout_of
from server.lean.series import Series

if TYPE_CHECKING:
    from server.data_download.workers import Task
    from server.lean.bars import Bars
    from server.lean.trade_csv import DayText


@frozen
class SeriesWriter:
    """Writes the files of series, and LEAN's text files, and records them in the ledger. Thread-safe."""

    root: Path
    ledger: Ledger

    def write_days(self, series: Series, days: Sequence[DayText]) -> Path | None:
        """Write days: a file for each, or merged into the file of all days, where new rows replace old ones.

        Returns:
            The new name of a damaged file of all days, if there was one.

        Raises:
            WriteFailedError: The file concerned is unchanged.
        """
        layout = layout_of(series)
        if layout.one_file:
            return self._merge(series, {text.day: text for text in days})
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

    def set_aside(self, series: Series, day: date | None) -> Path | None:
        """Rename a damaged file to a name that nothing reads; returns that name, or None if there is no file."""
        layout = layout_of(series)
        path = self.root / layout.path(day)
        if not path.exists():
            return None
        aside = damaged_path(path)
        with translate_os_errors(path, series):
            path.replace(aside)
        self.ledger.forget_file(series, None if layout.one_file else day)
        return aside

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

    def _merge(self, series: Series, new: Mapping[date, DayText]) -> Path | None:
        from server.lean.errors import FormatError

        layout = cast(OneFile, layout_of(series))
        path = self.root / layout.path(None)
        rows: dict[date, bytes] = {}
        aside = None
        with translate_os_errors(path, series):
            try:
                rows = layout.rows_by_day(layout.member_content(path.read_bytes(), None), None)
            except FileNotFoundError:
                pass
            except FormatError:
                aside = damaged_path(path)
                os.link(path, aside)  # until the new file is in place, the damaged one still shows which days it held
        rows.update((day, text.csv) for day, text in new.items())
        days = tuple(sorted(rows))
        content = layout.merge(rows)
        with translate_os_errors(path, series):
            (mark,) = _put(self.root, series, [ZipToWrite(layout.zip_name(None), layout.member(None), content)])
        count = content.count(b"\n") + 1
        self.ledger.record_files(series, [(None, FileMark(*mark, count, days))])
        return aside


def write_day_files(root: Path, series: Series, days: Sequence[DayText]) -> list[tuple[date, FileMark]]:
    """Write a file for each day; returns the mark of each.

    Raises:
        OSError: The files of the batch concerned are unchanged.
    """
    layout = layout_of(series)
    zips = [ZipToWrite(layout.zip_name(text.day), layout.member(text.day), text.csv) for text in days]
    marks = _put(root, series, zips)
    return [(text.day, FileMark(*mark, text.rows)) for text, mark in zip(days, marks, strict=True)]


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
