"""The private folder of one run of LEAN's CLI, which is all of the workspace that the CLI sees.

The CLI rewrites the lean.json that it is given, with mode 0644, and the project's config.json, and deletes one
with comments (lean-cli: ``storage.safe_save``, ``Storage``). It requires project and results below the folder of its
lean.json. So a run has a folder below that of the user's lean.json, which only the user can enter::

    .backtest-server-runs/<run>/lean.json       only the keys of `RUN_KEYS`
    .backtest-server-runs/<run>/<project>/      a copy; the results go to its folder backtests
    .backtest-server-runs/<run>/Library         a link to the workspace's, as is storage
    .backtest-server-runs/<run>/tmp             the CLI's temporary files, one of which has the login's token
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from server.core.errors import WriteFailedError
from server.core.lean_cli import FRESH_DATABASES, container_name
from server.core.private_folder import private_folder, write_private_file, writing_private_files
from server.core.secret import Secret, mask_secrets
from server.engines.lean_config import BACKTESTING
from server.engines.lean_project import NOT_SOURCE
from server.engines.run_folder import STORAGE
from server.settings.lean_json import FILE_NAME

RUNS_FOLDER = ".backtest-server-runs"
"""The folder of the private folders, in that of lean.json. Its name begins with a dot, so that neither C# projects nor
the CLI take the copies for source."""

RUN_KEYS = frozenset(
    {
        "algorithm-manager-time-loop-maximum",
        "api-handler",
        "data-aggregator",
        "data-feed-max-work-weight",
        "data-feed-queue-type",
        "data-feed-workers-count",
        "data-monitor-store-succeeded-requests",
        "factor-file-provider",
        "force-exchange-always-open",
        "history-provider",
        "job-queue-handler",
        "log-handler",
        "map-file-provider",
        "maximum-chart-series",
        "maximum-data-points-per-chart-series",
        "maximum-warmup-history-days-look-back",
        "messaging-handler",
        "object-store",
        "python-additional-paths",
        "python-venv",
        "show-missing-data-logs",
        "storage-file-count",
        "storage-limit-mb",
        "storage-permissions",
        "symbol-minute-limit",
        "symbol-second-limit",
        "symbol-tick-limit",
    }
)
"""Keys of the user's lean.json that a backtest on local data uses; a brokerage's or vendor's are not among them."""

_ORGANIZATION_KEYS = ("job-organization-id", "organization-id")
_LIBRARY = "Library"
_USED_FOR = "the LEAN CLI"
_NOT_COPIED = frozenset({"__pycache__", "node_modules"})


@frozen(kw_only=True)
class CliWorkspace:
    """The private folder of a run.

    Attributes:
        root: The folder.
        project: The copy of the project, or of its main file.
        output: The folder of the results, in the copy.
    """

    root: Path
    project: Path
    output: Path

    @property
    def lean_config(self) -> Path:
        """Its lean.json."""
        return self.root / FILE_NAME

    @property
    def scratch(self) -> Path:
        """The folder of the CLI's temporary files."""
        return self.root / "tmp"

    @property
    def container(self) -> str:
        """The name of the container that the CLI starts."""
        return container_name(self.root.name)

    def move_results(self, target: Path) -> None:
        """Move the results, of which files may belong to root.

        Args:
            target: Their folder, which exists and is empty.

        Raises:
            WriteFailedError: They cannot be moved.
        """
        try:
            try:
                self.output.replace(target)  # over an empty folder
            except OSError:  # another file system
                shutil.copytree(self.output, target, dirs_exist_ok=True)
        except (OSError, shutil.Error) as error:
            reason = getattr(error, "strerror", None) or "a file cannot be read or written"
            raise WriteFailedError(f"LEAN's results could not be moved to {target}: {reason}; run it again") from error


