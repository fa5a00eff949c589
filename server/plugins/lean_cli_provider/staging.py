"""A private folder to run the LEAN CLI in, with a lean.json that contains the key, and a data folder.

The CLI writes into the data folder of its lean.json, partial days included (see commands.py), and reads the vendor's
key from the lean.json. Both are in a folder that only this user can enter and that is removed after the run. A run that
was killed leaves its folder behind; the next run removes it. A lock marks the folders of runs that still work.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import frozen
from filelock import FileLock, Timeout
from loguru import logger

from server.core.errors import WriteFailedError
from server.core.secret import Secret
from server.lean.layout import EQUITY_USA, layout_of
from server.lean.series import Series

ORGANIZATION_KEYS = ("organization-id", "job-organization-id")
"""Where a lean.json names the QuantConnect organization (lean-cli: ``organization_manager.py``)."""

REFERENCE_FILES = (
    "market-hours/market-hours-database.json",
    "symbol-properties/symbol-properties-database.csv",
)
"""Files that LEAN's downloader needs (LEAN: ``MarketHoursDatabase.FromDataFolder``). The CLI fetches them when it is
online; otherwise the user's are used."""

_SWEEP_LOCK = "sweep.lock"


@frozen
class StagingFolder:
    """The folder of one run of the CLI."""

    root: Path

    @property
    def lean_config(self) -> Path:
        """Its lean.json, which holds the key: mode 0600 in a folder of mode 0700."""
        return self.root / "lean.json"

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.root / "data"

    @property
    def scratch(self) -> Path:
        """The folder of the CLI's temporary files, one of which contains the key."""
        return self.root / "tmp"


def private_settings(user: Mapping[str, Any], key: Secret, license_type: str) -> dict[str, Any]:
    """The lean.json of a staging folder: the user's organization and Polygon settings, the key, and a data folder.

    Nothing else of the user's lean.json is copied, since it may contain other secrets.
    """
    kept = {name: value for name, value in user.items() if name in ORGANIZATION_KEYS or name.startswith("polygon-")}
    return kept | {
        "data-folder": "data",  # relative to the lean.json (lean-cli: lean_config_manager.py)
        "polygon-api-key": key.reveal(),
        "polygon-license-type": license_type,
    }


@contextmanager
def open_staging(parent: Path, settings: Mapping[str, Any]) -> Iterator[StagingFolder]:
    """Create a staging folder below `parent`, and remove it afterwards, also after an error.

    Raises:
        WriteFailedError: It cannot be created.
    """
    with _translated(parent):
        lock, staging = _create(parent)
    try:
        with _translated(parent):
            staging.data.mkdir()
            staging.scratch.mkdir()
            _write_private(staging.lean_config, json.dumps(settings, indent=4))
        yield staging
    finally:
        _remove(staging.root)
        lock.release()
        _unlink(Path(lock.lock_file))


def prepare_data_folder(staging: StagingFolder, wanted: Iterable[Series], user_data: Path) -> None:
    """Create the folders that LEAN will write into, and copy the two databases that it needs, if the user has them.

    LEAN runs as root in its container; its files can be removed since their folders are created here. The folder of map
    files stays empty: LEAN then writes every day under the requested ticker.

    Raises:
        WriteFailedError: A file cannot be written.
    """
    with _translated(staging.data):
        (staging.data / EQUITY_USA / "map_files").mkdir(parents=True)
        for series in wanted:
            (staging.data / layout_of(series).folder).mkdir(parents=True, exist_ok=True)
        for name in REFERENCE_FILES:
            target = staging.data / name
            target.parent.mkdir(parents=True)
            with suppress(FileNotFoundError):
                shutil.copyfile(user_data / name, target)


def _create(parent: Path) -> tuple[FileLock, StagingFolder]:
    """Create a locked, empty folder. One lock covers sweeping and creating: no folder is swept before it is locked."""
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(parent / _SWEEP_LOCK, mode=0o600):
        _sweep(parent)
        name = uuid.uuid4().hex
        lock = FileLock(parent / f"{name}.lock", mode=0o600)
        lock.acquire()
        try:
            (parent / name).mkdir(mode=0o700)
        except BaseException:
            lock.release()
            _unlink(Path(lock.lock_file))
            raise
    return lock, StagingFolder((parent / name).absolute())


def _sweep(parent: Path) -> None:
    for name in {entry.name.removesuffix(".lock") for entry in parent.iterdir() if entry.name != _SWEEP_LOCK}:
        lock = FileLock(parent / f"{name}.lock", mode=0o600)
        try:
            lock.acquire(blocking=False)
        except (Timeout, OSError):
            continue
        try:
            _remove(parent / name)
        finally:
            lock.release()
            _unlink(Path(lock.lock_file))


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _remove(root: Path) -> None:
    _unlink(root / "lean.json")  # the key first
    shutil.rmtree(root, ignore_errors=True)
    if root.exists():
        logger.bind(component="lean-cli").warning(
            f"{root} could not be removed completely; it no longer contains the key"
        )


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteFailedError(
            f"the private folder for the LEAN CLI cannot be made in {folder}: {error.strerror or error}; "
            "free some space or correct its permissions"
        ) from error
