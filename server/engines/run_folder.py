"""The folder of one run of LEAN, in which its result files are: ``<project>/backtests/<date>_<time>``."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from server.core.errors import WriteFailedError

CONFIG_FILE = "config.json"
STORAGE = "storage"
WORK = "work"
ENDED_FILE = "run-ended"
"""A file that is written when the process of a run has ended: a result with the state Running is of no run then."""

_OURS = frozenset({CONFIG_FILE, STORAGE, WORK, ENDED_FILE})
_MOST = 10_000
"""The number of runs that may begin in one second."""


@frozen
class RunFolder:
    """The folder of one run, which only its user may read.

    Attributes:
        path: The folder; LEAN writes its results into it.
    """

    path: Path

    @property
    def config(self) -> Path:
        """LEAN's config of the run."""
        return self.path / CONFIG_FILE

    @property
    def storage(self) -> Path:
        """The run's own object store."""
        return self.path / STORAGE

    @property
    def work(self) -> Path:
        """The working folder of the process."""
        return self.path / WORK

    @property
    def build(self) -> Path:
        """The output of a C# build, which is deleted after the run."""
        return self.work / "build"

    @property
    def intermediate(self) -> Path:
        """What a C# build writes into ``obj`` otherwise; it is deleted after the run."""
        return self.work / "artifacts"

    @property
    def run_id(self) -> str:
        """LEAN's id of the run: 1 and nine digits as of LEAN's CLI, derived from the folder."""
        digest = hashlib.sha256(os.fsencode(self.path)).digest()
        return f"1{int.from_bytes(digest[:8]) % 10**9:09d}"

    def prepare(self) -> None:
        """Make the run's own object store and working folder.

        Raises:
            WriteFailedError: They cannot be made.
        """
        for folder in (self.storage, self.work):
            try:
                folder.mkdir(mode=0o700)
            except OSError as error:
                raise WriteFailedError(f"the folder {folder} cannot be made: {error.strerror or error}") from error

    def write_config(self, values: Mapping[str, Any]) -> None:
        """Write LEAN's config of the run; only its user may read it.

        Raises:
            WriteFailedError: It cannot be written.
        """
        try:
            handle = os.open(self.config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(values, file, indent=2)
        except OSError as error:
            raise WriteFailedError(f"{self.config} cannot be written: {error.strerror or error}") from error

    def end(self) -> None:
        """Record that the process has ended; delete the output of a build, and a folder without output of LEAN."""
        with suppress(OSError):
            (self.path / ENDED_FILE).touch()
        for folder in (self.build, self.intermediate):
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            names = {path.name for path in self.path.iterdir()}
            if names <= _OURS and not (STORAGE in names and any(self.storage.iterdir())):
                shutil.rmtree(self.path, ignore_errors=True)


def create_run_folder(project: Path, now: datetime) -> RunFolder:
    """Create the folder of a run in the project's folder, with mode 0700.

    Args:
        project: The project's folder; LEAN's CLI fails with results that are not below the folder of lean.json.
        now: The current instant in UTC.

    Raises:
        WriteFailedError: It cannot be made.
    """
    parent = project / "backtests"
    stamp = f"{now:%Y-%m-%d_%H-%M-%S}"
    for number in range(1, _MOST):
        path = parent / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            parent.mkdir(exist_ok=True)
            path.mkdir(mode=0o700)
        except FileExistsError:
            if not parent.is_dir():
                raise WriteFailedError(f"{parent} is not a folder that results could go to; rename it") from None
            continue
        except OSError as error:
            raise WriteFailedError(
                f"the results folder {path} cannot be made: {error.strerror or error}; LEAN writes its results into "
                f"the project's folder, so make it writable"
            ) from error
        return RunFolder(path)
    raise WriteFailedError(f"{parent / stamp} and its successors exist already; try again in a second")
