"""The LEAN projects below a folder."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from server.core.errors import ConfigurationError
from server.project import ProjectParameters, read_project_parameters
from server.web import projects
from server.web.projects import find_project, list_projects, name_of

PARAMETERS = 'symbols = ["SPY", "AAPL"]\nresolution = "minute"\nstart = "2024-01-02"\nend = "2024-01-31"\n'


def write_project(folder: Path, parameters: str | None = PARAMETERS, main: str = "main.py") -> Path:
    """A project's folder."""
    (folder / "config").mkdir(parents=True)
    (folder / main).write_text("")
    if parameters is not None:
        (folder / "config" / "parameters.py").write_text(parameters)
    return folder


def test_projects_are_listed_with_their_parameters(tmp_path: Path) -> None:
    """One level and two levels below the folder, in Python and in C#."""
    write_project(tmp_path / "Direct")
    write_project(tmp_path / "Group" / "Nested", main="Main.cs")
    write_project(tmp_path / "Group" / "Deep" / "TooDeep")
    (tmp_path / "NoProject").mkdir()

    found = list_projects(tmp_path)

    assert [one.name for one in found] == ["Direct", "Group/Nested"]
    assert (found[0].symbols, found[0].resolution, found[0].problem) == (["SPY", "AAPL"], "minute", None)
    assert (found[0].start, found[0].end) == (date(2024, 1, 2), date(2024, 1, 31))


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [(None, "it has no config/parameters.py; give symbols and days yourself"), ("symbols = [", "not valid Python")],
)
def test_a_project_without_readable_parameters_is_listed_with_the_problem(
    tmp_path: Path, parameters: str | None, problem: str
) -> None:
    """Its symbols and days are null."""
    write_project(tmp_path / "Mine", parameters)

    (found,) = list_projects(tmp_path)

    assert found.problem is not None
    assert problem in found.problem
    assert found.model_dump(exclude={"name", "problem"}) == dict.fromkeys(("symbols", "resolution", "start", "end"))


@pytest.mark.parametrize("name", ["", ".", "..", "Mine/../Mine", "/", "nowhere", "\0", "x" * 5000, "outside"])
def test_names_cannot_lead_outside(tmp_path: Path, name: str) -> None:
    """Absolute paths, parent folders and symbolic links are refused with the same message."""
    root = tmp_path / "root"
    write_project(root / "Mine")
    write_project(tmp_path / "Other")
    (root / "outside").symlink_to(tmp_path / "Other")

    with pytest.raises(ConfigurationError, match="there is no project"):
        find_project(root, name)
    assert find_project(root, "Mine") == (root / "Mine").resolve()


def test_a_name_is_the_path_below_the_folder(tmp_path: Path) -> None:
    """Of a project elsewhere it is the folder's name."""
    assert name_of(tmp_path, tmp_path / "Group" / "Mine") == "Group/Mine"
    assert name_of(tmp_path / "root", tmp_path / "elsewhere" / "Mine") == "Mine"


def test_no_more_are_read_than_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """200; the parameters of the others are not read."""
    for number in range(203):
        write_project(tmp_path / f"Project{number:03}")
    read: list[Path] = []

    def read_parameters(folder: Path) -> ProjectParameters:
        read.append(folder)
        return read_project_parameters(folder)

    monkeypatch.setattr(projects, "read_project_parameters", read_parameters)

    assert len(list_projects(tmp_path)) == len(read) == 200
