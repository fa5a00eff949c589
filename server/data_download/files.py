"""Files in the data folder that appear whole or not at all.

A file is written under a temporary name in its own folder, synced, read back and compared, and then put in place; a
reader sees the old file, the new one or none. The temporary name ends in neither ``.csv`` nor ``.zip``, since LEAN and
its CLI list some folders by those endings.
"""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from server.core.errors import WriteFailedError
from server.lean.series import Series

_numbers = itertools.count()

_BATCH = 32 if sys.platform == "linux" else 8
"""Files that one thread holds open at a time."""

_FEW_FILES = threading.Lock()
"""Held while a thread writes file after file, since the process may not open more."""

_FEW_FILES_ATTEMPTS, _FEW_FILES_SECONDS = 50, 0.02


class ZipToWrite(NamedTuple):
    """A zip with one member, to be written into a known folder."""

    name: str
    member: str
    csv: bytes


def temporary_prefix(ticker: str) -> str:
    """How the temporary names of a ticker's files begin; those of no other ticker begin so."""
    return f".{ticker.lower()}~"


def put_zips(folder: str, prefix: str, zips: Sequence[ZipToWrite]) -> list[tuple[int, int]]:
    """Write zips and put each in place of the file of its name.

    All files of a batch are written before the first one is synced, so that the disk's journal is written once for many
    files.

    Returns:
        Each file's size, and its modification time in nanoseconds.

    Raises:
        OSError: The files of the batch concerned are unchanged, and nothing else is left behind.
    """
    marks: list[tuple[int, int]] = []
    for first in range(0, len(zips), _BATCH):
        batch = zips[first : first + _BATCH]
        try:
            marks += _put_batch(folder, prefix, batch)
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            marks += _put_singly(folder, prefix, batch)
    return marks


def _put_singly(folder: str, prefix: str, zips: Sequence[ZipToWrite]) -> list[tuple[int, int]]:
    """Write file after file, one thread at a time, while others close what they have open."""
    marks: list[tuple[int, int]] = []
    with _FEW_FILES:
        for item in zips:
            for attempt in range(_FEW_FILES_ATTEMPTS):
                try:
                    marks += _put_batch(folder, prefix, [item])
                    break
                except OSError as error:
                    if error.errno != errno.EMFILE or attempt + 1 == _FEW_FILES_ATTEMPTS:
                        raise
                time.sleep(_FEW_FILES_SECONDS)
    return marks


def write_target(path: Path) -> Path:
    """Where a file is written: the target of a link, else the path itself.

    Raises:
        OSError: The link leads back to itself.
    """
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, "the link leads back to itself", str(path))
    return target


def keep_copy(path: Path, name_of: Callable[[Path], Path]) -> Path:
    """Give a file a second name, so that it remains when another one takes its place; returns that name.

    Raises:
        OSError: It could not be done.
    """
    copy = name_of(path)
    try:
        os.link(path, copy)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        shutil.copy2(path, copy)  # a file system without hard links
    return copy


def put_text(folder: Path, ticker: str, name: str, content: bytes, check: Callable[[bytes], object]) -> None:
    """Write a small text file and put it in place.

    Args:
        folder: The data folder.
        ticker: The ticker whose lock the caller holds.
        name: The name of the file.
        content: The bytes of the file.
        check: Raises if what was read back is not what a reader should find.

    Raises:
        OSError: The previous file is unchanged, and nothing else is left behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(_temporary_path(str(folder), temporary_prefix(ticker)))
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


def sweep(folder: Path, ticker: str) -> None:
    """Remove temporary files of a ticker that killed runs left. The caller holds the ticker's lock."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(temporary_prefix(ticker)) and entry.name.endswith(".part"):
                with suppress(OSError):
                    Path(entry.path).unlink()


def sync_folder(folder: str) -> None:
    """Make the names in a folder as durable as its files."""
    if os.name == "posix":
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


_ADVICE = {
    errno.ENOENT: "its folder does not exist; if it is a link, create the folder that the link leads to",
    errno.ELOOP: "it is a link that leads back to itself; remove the link",
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EDQUOT: "the disk quota is used up; free some space and run again",
    errno.EROFS: "the file system is read-only; choose another data folder",
    errno.EACCES: "you may not write there; change its permissions or choose another data folder",
    errno.EPERM: "you may not write there; change its permissions or choose another data folder",
    errno.ENOTDIR: "a file is in the place of a folder; move it away or choose another data folder",
    errno.EEXIST: "a file is in the place of a folder; move it away or choose another data folder",
    errno.EISDIR: "a folder is in the place of a file; move it away",
}

_ADVICE_AFTER_CAUSE = {
    errno.EIO: "check the disk and its connection, or choose another data folder",
    errno.EMFILE: "raise the limit of this process (ulimit -n)",
    errno.ENFILE: "end other programs or raise the limit of the system",
}
"""Advice after the system's own text, which says the cause."""


@contextmanager
def translate_os_errors(path: Path, subject: Series | str, *, is_symbol: bool = True) -> Iterator[None]:
    """Turn an OSError into a `WriteFailedError` that names the file and what to do.

    Args:
        path: The file or folder that is written, for errors that name none.
        subject: The series whose files are written, or the symbol where the file belongs to none.
        is_symbol: Whether a text is a symbol; else it says what is written.
    """
    try:
        yield
    except OSError as error:
        cause, after = f"{error.strerror or error}", _ADVICE_AFTER_CAUSE.get(error.errno or 0)
        advice = _ADVICE.get(error.errno or 0, f"{cause}; {after}" if after else cause)
        series = subject if isinstance(subject, Series) else None
        raise WriteFailedError(
            f"{subject} could not be written to {error.filename or path}: {advice}",
            series=series,
            symbol=subject if isinstance(subject, str) and is_symbol else None,
        ) from error


def _temporary_path(folder: str, prefix: str) -> str:
    return f"{folder}/{prefix}{os.getpid()}-{next(_numbers)}.part"


def _put_batch(folder: str, prefix: str, zips: Sequence[ZipToWrite]) -> list[tuple[int, int]]:
    from server.lean.zip import only_member, zip_bytes

    marks: list[tuple[int, int]] = []
    waiting: list[tuple[str, int, bytes]] = []
    targets = [write_target(Path(folder, item.name)) for item in zips]
    try:
        for item, target in zip(zips, targets, strict=True):
            temporary = _temporary_path(str(target.parent), prefix)  # a link may lead to another file system
            file = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
            data = zip_bytes(item.member, item.csv)
            waiting.append((temporary, file, data))
            _write_all(file, data)
            _begin_writeback(file)
        for (temporary, file, data), item in zip(waiting, zips, strict=True):
            os.fsync(file)
            os.lseek(file, 0, os.SEEK_SET)
            read_back = os.read(file, len(data) + 1)
            if read_back != data or only_member(read_back) != (item.member, item.csv):
                raise OSError(errno.EIO, "what was written reads back differently", temporary)
            found = os.fstat(file)
            marks.append((found.st_size, found.st_mtime_ns))
        for (temporary, _, _), target in zip(waiting, targets, strict=True):
            os.replace(temporary, target)
    except BaseException:
        for temporary, _, _ in waiting:
            with suppress(OSError):
                Path(temporary).unlink()
        raise
    finally:
        for _, file, _ in waiting:
            os.close(file)
    for other in {str(target.parent) for target in targets} - {folder}:
        sync_folder(other)
    return marks


def _begin_writeback(file: int) -> None:
    """Let the kernel begin to write a file; on Linux this advice does, elsewhere it costs nothing."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