@contextmanager
def open_cli_workspace(
    project: Path,
    results: Path,
    *,
    root: Path,
    config: Mapping[str, Any],
    user: Mapping[str, Any],
    data_folder: Path,
    secrets: Sequence[Secret],
    keeps: Callable[[str], bool],
) -> Iterator[CliWorkspace]:
    """Make the private folder of a run, and remove it afterwards.

    Args:
        project: The project's folder or its main file, absolute, at or below `root`.
        results: The folder that the results are for, in the project's folder.
        root: The folder of the user's lean.json.
        config: The project's config.json.
        user: The user's lean.json.
        data_folder: The data folder of the run.
        secrets: What its lean.json must not contain.
        keeps: Looks after what a killed run left (see `private_folder`).

    Raises:
        WriteFailedError: It cannot be made.
    """
    folder = project.parent if project.is_file() else project
    with private_folder(root / RUNS_FOLDER, used_for=_USED_FOR, first=FILE_NAME, keeps=keeps) as private:
        copy = private / (folder.relative_to(root) if folder != root else folder.name)
        workspace = CliWorkspace(
            root=private,
            project=copy / project.name if project.is_file() else copy,
            output=copy / results.relative_to(folder),
        )
        with writing_private_files(root, _USED_FOR):
            workspace.scratch.mkdir()
            values = run_settings(user, data_folder, workspace.container)
            write_private_file(workspace.lean_config, mask_secrets(json.dumps(values, indent=4), secrets))
            copy.parent.mkdir(parents=True, exist_ok=True)
            kept_out = {data_folder.resolve(), root / RUNS_FOLDER, root / STORAGE, root / FILE_NAME}
            _copy(folder, copy, folder, kept_out)
            (copy / "config.json").unlink(missing_ok=True)
            if config:
                write_private_file(copy / "config.json", json.dumps(config, indent=4))
            workspace.output.mkdir(parents=True)
            workspace.output.chmod(0o700)
            (root / STORAGE).mkdir(exist_ok=True)
            for name in (STORAGE, _LIBRARY):
                if (root / name).is_dir() and not (private / name).exists():
                    (private / name).symlink_to(os.path.relpath(root / name, private))
        yield workspace


def run_settings(user: Mapping[str, Any], data_folder: Path, container: str) -> dict[str, Any]:
    """Return the lean.json of a run. Pure.

    Args:
        user: The user's lean.json.
        data_folder: The data folder of the run.
        container: The name for the container.
    """
    values = {key: value for key, value in user.items() if key in RUN_KEYS}
    organization = next((user[key] for key in _ORGANIZATION_KEYS if user.get(key)), None)
    if organization is not None:
        values["job-organization-id"] = organization
    return values | {
        "data-folder": str(data_folder.resolve()),
        "container-name": container,
        "environments": {"backtesting": dict(BACKTESTING)},
        **FRESH_DATABASES,
    }


def _copy(source: Path, target: Path, project: Path, kept_out: set[Path]) -> None:
    """Copy a folder of a project without what is no source: results, hidden folders, virtual environments.

    LEAN runs as root in its container; the folders in which Python keeps compiled files are made here, so that they
    can be removed.
    """
    target.mkdir(exist_ok=True)
    for path in source.iterdir():
        if path in kept_out:
            continue
        if path.is_symlink() and path.resolve().is_relative_to(project):
            (target / path.name).symlink_to(path.readlink())
        elif path.is_dir():
            if _is_source(path, project) and not path.is_symlink():
                _copy(path, target / path.name, project, kept_out)
        elif path.is_file():
            shutil.copyfile(path, target / path.name)
            if path.suffix == ".py":
                (target / "__pycache__").mkdir(exist_ok=True)


def _is_source(folder: Path, project: Path) -> bool:
    names = NOT_SOURCE if folder.parent == project else _NOT_COPIED
    hidden = folder.name.startswith(".") or folder.name == "__pycache__"
    return not (hidden or folder.name in names or (folder / "pyvenv.cfg").is_file())
