"""Files that appear whole or not at all.

A zip is written under a temporary name in its own folder, synced, read back and compared, and only then put in
place; a reader sees the old file, the new one or none. The temporary name ends in neither ``.csv`` nor ``.zip``,
since LEAN and its CLI list some folders by those.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from server.data_download.errors import WriteFailedError
from server.data_download.model import Resolution

_numbers = itertools.count()


def temporary_prefix(symbol: str) -> str:
    """How the temporary names of a symbol's files begin; no other symbol's begin so."""
    return f".{symbol.lower()}~"


def put_zip(folder: str, prefix: str, name: str, member: str, csv: bytes) -> tuple[int, int]:
    """Put a zip with this one member in place of what was there.

    Returns:
        The file's size, and its time of change in nanoseconds.

    Raises:
        OSError: What stood under the name still stands, and nothing else was left.
    """
    from server.data_download.lean_zip import only_member, zip_bytes

    data = zip_bytes(member, csv)
    temporary = Path(f"{folder}/{prefix}{os.getpid()}-{next(_numbers)}.part")
    try:
        file = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        try:
            _write_all(file, data)
            os.fsync(file)
            os.lseek(file, 0, os.SEEK_SET)
            read_back = os.read(file, len(data) + 1)
            found = os.fstat(file)
        finally:
            os.close(file)
        if read_back != data or only_member(read_back) != (member, csv):
            raise OSError(errno.EIO, "what was written reads back differently", str(temporary))
        os.replace(temporary, f"{folder}/{name}")
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    return found.st_size, found.st_mtime_ns


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def sync_folder(folder: str) -> None:
    """Make the names in the folder as durable as the files."""
    if os.name == "posix":
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EDQUOT: "the disk quota is used up; free some space and run again",
    errno.EROFS: "the file system is read-only; choose another data folder",
    errno.EACCES: "you may not write there; change its permissions or choose another data folder",
    errno.EPERM: "you may not write there; change its permissions or choose another data folder",
    errno.ENOTDIR: "a file stands where a folder is needed; move it away or choose another data folder",
    errno.EEXIST: "a file stands where a folder is needed; move it away or choose another data folder",
    errno.EISDIR: "a folder stands where a file is needed; move it away",
}


@contextmanager
def explained(path: Path, symbol: str, resolution: Resolution) -> Iterator[None]:
    """The one translator of the file system's errors."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, f"{error.strerror or error}")
        raise WriteFailedError(
            f"{symbol} {resolution.value} could not be written to {error.filename or path}: {advice}",
            symbol=symbol,
            resolution=resolution,
        ) from error
