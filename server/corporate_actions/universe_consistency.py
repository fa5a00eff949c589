"""Making universe files consistent with the map files and factor files, before LEAN reads them.

A row whose identifier does not follow from the map files is another share to LEAN than `AddEquity` of the same ticker.
So a map or factor file that is created or changed changes rows of universe files, also of those that exist already.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from attrs import define, field

from server.core.cancel import CancelToken
from server.core.errors import Cancelled
from server.core.text import count_text, list_text
from server.data_download.data_folder import DataFolder
from server.data_download.ledger import UniverseMark, digest
from server.lean.layout import FACTOR_FILES, MAP_FILES
from server.lean.text_lines import parse_date
from server.lean.universe_file import UNIVERSE_FILES, universe_file_path

if TYPE_CHECKING:
    from server.lean.universe_shares import UniverseShares

WARM_UP = timedelta(days=366)
"""How long before the first day of a range universe files are made consistent: LEAN reads them for the warm-up, too."""

_RULES = "1"
"""The version of the rules by which rows are corrected. A greater one has all files checked again."""

_RECORDED_AT_ONCE = 64
_LOCK_POLL_SECONDS = 0.1
_DAYS_SHOWN = 3


def make_universe_files_consistent(
    folder: DataFolder, first: date, last: date, *, cancel: CancelToken
) -> tuple[str, ...]:
    """Give each row of a share with a map file the identifier and the factors that follow from the present files.

    All present universe files from `WARM_UP` before the first day to the last day are made consistent. Files that were
    checked before and have not changed since, as map and factor files have not, are not opened. Nothing is written
    where nothing changes.

    Args:
        folder: LEAN's data folder.
        first: The first day of the algorithm.
        last: The last day of the algorithm.
        cancel: Stops the work between two files when cancelled.

    Returns:
        Notices, one line each: how many rows were corrected, and which files cannot be read.

    Raises:
        Cancelled: It was cancelled; each file is as it was or consistent.
        WriteFailedError: A file or the ledger could not be written. The file concerned is unchanged.
    """
    present = _stats(folder.path / UNIVERSE_FILES)
    start = max(first, date.min + WARM_UP) - WARM_UP
    days = {day: mark for name, mark in present.items() if (day := _day_of(name)) and start <= day <= last}
    if not days:
        return ()
    sources = _digest_of_sources(folder.path)
    known = folder.ledger.universe_files()
    due = [day for day, mark in sorted(days.items()) if known.get(day) != UniverseMark(*mark, sources)]
    return _Check(folder, sources, cancel).run(due) if due else ()


class _Stat(NamedTuple):
    size: int
    modified_ns: int


@define
class _Check:
    """A check of universe files, and its result so far."""

    folder: DataFolder
    sources: bytes
    cancel: CancelToken
    corrected: dict[date, int] = field(factory=dict)
    unreadable: dict[date, str] = field(factory=dict)
    _marks: dict[date, UniverseMark] = field(factory=dict)
    _locked: bool = False

    def run(self, days: Iterable[date]) -> tuple[str, ...]:
        """Make the universe files of days consistent. The lock is held from the first file on that changes."""
        from server.data_download.feed_files import FolderFiles
        from server.lean.universe_shares import UniverseShares

        shares = UniverseShares(FolderFiles(self.folder.path))
        with ExitStack() as held:
            held.callback(self._record)
            for day in days:
                if self.cancel.cancelled:
                    raise Cancelled("cancelled before all universe files were consistent with the map files")
                stat = self._make_consistent(day, shares, held)
                if stat is not None:
                    self._marks[day] = UniverseMark(*stat, self.sources)
                if len(self._marks) == _RECORDED_AT_ONCE:
                    self._record()
        return tuple(self._notices())

    def _make_consistent(self, day: date, shares: UniverseShares, held: ExitStack) -> _Stat | None:
        """Correct a file where necessary; returns its size and modification time, or None if it cannot be read."""
        read = self._read(day)
        if read is None:
            return None
        stat, content = read
        corrected, rows = _corrected(content, day, shares)
        if not rows:
            return stat
        if not self._locked:
            held.enter_context(self._lock())
            self._locked = True
            return self._make_consistent(day, shares, held)  # another process may have written it
        stat = _Stat(*self.folder.writer.write_universe_file(day, corrected))
        self.corrected[day] = rows
        return stat

    def _record(self) -> None:
        marks, self._marks = self._marks, {}
        if marks:
            self.folder.ledger.record_universe_files(marks)

    def _read(self, day: date) -> tuple[_Stat, bytes] | None:
        try:
            with (self.folder.path / universe_file_path(day)).open("rb") as file:
                status = os.fstat(file.fileno())
                return _Stat(status.st_size, status.st_mtime_ns), file.read()
        except FileNotFoundError:
            pass  # removed since the folder was listed
        except OSError as error:
            self.unreadable[day] = error.strerror or str(error)
        return None

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the lock of universe files; while another process holds it, wait."""
        while not self.cancel.cancelled:
            with self.folder.locks.take_universe() as locked:
                if locked:
                    yield
                    return
            self.cancel.wait(_LOCK_POLL_SECONDS)
        raise Cancelled("cancelled while another process wrote universe files")

    def _notices(self) -> Iterator[str]:
        if self.corrected:
            days = sorted(self.corrected)
            span = f"of {days[0]}" if len(days) == 1 else f"from {days[0]} to {days[-1]}"
            rows, files = count_text(sum(self.corrected.values()), "row"), count_text(len(days), "universe file")
            yield f"corrected {rows} of {files} {span}, which did not follow from the map and factor files"
        if self.unreadable:
            names = [f"{day} ({reason})" for day, reason in sorted(self.unreadable.items())]
            yield f"universe files that cannot be read: {list_text(names, _DAYS_SHOWN)}; LEAN cannot read them either"


def _corrected(content: bytes, day: date, shares: UniverseShares) -> tuple[bytes, int]:
    from server.lean.universe_rows import correct_universe_file

    return correct_universe_file(content, day, shares) if shares.words.size else (content, 0)


def _day_of(name: str) -> date | None:
    return parse_date(name.removesuffix(".csv")) if name.endswith(".csv") else None


def _digest_of_sources(root: Path) -> bytes:
    """A digest of the names, sizes and modification times of all map files and factor files."""
    lines = [_RULES]
    for folder in (MAP_FILES, FACTOR_FILES):
        stats = _stats(root / folder)
        lines += [folder, *(f"{name} {stats[name].size} {stats[name].modified_ns}" for name in sorted(stats))]
    return digest("\n".join(lines).encode())


def _stats(folder: Path) -> Mapping[str, _Stat]:
    """The size and modification time of each csv file in a folder, by name; nothing if there is no such folder."""
    found: dict[str, _Stat] = {}
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".csv"):
                with suppress(OSError):  # a link to nothing
                    status = entry.stat()
                    found[entry.name] = _Stat(status.st_size, status.st_mtime_ns)
    return found
