"""The line about the data folder: which one, and why where that is not obvious."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from server.cli.data_folder import data_folder_line
from server.settings import Settings, load_settings


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace of LEAN with a lean.json as `lean init` writes it."""
    folder = tmp_path / "ws"
    (folder / "Mine").mkdir(parents=True)
    (folder / "lean.json").write_text('{"data-folder": "data"}')
    return folder


def settings(cwd: Path, **environ: str) -> Settings:
    """The settings in a working directory."""
    return load_settings(environ=environ, cwd=cwd)


def test_the_obvious_folder(workspace: Path, tmp_path: Path) -> None:
    """The folder `data` of the working directory, with or without a lean.json there, needs no reason."""
    assert data_folder_line(settings(workspace), workspace, None) == f"data folder: {workspace}/data"
    assert data_folder_line(settings(workspace), workspace, workspace / "lean.json") == f"data folder: {workspace}/data"
    assert data_folder_line(settings(tmp_path), tmp_path, None) == f"data folder: {tmp_path}/data"


def test_a_lean_json_above(workspace: Path) -> None:
    """The file that decided is named."""
    line = data_folder_line(settings(workspace / "Mine"), workspace / "Mine", None)

    assert line == f"data folder: {workspace}/data (set in {workspace}/lean.json)"


def test_a_lean_json_without_data_folder(workspace: Path) -> None:
    """LEAN's default is next to it."""
    (workspace / "lean.json").write_text("{}")

    line = data_folder_line(settings(workspace / "Mine"), workspace / "Mine", None)

    assert line == f"data folder: {workspace}/data (next to {workspace}/lean.json)"


def test_another_folder_in_lean_json(workspace: Path, tmp_path: Path) -> None:
    """The setting is the reason also in the folder of lean.json."""
    (workspace / "lean.json").write_text(json.dumps({"data-folder": "../elsewhere"}))

    line = data_folder_line(settings(workspace), workspace, None)

    assert line == f"data folder: {tmp_path}/elsewhere (set in {workspace}/lean.json)"


def test_the_environment(workspace: Path) -> None:
    """The variable is named, whatever project is run."""
    found = settings(workspace, LEAN_DATA_FOLDER="/srv/data")

    line = data_folder_line(found, workspace, Path("/other/lean.json"))

    assert line == "data folder: /srv/data (set by the environment variable LEAN_DATA_FOLDER)"


def test_a_flag(workspace: Path) -> None:
    """The user has just named it."""
    found = load_settings(flags={"data-folder": "/srv/data"}, environ={}, cwd=workspace)

    assert data_folder_line(found, workspace, Path("/other/lean.json")) == "data folder: /srv/data"


def test_a_project_of_another_workspace(workspace: Path) -> None:
    """Its own data folder is not used; the line says how to use it."""
    line = data_folder_line(settings(workspace), workspace, Path("/other/lean.json"))

    assert line == (
        f"data folder: {workspace}/data (set in {workspace}/lean.json; the project is in another workspace, whose data "
        "folder is used with --lean-config /other/lean.json)"
    )


def test_a_project_of_a_workspace_and_none_here(tmp_path: Path) -> None:
    """The working directory's folder is used although the project has another one."""
    line = data_folder_line(settings(tmp_path), tmp_path, Path("/other/lean.json"))

    assert line == (
        f"data folder: {tmp_path}/data (of the working directory; the project is in another workspace, whose data "
        "folder is used with --lean-config /other/lean.json)"
    )
