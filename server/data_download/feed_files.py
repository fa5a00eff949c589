"""The files of a data folder, for the reader of LEAN's feed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


class FolderFiles:
    """The files below a folder."""

    def __init__(self, root: Path) -> None:
        """Take LEAN's data folder."""
        self._root = root

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file; None where there is no such file, or it cannot be opened."""
        try:
            return self.open(path)
        except OSError:
            return None

    def open(self, path: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            OSError: There is no such file, or it cannot be opened.
        """
        return (self._root / path).read_bytes()

    def names(self, folder: str) -> Iterable[str]:
        """Return the names of the files in a folder; nothing where there is no such folder."""
        try:
            return [path.name for path in (self._root / folder).iterdir()]
        except OSError:
            return []
