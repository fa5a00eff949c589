"""File locks across processes: who may write the files of a series, or the text files of a symbol.

A run that fetches by symbol holds the lock of each series. A run that fetches whole days of a market holds one lock for
the resolution instead: it keeps other runs from taking further locks and waits for those that are held.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from server.data_download.files import sweep, translate_os_errors
from server.lean.layout import layout_of
from server.lean.series import Resolution, Series
from server.lean.universe_file import UNIVERSE_FILES

if TYPE_CHECKING:
    from filelock import BaseFileLock

STATE_FOLDER = ".backtest-server"
"""The folder of this program's state, below the data folder."""

UNIVERSE_LOCK = "universe"
"""The name of the lock of all universe files, and how their temporary names begin."""

_TEXTS = "corporate-actions"
_MARKET_SECONDS = 2.0
"""How long a run waits for another one that is only taking its locks."""


class SeriesLocks:
    """The lock files of one data folder. None is waited for: the caller polls for what another run holds."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / STATE_FOLDER / "locks"

    @contextmanager
    def take(self, wanted: Sequence[Series], most: int) -> Iterator[list[Series]]:
        """Hold the locks of the first series that no other run holds, and remove what killed runs left of them.

        Args:
            wanted: Series of one resolution.
            most: The greatest number of locks to hold, each of which is an open file.

        Yields:
            The series whose locks are held.
        """
        with ExitStack() as held:
            mine: list[Series] = []
            if wanted:
                with self._acquired(_market_name(wanted[0].resolution), wanted[0], _MARKET_SECONDS) as free:
                    for series in wanted if free else ():
                        if len(mine) == most:
                            break
                        if held.enter_context(self._acquired(_name(series), series)):
                            sweep(self._root / layout_of(series).folder, series.ticker)
                            mine.append(series)
            yield mine

    @contextmanager
    def take_market(self, wanted: Sequence[Series]) -> Iterator[bool]:
        """Hold the one lock of all series of a resolution, and remove what killed runs left of those wanted.

        Args:
            wanted: Series of one resolution, at least one.

        Yields:
            Whether the lock is held: no other run holds the lock of any series of the resolution.
        """
        resolution = wanted[0].resolution
        subject = resolution.value
        with self._acquired(_market_name(resolution), subject) as mine:
            free = mine
            for path in sorted(self._folder.glob(f"{resolution.value}-*.lock")) if mine else ():
                with self._acquired(path.stem, subject) as one:
                    free = free and one
            for series in wanted if free else ():
                sweep(self._root / layout_of(series).folder, series.ticker)
            yield free

    @contextmanager
    def take_texts(self, symbol: str, folders: Sequence[str]) -> Iterator[bool]:
        """Hold the lock of a symbol's text files; yields whether it is held.

        Args:
            symbol: The symbol.
            folders: Below the data folder; temporary files that killed runs left there are removed.
        """
        with self._acquired(f"{_TEXTS}-{symbol}", symbol) as mine:
            for folder in folders if mine else ():
                sweep(self._root / folder, symbol)
            yield mine

    @contextmanager
    def take_universe(self) -> Iterator[bool]:
        """Hold the lock of all universe files, and remove what killed runs left of them; yields whether it is held."""
        with self._acquired(UNIVERSE_LOCK, "the lock of universe files", is_symbol=False) as mine:
            if mine:
                sweep(self._root / UNIVERSE_FILES, UNIVERSE_LOCK)
            yield mine

    def remove_empty_state(self, *, and_root: bool) -> None:
        """Remove the state folder of a run that created it and learned nothing.

        Nothing is removed once something is recorded, or while another run holds a lock.

        Args:
            and_root: The run created the data folder, too: it is removed if it is empty.
        """
        from filelock import FileLock, Timeout

        state = self._root / STATE_FOLDER
        if not state.is_dir() or any((state / name).exists() for name in ("ledger.sqlite", "jobs.sqlite")):
            return
        with suppress(OSError, Timeout), ExitStack() as held:
            for lock in sorted((state / "locks").glob("*.lock")):
                held.enter_context(FileLock(lock).acquire(blocking=False))
            shutil.rmtree(state)
            if and_root:
                self._root.rmdir()

    @contextmanager
    def _acquired(
        self, name: str, subject: Series | str, seconds: float = 0.0, *, is_symbol: bool = True
    ) -> Iterator[bool]:
        from filelock import FileLock, Timeout

        with translate_os_errors(self._folder, subject, is_symbol=is_symbol):
            self._folder.mkdir(parents=True, exist_ok=True)
            lock: BaseFileLock = FileLock(self._folder / f"{name}.lock", thread_local=False)
            with suppress(Timeout):
                lock.acquire(timeout=seconds, poll_interval=0.01)
        try:
            yield lock.is_locked
        finally:
            lock.release()


def _name(series: Series) -> str:
    return f"{series.resolution.value}-{series.ticker}"


def _market_name(resolution: Resolution) -> str:
    return f"all-{resolution.value}"
