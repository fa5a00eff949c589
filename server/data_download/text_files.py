"""LEAN's small text files, whole or not at all, and whose they are.

Such a file is written like a zip of bars: under a temporary name in its own folder, synced, read back, put in place.
Its content is entered in the ledger as ours before that, so that a killed run leaves no file that nobody knows.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from server.data_download.atomic import sync_folder, temporary_path, temporary_prefix
from server.data_download.ledger import Ledger


def put_text(folder: Path, symbol: str, name: str, content: bytes, check: Callable[[bytes], object]) -> None:
    """Put a file in place of what was there.

    Args:
        check: Raises if what was read back is not what a reader should find.

    Raises:
        OSError: What stood there still stands, and nothing else was left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(temporary_path(str(folder), temporary_prefix(symbol)))
    try:
        with temporary.open("x+b") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            read_back = file.read()
        if read_back != content:
            raise OSError(errno.EIO, "what was written reads back differently", str(temporary))
        check(read_back)
        temporary.replace(folder / name)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(str(folder))


def sweep(folder: Path, symbol: str) -> None:
    """Remove what killed runs left of the symbol's files. Whoever sweeps holds the symbol's lock."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(temporary_prefix(symbol)) and entry.name.endswith(".part"):
                with suppress(OSError):
                    Path(entry.path).unlink()


def digest(content: bytes) -> bytes:
    """What the ledger keeps of a file's content: its SHA-256."""
    import hashlib  # which a run that writes no such file need not load

    return hashlib.sha256(content).digest()


def is_ours(ledger: Ledger, path: str, content: bytes) -> bool:
    """Whether this program wrote this very content at this path below the data folder."""
    return digest(content) in ledger.texts(path)
