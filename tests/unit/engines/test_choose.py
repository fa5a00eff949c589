"""The choice of the engine where no program has to be asked."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.core.errors import ConfigurationError, ToolMissingError
from server.engines.choose import EngineChoice, choose_engine, engine_overview, why_engine
from server.engines.probe import MissingRequirement
from server.engines.status import EngineStatus
from server.settings import Settings
from tests.support.harness import calendar

SYSTEM_FOLDERS = (
    "/Lean",
    "/opt/Lean",
    "/usr/share/dotnet",
    "/usr/lib/dotnet",
    "/usr/local/share/dotnet",
    "/opt/dotnet",
)
without_system_folders = pytest.mark.skipif(
    any(map(os.path.exists, SYSTEM_FOLDERS)), reason="this machine has LEAN or .NET in a folder of the system"
)


def choose(folder: Path, wanted: str, *, with_project: bool = True) -> EngineChoice:
    """Choose on a machine without any program."""
    (folder / "project").mkdir()
    return choose_engine(
        wanted,
        project=folder / "project" if with_project else None,
        settings=Settings(data_folder=folder / "data", lean_launcher=None),
        calendar=calendar(),
        clock=lambda: datetime(2024, 6, 3, 12, tzinfo=UTC),
        environ={},
    )


def test_smoke_by_name(tmp_path: Path) -> None:
    """It needs nothing, and no reference data."""
    choice = choose(tmp_path, "smoke")

    assert (choice.engine.name, choice.why) == ("smoke", "the smoke test, as asked for")
    assert choice.reference_sources is None


@without_system_folders
def test_auto_without_any_program(tmp_path: Path) -> None:
    """The smoke test; each engine of LEAN is named with the first thing that it lacks."""
    choice = choose(tmp_path, "auto")

    assert choice.engine.name == "smoke"
    assert choice.why == (
        "the smoke test, since LEAN cannot run here: lean-native: LEAN's launcher was not found (backtest-server lean "
        "install, or set lean-launcher to the folder of QuantConnect.Lean.Launcher.dll); lean-docker: Docker is not "
        "installed (see https://docs.docker.com/engine/install); lean-cli: there is no lean.json at or above "
        f"{tmp_path / 'project'} (lean init)"
    )


@without_system_folders
@pytest.mark.parametrize("wanted", ["lean", "lean-native", "lean-docker", "lean-cli"])
def test_an_engine_that_cannot_run(tmp_path: Path, wanted: str) -> None:
    """One line with all that is missing and how to get it."""
    with pytest.raises(ToolMissingError) as caught:
        choose(tmp_path, wanted)
    text = str(caught.value)

    assert "\n" not in text
    assert text.startswith(f"{'LEAN' if wanted == 'lean' else wanted} cannot run here: ")
    lacks = {
        "lean-native": ("LEAN's launcher was not found", "dotnet was not found (curl", "no python3 on the PATH"),
        "lean-docker": ("Docker is not installed (see https://docs.docker.com/engine/install)",),
        "lean-cli": ("no lean.json", "LEAN's CLI is not installed (pip install lean", "Docker is not installed"),
    }
    for part in lacks[wanted] if wanted != "lean" else sum(lacks.values(), ()):
        assert part in text


@pytest.mark.parametrize("wanted", ["lean", "lean-native", "lean-docker", "lean-cli"])
def test_no_project(tmp_path: Path, wanted: str) -> None:
    """LEAN runs a project; `auto` without one is the smoke test."""
    with pytest.raises(ToolMissingError, match="no LEAN project was given"):
        choose(tmp_path, wanted, with_project=False)
    (tmp_path / "project").rmdir()
    assert "no LEAN project was given" in choose(tmp_path, "auto", with_project=False).why


def test_unknown_engine(tmp_path: Path) -> None:
    """An unknown engine is an error that names the engines."""
    with pytest.raises(ConfigurationError, match="auto, lean, lean-native, lean-docker, lean-cli, smoke"):
        choose(tmp_path, "zipline")


@pytest.mark.parametrize("wanted", ["auto", "lean", "lean-native"])
def test_a_launcher_that_does_not_exist(tmp_path: Path, wanted: str) -> None:
    """A wrong setting is an error, not a reason to choose another engine; where another one is named it is not read."""
    (tmp_path / "project").mkdir()

    def chosen(wanted: str) -> EngineChoice:
        return choose_engine(
            wanted,
            project=tmp_path / "project",
            settings=Settings(data_folder=tmp_path / "data", lean_launcher=tmp_path / "absent"),
            calendar=calendar(),
            clock=lambda: datetime(2024, 6, 3, 12, tzinfo=UTC),
            environ={},
        )

    with pytest.raises(ConfigurationError, match=r"lean-launcher is .*absent .*it does not exist"):
        chosen(wanted)
    assert chosen("smoke").engine.name == "smoke"


@without_system_folders
def test_overview_without_any_program(tmp_path: Path) -> None:
    """Each engine with all that it lacks; what a project lacks is not listed without one."""
    overview = engine_overview(Settings(data_folder=tmp_path), environ={})

    assert overview.chosen == "smoke"
    assert [(one.name, one.ready, len(one.lacks)) for one in overview.engines] == [
        ("lean-native", False, 3),
        ("lean-docker", False, 1),
        ("lean-cli", False, 2),
        ("smoke", True, 0),
    ]


def test_reason() -> None:
    """What was found of the engine, and why those before it cannot run."""
    lacks = (MissingRequirement("no launcher", "get one"), MissingRequirement("no dotnet", "install it"))
    native = EngineStatus(name="lean-native", found="nothing was found", lacks=lacks)

    assert why_engine(EngineStatus(name="lean-docker", found="Docker 27"), [native]) == (
        "lean-docker: Docker 27; lean-native cannot run: no launcher (get one)"
    )
