"""Checks that a folder can be written."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

from server.core.errors import DiskFullError, WriteFailedError

PROBE_SIZE = 64 << 10
"""Bytes that are written to find out whether a disk is full."""


def check_writable(folder: Path) -> None:
    """Write a temporary file into a folder, which is created if necessary.

    Raises:
        DiskFullError: The disk has no space for it.
        WriteFailedError: It cannot be written for another reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(prefix=".probe-", dir=folder) as file:
            file.write(bytes(PROBE_SIZE))
            file.flush()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"the disk of {folder} is full; free space on it and try again") from error
        raise WriteFailedError(f"{folder} cannot be written ({error.strerror or error})") from error
