"""A file that several processes add lines to, and that is set aside when it has grown."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from pathlib import Path

MAXIMUM_BYTES = 10_000_000
KEPT = 5
"""How many full files are kept beside the current one, as ``<name>.1`` (the newest) to ``<name>.5``."""

_MAXIMUM_WAITING = 1000


class LogFile:
    """Adds lines with one append each, so that those of several processes never mix.

    The file is opened for each line: nothing is held open, and a file that another process has set aside, or
    a folder that somebody removed, is simply made again.
    """

    def __init__(
        self, path: Path, *, within: Path | None = None, maximum_bytes: int = MAXIMUM_BYTES, kept: int = KEPT
    ) -> None:
        """Name the file; neither it nor its folder is made before the first line.

        Args:
            path: The file.
            within: A folder above it that is not this file's to make: lines wait (the last thousand) for it.
            maximum_bytes: A file that has reached this size is set aside.
            kept: How many of those are kept.
        """
        self.path = path
        self._within = within
        self._waiting: deque[str] = deque(maxlen=_MAXIMUM_WAITING)
        self._maximum_bytes = maximum_bytes
        self._kept = kept

    def write(self, line: str) -> None:
        """Add a line (without its end).

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
            self._set_aside()

    def _append(self, data: bytes) -> int:
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(handle, data)
            return os.fstat(handle).st_size
        finally:
            os.close(handle)

    def _set_aside(self) -> None:
        from filelock import FileLock, Timeout

        lock = FileLock(self._numbered("lock"), timeout=0)
        # Whoever comes second finds either the lock taken or a small file, and leaves it.
        with suppress(Timeout, OSError), lock:
            if self.path.stat().st_size < self._maximum_bytes:
                return
            for number in range(self._kept - 1, 0, -1):
                with suppress(FileNotFoundError):
                    os.replace(self._numbered(number), self._numbered(number + 1))
            os.replace(self.path, self._numbered(1))

    def _numbered(self, suffix: int | str) -> Path:
        return self.path.with_name(f"{self.path.name}.{suffix}")
