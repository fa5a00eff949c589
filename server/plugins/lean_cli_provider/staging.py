"""A private folder to run the LEAN CLI in, with a lean.json that contains the key, and a data folder.

The CLI writes into the data folder of its lean.json, partial days included (see commands.py), and reads the vendor's
key from the lean.json. Both are in a folder that only this user can enter and that is removed after the run. A run that
was killed leaves its folder behind; the next run removes it. A lock marks the folders of runs that still work.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import frozen

from server.core.lean_cli import FRESH_DATABASES, container_name
from server.core.private_folder import private_folder, write_private_file, writing_private_files
from server.core.secret import Secret
from server.lean.layout import EQUITY_USA, layout_of
from server.lean.series import Series

ORGANIZATION_KEYS = ("organization-id", "job-organization-id")
"""Where a lean.json names the QuantConnect organization (lean-cli: ``organization_manager.py``)."""

REFERENCE_FILES = (
    "market-hours/market-hours-database.json",
    "symbol-properties/symbol-properties-database.csv",
)
"""Files that LEAN's downloader needs (LEAN: ``MarketHoursDatabase.FromDataFolder``). The user's are used; the CLI
fetches both where one of them is missing."""

_USED_FOR = "the LEAN CLI"


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
    def container(self) -> str:
        """The name of the container that the CLI starts."""
        return container_name(self.root.name)

    @property
    def scratch(self) -> Path:
        """The folder of the CLI's temporary files, one of which contains the key."""
        return self.root / "tmp"


def private_settings(user: Mapping[str, Any], key: Secret, license_type: str, user_data: Path) -> dict[str, Any]:
    """The lean.json of a staging folder: the user's organization and Polygon settings, the key, and a data folder.

    Nothing else of the user's lean.json is copied, since it may contain other secrets.

    Args:
        user: The user's lean.json.
        key: The vendor's key.
        license_type: The kind of licence.
        user_data: The user's data folder; where it has both reference files, the CLI does not fetch them.
    """
    kept = {name: value for name, value in user.items() if name in ORGANIZATION_KEYS or name.startswith("polygon-")}
    return kept | {
        "data-folder": "data",  # relative to the lean.json (lean-cli: lean_config_manager.py)
        "polygon-api-key": key.reveal(),
        "polygon-license-type": license_type,
        **(FRESH_DATABASES if all((user_data / name).is_file() for name in REFERENCE_FILES) else {}),
    }


@contextmanager
def open_staging(
    parent: Path, settings: Mapping[str, Any], *, keeps: Callable[[str], bool] = lambda name: False
) -> Iterator[StagingFolder]:
    """Create a staging folder below `parent`, and remove it afterwards, also after an error.

    Args:
        parent: The folder of the staging folders.
        settings: The content of its lean.json, to which the name of the container is added.
        keeps: Looks after what a killed run left (see `private_folder`).

    Raises:
        WriteFailedError: It cannot be created.
    """
    with private_folder(parent, used_for=_USED_FOR, first="lean.json", keeps=keeps) as root:
        staging = StagingFolder(root)
        with writing_private_files(parent, _USED_FOR):
            staging.data.mkdir()
            staging.scratch.mkdir()
            text = json.dumps({**settings, "container-name": staging.container}, indent=4)
            write_private_file(staging.lean_config, text)
        yield staging


def prepare_data_folder(staging: StagingFolder, wanted: Iterable[Series], user_data: Path) -> None:
    """Create the folders that LEAN will write into, and copy the two databases that it needs, if the user has them.

    LEAN runs as root in its container; its files can be removed since their folders are created here. The folder of map
    files stays empty: LEAN then writes every day under the requested ticker.

    Raises:
        WriteFailedError: A file cannot be written.
    """
    with writing_private_files(staging.data, _USED_FOR):
        (staging.data / EQUITY_USA / "map_files").mkdir(parents=True)
        for series in wanted:
            (staging.data / layout_of(series).folder).mkdir(parents=True, exist_ok=True)
        for name in REFERENCE_FILES:
            target = staging.data / name
            target.parent.mkdir(parents=True)
            with suppress(FileNotFoundError):
                shutil.copyfile(user_data / name, target)
