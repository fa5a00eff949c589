"""Files that appear whole or not at all.

A zip is written under a temporary name in its own folder, synced, read back and compared, and only then put in
place; a reader sees the old file, the new one or none. The temporary name ends in neither ``.csv`` nor ``.zip``,
since LEAN and its CLI list some folders by those.
"""

from __future__ import annotations

import errno
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from server.core.errors import WriteFailedError
from server.lean.series import Resolution, Series

_numbers = itertools.count()

_BATCH = 32 if sys.platform == "linux" else 8
"""Files that are open at once in one thread."""


def temporary_prefix(symbol: str) -> str:
    """How the temporary names of a symbol's files begin; no other symbol's begin so."""
    return f".{symbol.lower()}~"


def temporary_path(folder: str, prefix: str) -> str:
    """A new temporary name in the folder, that nobody else takes."""
    return f"{folder}/{prefix}{os.getpid()}-{next(_numbers)}.part"


def put_zips(folder: str, prefix: str, zips: Sequence[tuple[str, str, bytes]]) -> list[tuple[int, int]]:
    """Put zips with one member each, given as name, member's name and CSV, in place of what was there.

    All of them are written before the first one is synced: the disk's journal is then written once for many files
    instead of once for each.

    Returns:
        Each file's size, and its time of change in nanoseconds.

    Raises:
        OSError: What stood under the names of the batch concerned still stands, and nothing else was left.
    """
    marks: list[tuple[int, int]] = []
    for first in range(0, len(zips), _BATCH):
        marks += _put_batch(folder, prefix, zips[first : first + _BATCH])
    return marks


def _put_batch(folder: str, prefix: str, zips: Sequence[tuple[str, str, bytes]]) -> list[tuple[int, int]]:
    from server.lean.zip import only_member, zip_bytes

    marks: list[tuple[int, int]] = []
    waiting: list[tuple[str, int, bytes]] = []
    try:
        for _, member, csv in zips:
            temporary = temporary_path(folder, prefix)
            file = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
            data = zip_bytes(member, csv)
            waiting.append((temporary, file, data))
            _write_all(file, data)
            _begin_writeback(file)
        for (temporary, file, data), (_, member, csv) in zip(waiting, zips, strict=True):
            os.fsync(file)
            os.lseek(file, 0, os.SEEK_SET)
            read_back = os.read(file, len(data) + 1)
            if read_back != data or only_member(read_back) != (member, csv):
                raise OSError(errno.EIO, "what was written reads back differently", temporary)
            found = os.fstat(file)
            marks.append((found.st_size, found.st_mtime_ns))
        for (temporary, _, _), (name, _, _) in zip(waiting, zips, strict=True):
            os.replace(temporary, f"{folder}/{name}")
    except BaseException:
        for temporary, _, _ in waiting:
            with suppress(OSError):
                Path(temporary).unlink()
        raise
    finally:
        for _, file, _ in waiting:
            os.close(file)
    return marks


def _begin_writeback(file: int) -> None:
    """Have the disk begin with a file now; on Linux this advice does, and it costs nothing elsewhere."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


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
def explained(path: Path, symbol: str, resolution: Resolution | None) -> Iterator[None]:
    """The one translator of the file system's errors; without a resolution it is about a file that has none."""
    try:
        yield
    except OSError as error:
        what = f"{symbol} {resolution.value}" if resolution else symbol
        advice = _ADVICE.get(error.errno or 0, f"{error.strerror or error}")
        raise WriteFailedError(
            f"{what} could not be written to {error.filename or path}: {advice}",
            symbol=symbol,
            series=Series(symbol, resolution) if resolution else None,
        ) from error
