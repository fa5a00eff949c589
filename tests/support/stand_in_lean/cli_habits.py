"""What LEAN's CLI 1.0.230 does to the files that it is given, and the texts of its failures.

Written from its behaviour: ``storage.safe_save``, ``Storage``, ``project_config_manager.get_local_id`` and
``data_downloader.update_database_files``. Both stand-ins for ``lean`` use it.
"""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

DATABASES = (
    "symbol-properties/symbol-properties-database.csv",
    "market-hours/market-hours-database.json",
)
FETCHED = "fetched from GitHub"
"""What the stand-in fetches in place of both databases."""

_KEY = "file-database-last-update"
_FORMATS = ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y")
NO_MODULES = (
    "FileNotFoundError: Modules json not found in the given path /usr/lib/python3/site-packages/modules-1.14.json: "
    "HTTPSConnectionPool(host='cdn.quantconnect.com', port=443): Max retries exceeded with url: /cli/modules-1.14.json"
)
NO_NETWORK = (
    "HTTPSConnectionPool(host='www.quantconnect.com', port=443): Max retries exceeded with url: /api/v2/organizations "
    "(Caused by NameResolutionError(\"Failed to resolve 'www.quantconnect.com'\"))"
)
OFFLINE = "It looks like you don't have an internet connection, please check your system settings"


def no_image(name: str) -> str:
    """The error of docker-py for an image that is not there."""
    return f'404 Client Error for http+docker://localhost/v1.47/images/{name}/json: Not Found ("No such image: {name}")'


def set_properties(lean_json: Path, changes: dict[str, Any]) -> None:
    """Write keys of a lean.json: into a new file, of the usual mode, that takes the place of the old one."""
    values = json.loads(lean_json.read_text("utf-8")) | changes
    temporary = lean_json.with_name(f"{lean_json.name}.new")
    temporary.write_text(json.dumps(values, indent=4))
    temporary.chmod(0o644)
    temporary.replace(lean_json)


def add_local_id(config: Path) -> None:
    """Add ``local-id`` to a project's config.json; one that is not plain JSON is deleted first."""
    values = {}
    if config.exists():
        try:
            values = json.loads(config.read_text("utf-8"))
        except ValueError:
            config.unlink()
    if "local-id" not in values:
        config.write_text(json.dumps(values | {"local-id": random.randrange(10**8, 10**9)}, indent=4) + "\n")


def update_databases(lean_json: Path, values: dict[str, Any]) -> None:
    """Overwrite market hours and symbol properties of the data folder, unless that was done within a day."""
    if fresh(str(values.get(_KEY, "")), datetime.now()):
        return
    set_properties(lean_json, {_KEY: datetime.now().strftime(_FORMATS[0])})
    for name in DATABASES:
        path = lean_json.parent / values["data-folder"] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FETCHED)


def fresh(last_update: str, now: datetime) -> bool:
    """Whether an update at this instant, in the CLI's two formats, was within a day."""
    for form in _FORMATS:
        try:
            return now - datetime.strptime(last_update, form) <= timedelta(days=1)
        except ValueError:
            continue
    return False
