"""A log file that several processes append to, with rotation by size."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from pathlib import Path

MAXIMUM_BYTES = 10_000_000
"""The size at which a file is rotated."""

KEPT = 5
"""Number of rotated files, from ``<name>.1`` (the newest) to ``<name>.5``."""

_MAXIMUM_WAITING = 1000


class LogFile:
    """Appends lines with one write each, so that lines of several processes are not mixed.

    The file is opened for each line, and is created again after another process has rotated it or its folder was
    removed.
    """

    def __init__(
        self, path: Path, *, within: Path | None = None, maximum_bytes: int = MAXIMUM_BYTES, kept: int = KEPT
    ) -> None:
        """Name the file; the first line creates it and its folder.

        Args:
            path: The file.
            within: A folder above it that is never created; until it exists, the last thousand lines are buffered.
            maximum_bytes: The size at which the file is rotated.
            kept: Number of rotated files.
        """
        self.path = path
        self._within = within
        self._waiting: deque[str] = deque(maxlen=_MAXIMUM_WAITING)
        self._maximum_bytes = maximum_bytes
        self._kept = kept

    def write(self, line: str) -> None:
        """Append a line, given without its line end.

        Raises:
            OSError: The file cannot be written.
        """
        self._waiting.append(line + "\n")
        if self._within is not None and not self._within.is_dir():
            return
        data = "".join(self._waiting).encode("utf-8", "backslashreplace")
        self._waiting.clear()
        try:
            size = self._append(data)
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            size = self._append(data)
        if size >= self._maximum_bytes:
            self._rotate()

    def _append(self, data: bytes) -> int:
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(handle, data)
            return os.fstat(handle).st_size
        finally:
            os.close(handle)

    def _rotate(self) -> None:
        from filelock import FileLock, Timeout

        lock = FileLock(self._numbered("lock"), timeout=0)
        # A second process finds the lock taken or a small file, and does nothing.
        with suppress(Timeout, OSError), lock:
            if self.path.stat().st_size < self._maximum_bytes:
                return
            for number in range(self._kept - 1, 0, -1):
                with suppress(FileNotFoundError):
                    os.replace(self._numbered(number), self._numbered(number + 1))
            os.replace(self.path, self._numbered(1))

    def _numbered(self, suffix: int | str) -> Path:
        return self.path.with_name(f"{self.path.name}.{suffix}")
