"""Where the reader gets files from. It opens none itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class FeedFiles(Protocol):
    """The files of a data folder. Paths are relative to it, with forward slashes."""

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file; None where there is no such file, or it cannot be opened."""

    def names(self, folder: str) -> Iterable[str]:
        """Return the names of the files in a folder; nothing where there is no such folder."""
