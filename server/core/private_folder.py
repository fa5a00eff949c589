"""Private folders for programs, each of which is removed after its use, also after that of a process that was killed.

A lock marks the folders in use: the system releases it when its process ends, and the next use removes what is left.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from loguru import logger

from server.core.errors import WriteFailedError

_SWEEP_LOCK = "sweep.lock"


@contextmanager
def private_folder(
    parent: Path, *, used_for: str, first: str, keeps: Callable[[str], bool] = lambda name: False
) -> Iterator[Path]:
    """Create a folder that only this user can enter, and remove it afterwards, also after an error.

    Args:
        parent: The folder that has the private folders; it is made.
        used_for: What needs the folder, for the text of an error.
        first: The name of a file in it that is deleted first: it holds what is secret.
        keeps: Called with the name of each folder that a killed process left, before it is removed; returns whether
            to call it again next time.

    Raises:
        WriteFailedError: It cannot be created.
    """
    with writing_private_files(parent, used_for):
        lock, folder = _create(parent, first, keeps)
    try:
        yield folder
    finally:
        _remove(folder, first)
        lock.release()
        _unlink(Path(lock.lock_file))


@contextmanager
def writing_private_files(folder: Path, used_for: str) -> Iterator[None]:
    """Turn a failure to write into this folder into an error of this product.

    Args:
        folder: The folder.
        used_for: What needs it.

    Raises:
        WriteFailedError: A file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise WriteFailedError(
            f"the private folder for {used_for} cannot be made in {folder}: {error.strerror or error}; "
            "free some space or correct its permissions"
        ) from error


def write_private_file(path: Path, text: str) -> None:
    """Write a new file that only this user can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _create(parent: Path, first: str, keeps: Callable[[str], bool]) -> tuple[FileLock, Path]:
    """Create a locked, empty folder. One lock covers sweeping and creating: no folder is swept before it is locked."""
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(parent / _SWEEP_LOCK, mode=0o600):
        _sweep(parent, first, keeps)
        name = uuid.uuid4().hex
        lock = FileLock(parent / f"{name}.lock", mode=0o600)
        lock.acquire()
        try:
            (parent / name).mkdir(mode=0o700)
        except BaseException:
            lock.release()
            _unlink(Path(lock.lock_file))
            raise
    return lock, (parent / name).absolute()


def _sweep(parent: Path, first: str, keeps: Callable[[str], bool]) -> None:
    for name in sorted({entry.name.removesuffix(".lock") for entry in parent.iterdir() if entry.name != _SWEEP_LOCK}):
        lock = FileLock(parent / f"{name}.lock", mode=0o600)
        try:
            lock.acquire(blocking=False)
        except (Timeout, OSError):
            continue
        kept = True
        try:
            kept = keeps(name)
            _remove(parent / name, first)
        finally:
            lock.release()
            if not kept:
                _unlink(Path(lock.lock_file))


def _remove(folder: Path, first: str) -> None:
    _unlink(folder / first)
    for path, _, _ in os.walk(folder):
        with suppress(OSError):
            os.chmod(path, 0o700)  # noqa: PTH101 - a folder that was copied may be read-only
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        logger.warning(f"{folder} could not be removed completely; it no longer contains its file {first}")


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
