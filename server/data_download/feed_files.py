"""The files of a data folder, for the reader of LEAN's feed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


class FolderFiles:
    """The files below a folder; a small one that was read is cached, since map files are read for each symbol."""

    def __init__(self, root: Path, *, cache_below: int = 4096) -> None:
        """Take the folder.

        Args:
            root: LEAN's data folder.
            cache_below: The size in bytes below which a file is cached.
        """
        self._root = root
        self._cache_below = cache_below
        self._cache: dict[str, bytes] = {}

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file; None where there is no such file, or it cannot be opened."""
        if path in self._cache:
            return self._cache[path]
        try:
            data = (self._root / path).read_bytes()
        except OSError:
            return None
        if len(data) < self._cache_below:
            self._cache[path] = data
        return data

    def names(self, folder: str) -> Iterable[str]:
        """Return the names of the files in a folder; nothing where there is no such folder."""
        try:
            return [path.name for path in (self._root / folder).iterdir()]
        except OSError:
            return []
