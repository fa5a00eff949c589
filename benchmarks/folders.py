"""Data folders of benchmark runs: temporary folders on a real disk, and what a run finds in its folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import groupby
from pathlib import Path

from attrs import frozen

from benchmarks.scenarios import ScenarioKind

_PREPARED_KINDS = (ScenarioKind.WARM_CACHE, ScenarioKind.PRESENT, ScenarioKind.GAPS)
"""Kinds whose runs start from a filled folder."""


@contextmanager
def temporary_folder(fallback: Path) -> Iterator[Path]:
    """Create an empty folder on a real disk and remove it afterwards. Syncing to a folder in memory costs nothing.

    Args:
        fallback: The parent folder to use if the system's folder for temporary files is in memory.
    """
    parent = Path(tempfile.gettempdir())
    if _in_memory(parent):
        parent = fallback
    with tempfile.TemporaryDirectory(prefix=".backtest-server-bench-", dir=parent) as folder:
        yield Path(folder)


def _in_memory(path: Path) -> bool:
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return False
    kinds = {fields[1]: fields[2] for fields in map(str.split, mounts.read_text().splitlines())}
    nearest = next(kinds[str(p)] for p in (path.resolve(), *path.resolve().parents) if str(p) in kinds)
    return nearest in ("tmpfs", "ramfs")


def set_aside(folder: Path) -> None:
    """Rename a folder, if it exists; it is removed with the temporary folder.

    After many files were deleted, ext4 skips the recently freed inodes for some minutes (``recently_deleted`` in its
    ialloc.c), and creating files takes twenty times as long. Renaming instead of deleting avoids that.
    """
    if folder.is_dir():
        folder.rename(Path(tempfile.mkdtemp(prefix="old-", dir=folder.parent)) / folder.name)


def count_zips(folder: Path) -> int:
    """Return the number of zips in a data folder."""
    return sum(1 for _ in (folder / "equity").rglob("*.zip"))


@frozen
class FolderPreparer:
    """Prepares the data folder of each run of one contender.

    Attributes:
        kind: What a run finds in its folder.
        home: The parent folder, used by this contender alone.
        days: The scenario's trading days, ascending.
        fill: Downloads everything into the folder with this path.
    """

    kind: ScenarioKind
    home: Path
    days: Sequence[date]
    fill: Callable[[Path], object]

    def prepare(self, *, incremental: bool) -> Path:
        """Prepare the folder of the next run.

        Args:
            incremental: Whether the contender uses existing files. Others download everything and get an empty folder.

        Returns:
            The data folder.
        """
        data = self.home / "data"
        if self.kind is ScenarioKind.PRESENT and incremental and data.is_dir():
            return data  # a run with all files present changes nothing
        set_aside(data)
        if not incremental or self.kind not in _PREPARED_KINDS:
            data.mkdir(parents=True)
            return data
        filled = self._filled()
        if self.kind is ScenarioKind.PRESENT:
            filled.rename(data)
        elif self.kind is ScenarioKind.WARM_CACHE:
            shutil.copytree(filled, data)
            set_aside(data / "equity")
        else:
            shutil.copytree(filled, data, ignore=shutil.ignore_patterns("http-cache.*"))
            self._remove_first_days(data)
        return data

    def _filled(self) -> Path:
        """Return a folder with everything downloaded; the download happens once."""
        filled = self.home / "filled"
        if not filled.is_dir():
            filled.mkdir(parents=True)
            self.fill(filled)
        return filled

    def _remove_first_days(self, data: Path) -> None:
        """Delete the files of the first trading day of each month."""
        first = {f"{next(days):%Y%m%d}" for _, days in groupby(self.days, lambda day: (day.year, day.month))}
        for path in (data / "equity").rglob("*.zip"):
            if path.name[:8] in first:
                path.unlink()
