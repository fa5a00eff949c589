"""LEAN's data folder: the only place that writes into it, and the look at what is there.

A file appears whole or not at all: it is written under a temporary name in its own folder, synced, read back and
compared, and only then put in place. Two processes that want the same symbol take turns by a lock file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from server.data_download.atomic import explained, put_zips, sync_folder, temporary_prefix
from server.data_download.availability import Holdings
from server.data_download.ledger import FileMark, Ledger
from server.data_download.text_files import digest, put_text, sweep
from server.lean.layout import (
    folder_of,
    member_name,
    relative_path,
    zip_name,
)
from server.lean.series import NEW_YORK, Resolution
from server.trading_calendar import POST_MARKET_CLOSE, SETTLE_DELAY

if TYPE_CHECKING:
    from server.data_download.workers import Task
    from server.lean.bars import Bars
    from server.lean.render import DayText

STATE_FOLDER = ".backtest-server"


@frozen(kw_only=True)
class DamagedFile:
    """A file that is not what LEAN would have written, and why."""

    path: Path
    reason: str


class DataFolder:
    """LEAN's data folder with its ledger. Safe to use from several threads."""

    def __init__(self, path: Path, ledger: Ledger) -> None:
        self.path = path
        self.ledger = ledger
        self._root = str(path)

    # --- looking ---

    def holdings(
        self, symbol: str, resolution: Resolution, days: Sequence[date], *, trust_ledger: bool = True
    ) -> tuple[Holdings, list[DamagedFile]]:
        """What is there of these days. A file the ledger knows unchanged is believed, any other is verified.

        Args:
            trust_ledger: False opens every file.
        """
        known = self.ledger.files(symbol, resolution) if trust_ledger else {}
        if resolution is Resolution.DAILY:
            on_disk, damaged, files = self._daily_days(symbol, known.get(0))
        else:
            on_disk, damaged, files = self._day_files(symbol, resolution, days, known)
        holdings = Holdings(
            symbol=symbol,
            resolution=resolution,
            on_disk=on_disk,
            damaged=damaged,
            provisional=self.ledger.provisional_days(symbol, resolution),
            empty=self.ledger.empty_days(symbol, resolution),
        )
        return holdings, files

    def _day_files(
        self, symbol: str, resolution: Resolution, days: Sequence[date], known: Mapping[int, FileMark]
    ) -> tuple[set[date], set[date], list[DamagedFile]]:
        folder = f"{self._root}/{folder_of(symbol, resolution)}/"
        on_disk: set[date] = set()
        unknown: list[tuple[date, str, os.stat_result]] = []
        if not Path(folder).is_dir():
            return on_disk, set(), []
        for day in days:
            path = f"{folder}{day:%Y%m%d}_trade.zip"
            try:
                found = os.stat(path)
            except OSError:
                continue
            mark = known.get(day.toordinal())
            if mark is not None and mark.size == found.st_size and mark.changed == found.st_mtime_ns:
                on_disk.add(day)
            else:
                unknown.append((day, path, found))
        if not unknown:
            return on_disk, set(), []
        return self._verify_files(symbol, resolution, unknown, on_disk)

    def _verify_files(
        self,
        symbol: str,
        resolution: Resolution,
        files: Sequence[tuple[date, str, os.stat_result]],
        on_disk: set[date],
    ) -> tuple[set[date], set[date], list[DamagedFile]]:
        from server.lean.check import check_zip
        from server.lean.zip import FormatError

        verified: list[tuple[date | None, FileMark]] = []
        damaged: dict[date, DamagedFile] = {}
        for day, path, found in files:
            try:
                rows = len(check_zip(_read(path), symbol, resolution, day))
            except FormatError as error:
                damaged[day] = DamagedFile(path=Path(path), reason=str(error))
                continue
            except OSError as error:
                damaged[day] = DamagedFile(path=Path(path), reason=f"it cannot be read ({error.strerror})")
                continue
            on_disk.add(day)
            verified.append((day, FileMark(found.st_size, found.st_mtime_ns, rows)))
        self._record(symbol, resolution, verified, [(day, mark.changed) for day, mark in verified if day])
        return on_disk, set(damaged), list(damaged.values())

    def _record(
        self,
        symbol: str,
        resolution: Resolution,
        verified: Sequence[tuple[date | None, FileMark]],
        days: Iterable[tuple[date, int]],
    ) -> None:
        """Remember files that were verified, and which of their days were written before they were over.

        A file that last changed during its own day holds a part of it, whoever wrote it.
        """
        early = [day for day, changed in days if _during(day, changed)]
        if early:
            at = datetime.fromtimestamp(max(mark.changed for _, mark in verified) / 1e9, UTC)
            self.ledger.record_days(symbol, resolution, now=at, provisional=early)
        self.ledger.record_files(symbol, resolution, verified)

    def _daily_days(self, symbol: str, mark: FileMark | None) -> tuple[set[date], set[date], list[DamagedFile]]:
        path = self.path / relative_path(symbol, Resolution.DAILY, None)
        try:
            found = path.stat()
        except OSError:
            return set(), set(), []
        if mark is not None and mark.size == found.st_size and mark.changed == found.st_mtime_ns:
            return set(mark.days), set(), []
        from server.lean.zip import FormatError

        try:
            days = tuple(_daily_zip(symbol, path.read_bytes()))
        except (FormatError, OSError) as error:
            return set(), self.days_once_held(symbol, path), [DamagedFile(path=path, reason=str(error))]
        mark = FileMark(found.st_size, found.st_mtime_ns, len(days), days)
        self._record(symbol, Resolution.DAILY, [(None, mark)], [(day, mark.changed) for day in days[-1:]])
        return set(days), set(), []

    def days_once_held(self, symbol: str, path: Path) -> set[date]:
        """The days that a damaged daily zip held: from the ledger, and from what can be read of it still."""
        from server.lean.parse import salvaged_days
        from server.lean.zip import salvage

        mark = self.ledger.files(symbol, Resolution.DAILY).get(0)
        days = set(mark.days if mark else ())
        with suppress(OSError):
            days.update(salvaged_days(salvage(path.read_bytes())))
        return days

    # --- writing ---

    @contextmanager
    def lock(self, symbol: str, resolution: Resolution, *, blocking: bool) -> Iterator[bool]:
        """Hold the symbol's lock across processes; yields whether it was had. Sweeps what a killed run left."""
        with self._locked(symbol, resolution, blocking=blocking) as mine:
            if mine:
                sweep(self.path / folder_of(symbol, resolution), symbol)
            yield mine

    @contextmanager
    def lock_texts(self, symbol: str, folders: Sequence[str]) -> Iterator[bool]:
        """Hold the lock of the symbol's text files, as `lock` that of its bars, if nobody holds it; sweep the folders.

        Args:
            folders: Below the data folder.
        """
        with self._locked(symbol, None, blocking=False) as mine:
            for folder in folders if mine else ():
                sweep(self.path / folder, symbol)
            yield mine

    @contextmanager
    def _locked(self, symbol: str, resolution: Resolution | None, *, blocking: bool) -> Iterator[bool]:
        from filelock import FileLock, Timeout

        folder = self.path / STATE_FOLDER / "locks"
        with explained(folder, symbol, resolution):
            folder.mkdir(parents=True, exist_ok=True)
            name = resolution.value if resolution else "corporate-actions"
            lock = FileLock(folder / f"{name}-{symbol}.lock", thread_local=False)
            with suppress(Timeout):
                lock.acquire(blocking=blocking)
        try:
            yield lock.is_locked
        finally:
            lock.release()

    def remove_empty_state(self, *, of_the_folder: bool) -> None:
        """Remove the state folder, for a run that made it and came to nothing (a wrong key, a vendor that is down).

        Nothing is removed once something is known of the data, or while another run holds a lock.

        Args:
            of_the_folder: The run made the data folder, too: it goes if nothing else is in it.
        """
        from filelock import FileLock, Timeout

        state = self.path / STATE_FOLDER
        if not state.is_dir() or any((state / name).exists() for name in ("ledger.sqlite", "jobs.sqlite")):
            return
        with suppress(OSError, Timeout), ExitStack() as held:
            for lock in sorted((state / "locks").glob("*.lock")):
                held.enter_context(FileLock(lock).acquire(blocking=False))
            shutil.rmtree(state)
            if of_the_folder:
                self.path.rmdir()

    def write_days(self, symbol: str, resolution: Resolution, days: Sequence[DayText]) -> Path | None:
        """Put these days on disk: a file a day, or merged into the daily zip with new rows winning.

        Returns:
            Where a damaged daily zip was kept, if one stood there.

        Raises:
            WriteFailedError: Nothing changed on disk for the file concerned.
        """
        if resolution is Resolution.DAILY:
            return self._merge_daily(symbol, {text.day: text.csv for text in days})
        contents = [(text.day, member_name(symbol, resolution, text.day), text.csv) for text in days]
        marks = self._put_all(symbol, resolution, contents)
        self.ledger.record_files(
            symbol,
            resolution,
            [(text.day, FileMark(*mark, text.rows)) for text, mark in zip(days, marks, strict=True)],
        )
        return None

    def _merge_daily(self, symbol: str, new: Mapping[date, bytes]) -> Path | None:
        from server.lean.zip import FormatError

        path = self.path / relative_path(symbol, Resolution.DAILY, None)
        rows: dict[date, bytes] = {}
        aside = None
        with explained(path, symbol, Resolution.DAILY):
            try:
                rows = _daily_zip(symbol, path.read_bytes())
            except FileNotFoundError:
                pass
            except FormatError:
                aside = _aside(path)
                os.link(path, aside)  # until the new zip takes its place, the damaged one still says which days it held
        rows.update(new)
        days = tuple(sorted(rows))
        csv = b"\n".join(rows[day] for day in days)
        content = (None, member_name(symbol, Resolution.DAILY, None), csv)
        (mark,) = self._put_all(symbol, Resolution.DAILY, [content])
        self.ledger.record_files(symbol, Resolution.DAILY, [(None, FileMark(*mark, len(days), days))])
        return aside

    def set_aside(self, symbol: str, resolution: Resolution, day: date | None) -> Path | None:
        """Move a damaged file out of LEAN's way, keeping it under a name that nothing reads."""
        path = self.path / relative_path(symbol, resolution, day)
        if not path.exists():
            return None
        aside = _aside(path)
        with explained(path, symbol, resolution):
            path.replace(aside)
        self.ledger.forget_file(symbol, resolution, None if resolution is Resolution.DAILY else day)
        return aside

    def write_text(self, symbol: str, path: str, text: str, check: Callable[[str], object]) -> None:
        """Put a text file of the symbol's in place, and remember that it is ours.

        Args:
            path: Below the data folder.
            check: Given what was read back; raises if a reader would not find what it should.

        Raises:
            WriteFailedError: What stood there still stands.
        """
        content, whole = text.encode(), self.path / path
        self.ledger.record_text(path, digest(content))
        with explained(whole, symbol, None):
            put_text(whole.parent, symbol, whole.name, content, lambda read: check(read.decode()))
        self.ledger.record_text(path, digest(content), only=True)

    def write_held(self, symbol: str, resolution: Resolution, days: Sequence[date], task: Task) -> dict[date, int]:
        """Put days of minutes or seconds on disk whose bars a task holds; returns how many bars each of them has.

        Raises:
            FormatError, WriteFailedError, WorkerLost: Nothing changed on disk for the file concerned.
        """
        with explained(self.path / folder_of(symbol, resolution), symbol, resolution):
            written: list[tuple[date, FileMark]] = task.run(_write_held, self._root, symbol, resolution, days)
        self.ledger.record_files(symbol, resolution, written)
        return {day: mark.rows for day, mark in written}

    def _put_all(
        self, symbol: str, resolution: Resolution, contents: Sequence[tuple[date | None, str, bytes]]
    ) -> list[tuple[int, int]]:
        """Write zips of one folder; returns each one's size and time of change (ns)."""
        with explained(self.path / folder_of(symbol, resolution), symbol, resolution):
            return _put(self._root, symbol, resolution, contents)


