"""A disk that can be filled: a tmpfs of a few hundred kilobytes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FILLER = "filler"


@contextmanager
def small_disk(folder: Path, size: str = "2m") -> Iterator[Path]:
    """Mount a tmpfs of this size on a folder, which is created; skip the test where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        failure = done.stderr.strip() if done.returncode else ""
    except OSError as error:
        failure = str(error)
    if failure:
        pytest.skip(f"a disk that can be filled needs the right to mount a tmpfs ({failure})")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, leave: int = 0) -> None:
    """Use up the disk's space with one file, except for this many bytes, rounded to pages."""
    free = os.statvfs(disk)
    pages = free.f_bavail - leave // free.f_frsize
    with (disk / FILLER).open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, pages * free.f_frsize)


def free(disk: Path) -> None:
    """Remove what `fill` wrote."""
    (disk / FILLER).unlink()
