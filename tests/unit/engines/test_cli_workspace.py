"""What LEAN's CLI sees of a workspace."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import WriteFailedError
from server.core.secret import Secret
from server.engines.cli_workspace import RUNS_FOLDER, open_cli_workspace, run_settings


def opened(root: Path, project: Path, **changes: Any):
    """Open the private folder of a run of this project."""
    folder = project.parent if project.is_file() else project
    facts: dict[str, Any] = {
        "root": root,
        "config": {},
        "user": {},
        "data_folder": root / "data",
        "secrets": (),
        "keeps": lambda name: False,
    }
    return open_cli_workspace(project, folder / "backtests" / "1", **(facts | changes))


def write(root: Path, *names: str) -> None:
    """Write files of these names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def test_only_known_keys_of_the_users_lean_json_are_taken(tmp_path: Path) -> None:
    """No brokerage's, vendor's or live environment's; the organization under the name that the CLI prefers."""
    user = {
        "organization-id": "old",
        "ib-password": "hunter2",
        "tradier-access-token": "t0ken",
        "api-access-token": "t0ken",
        "environments": {"live-interactive": {"ib-account": "U1"}},
        "map-file-provider": "QuantConnect.Data.Auxiliary.LocalZipMapFileProvider",
        "file-database-last-update": "01/01/2020",
    }

    settings = run_settings(user, tmp_path, "container")

    assert list(settings.pop("environments")) == ["backtesting"]
    assert settings == {
        "job-organization-id": "old",
        "map-file-provider": "QuantConnect.Data.Auxiliary.LocalZipMapFileProvider",
        "data-folder": str(tmp_path),
        "container-name": "container",
        "file-database-last-update": "12/31/9999 00:00:00",
    }
    assert run_settings({**user, "job-organization-id": "new"}, tmp_path, "c")["job-organization-id"] == "new"


def test_a_project_is_copied_without_what_is_no_source(tmp_path: Path) -> None:
    """It keeps its path below lean.json's folder, which its references to libraries are relative to."""
    project = tmp_path / "Mine" / "Strategy"
    write(tmp_path, "Library/lib.py", "shared.py", "storage/object")
    write(project, "main.py", "research/live/feed.py", "table.csv", "backtests/0/log.txt", "bin/a.dll", "obj/b.cs")
    write(project, ".git/HEAD", "venv/pyvenv.cfg", "venv/lib.py", "__pycache__/main.pyc", "config.json")
    (project / "shared.py").symlink_to("../../shared.py")
    (project / "everything").symlink_to(tmp_path)
    (project / "same.py").symlink_to("main.py")
    (project / "main.py").chmod(0o400)

    with opened(tmp_path, project, config={"parameters": {"a": 1}}) as workspace:
        copy = workspace.root / "Mine" / "Strategy"
        found = sorted(str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file())
        assert found == ["config.json", "main.py", "research/live/feed.py", "same.py", "shared.py", "table.csv"]
        assert (copy / "shared.py").read_text() == "shared.py"
        assert (copy / "config.json").read_text() == '{\n    "parameters": {\n        "a": 1\n    }\n}'
        assert (workspace.project, workspace.output) == (copy, copy / "backtests" / "1")
        assert (copy / "__pycache__").is_dir(), "LEAN's root would make one that its user cannot remove"
        assert (workspace.root / "Library" / "lib.py").read_text() == "Library/lib.py"
        assert os.readlink(workspace.root / "storage") == "../../storage"

    assert not workspace.root.exists()
    assert (tmp_path / "storage" / "object").exists()
    assert (project / "config.json").read_text() == "config.json"


def test_a_project_in_the_folder_of_lean_json_is_copied_without_lean_json(tmp_path: Path) -> None:
    """Nor data, object store and private folders; a project may be named by its main file."""
    write(tmp_path, "main.py", "lean.json", "data/equity/a.zip", "storage/object")

    with opened(tmp_path, tmp_path / "main.py") as workspace:
        copy = workspace.root / tmp_path.name
        assert workspace.project == copy / "main.py"
        assert sorted(path.name for path in copy.iterdir()) == ["__pycache__", "backtests", "main.py"]


def test_no_secret_gets_into_the_lean_json(tmp_path: Path) -> None:
    """Not even under a key that is taken."""
    write(tmp_path, "Strategy/main.py")

    with opened(
        tmp_path, tmp_path / "Strategy", user={"log-handler": "k3y-of-polygon"}, secrets=(Secret("k3y-of-polygon"),)
    ) as workspace:
        assert "k3y" not in workspace.lean_config.read_text()
        assert workspace.lean_config.stat().st_mode & 0o777 == 0o600


def test_results_are_moved(tmp_path: Path) -> None:
    """With the folders in them; where they cannot be, the error says where they were to go."""
    write(tmp_path, "Strategy/main.py")
    target = tmp_path / "Strategy" / "backtests" / "1"
    target.mkdir(parents=True, mode=0o700)

    with opened(tmp_path, tmp_path / "Strategy") as workspace:
        write(workspace.output, "log.txt", "code/main.py")
        with pytest.raises(WriteFailedError, match=r"could not be moved to .*main\.py: "):
            workspace.move_results(tmp_path / "Strategy" / "main.py")
        workspace.move_results(target)

    assert sorted(str(path.relative_to(target)) for path in target.rglob("*")) == ["code", "code/main.py", "log.txt"]
    assert [path.name for path in (tmp_path / RUNS_FOLDER).iterdir()] == ["sweep.lock"]