def _put(
    root: str, symbol: str, resolution: Resolution, contents: Sequence[tuple[date | None, str, bytes]]
) -> list[tuple[int, int]]:
    if not contents:
        return []
    folder = f"{root}/{folder_of(symbol, resolution)}"
    os.makedirs(folder, exist_ok=True)
    zips = [(zip_name(symbol, resolution, day), member, csv) for day, member, csv in contents]
    marks = put_zips(folder, temporary_prefix(symbol), zips)
    sync_folder(folder)
    return marks


def _write_held(
    bars: Bars, root: str, symbol: str, resolution: Resolution, days: Sequence[date]
) -> tuple[None, list[tuple[date, FileMark]]]:
    """A task's last step: its bars to files."""
    from server.lean.render import render_days

    texts = render_days(bars, resolution, days)
    marks = _put(root, symbol, resolution, [(t.day, member_name(symbol, resolution, t.day), t.csv) for t in texts])
    return None, [(text.day, FileMark(*mark, text.rows)) for text, mark in zip(texts, marks, strict=True)]


def _during(day: date, changed: int) -> bool:
    """Whether an instant (ns since 1970 UTC) lies in a New York day before all of its bars are published."""
    at = datetime.fromtimestamp(changed / 1e9, NEW_YORK)
    return at.date() == day and at < datetime.combine(day, POST_MARKET_CLOSE, NEW_YORK) + SETTLE_DELAY


def _aside(path: Path) -> Path:
    """A name beside the path that nothing reads."""
    return path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")


def _daily_zip(symbol: str, data: bytes) -> dict[date, bytes]:
    from server.lean.parse import daily_rows
    from server.lean.zip import FormatError, only_member

    name, content = only_member(data)
    expected = member_name(symbol, Resolution.DAILY, None)
    if name != expected:
        raise FormatError(f"the member is called {name}, LEAN writes {expected}")
    return daily_rows(content)


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()
