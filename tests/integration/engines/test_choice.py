"""The choice of the engine, and the look for a running Docker."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest

from server.core.errors import (
    ConfigurationError,
    ToolMissingError,
)
from server.engines.choose import ask_docker, choose_engine
from server.engines.lean_cli import CliEngine
from server.engines.smoke import SmokeEngine
from server.trading_calendar import USEquityTradingCalendar
from tests.support.lean_workspace import DAYS, NOW, write_program
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for lean is a script")


@pytest.fixture
def choose(workspace: SimpleNamespace) -> Callable[..., tuple[object, str]]:
    """Choose an engine in the workspace, with a ``docker`` that answers unless a test overrides it."""
    write_program(workspace.bin / "docker", "#!/bin/sh\necho 27.0.1\n")
    calendar = USEquityTradingCalendar(DAYS, {}, date(2024, 12, 31))

    def choose_in_workspace(wanted: str = "auto", **changes: object) -> tuple[object, str]:
        arguments: dict[str, object] = {
            "project": workspace.project,
            "calendar": calendar,
            "clock": lambda: NOW,
            "environ": {"PATH": str(workspace.bin)},
        }
        return choose_engine(wanted, **(arguments | changes))

    return choose_in_workspace


def test_auto_takes_lean_where_it_can_run(choose) -> None:
    """Project, lean.json, CLI and Docker there: LEAN, and it says why."""
    engine, why = choose()

    assert isinstance(engine, CliEngine)
    assert why == "LEAN: its CLI, a running Docker and lean.json are there"


@pytest.mark.parametrize(
    ("lacking", "text"),
    [
        ("project", "no LEAN project was given"),
        ("lean.json", "there is no lean.json at or above"),
        ("lean", "LEAN's CLI is not installed (pip install lean"),
        ("docker", "Docker is not installed"),
        ("running docker", "Docker is not running: Cannot connect to the Docker daemon"),
    ],
)
def test_whatever_lean_lacks_is_named(choose, workspace: SimpleNamespace, lacking: str, text: str) -> None:
    """auto then takes the smoke test and says why; lean by name is an error that says the same."""
    changes: dict[str, object] = {"project": None} if lacking == "project" else {}
    match lacking:
        case "lean.json":
            (workspace.root / "lean.json").unlink()
        case "lean" | "docker":
            (workspace.bin / lacking).unlink()
        case "running docker":
            write_program(workspace.bin / "docker", "#!/bin/sh\necho Cannot connect to the Docker daemon >&2\nexit 1\n")

    engine, why = choose(**changes)

    assert isinstance(engine, SmokeEngine)
    assert why.startswith("the smoke test, since LEAN cannot run here: ")
    assert text in why
    with pytest.raises(ToolMissingError) as caught:
        choose("lean", **changes)
    assert str(caught.value).startswith("LEAN cannot run here: ")
    assert text in str(caught.value)


def test_the_nearest_lean_json_serves_a_project_elsewhere(choose, workspace: SimpleNamespace, tmp_path: Path) -> None:
    """The settings' lean.json counts only for projects below its folder; for others their own is looked for."""
    other = tmp_path / "other" / "lean.json"
    other.parent.mkdir()
    other.write_text("{}")

    assert isinstance(choose("lean", lean_config=other)[0], CliEngine)
    (workspace.root / "lean.json").unlink()
    with pytest.raises(ToolMissingError, match=r"does not lie below the folder of .*other"):
        choose("lean", lean_config=other)


def test_smoke_by_name_asks_nothing(choose, workspace: SimpleNamespace) -> None:
    """The smoke test needs neither CLI nor Docker, and is not looked for."""
    engine, why = choose("smoke", docker_problem=lambda docker: pytest.fail("asked for Docker"))

    assert isinstance(engine, SmokeEngine)
    assert why == "the smoke test, as asked for"


def test_an_unknown_engine_is_an_error(choose) -> None:
    """The error names the engines there are."""
    with pytest.raises(
        ConfigurationError,
        match="there is no engine 'zipline'; choose one of auto, lean, lean-native, lean-docker, lean-cli, smoke",
    ):
        choose("zipline")


def test_a_docker_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    """It is given three seconds, and the program is ended."""
    write_program(tmp_path / "docker", "#!/bin/sh\nexec sleep 60\n")
    began = time.monotonic()

    assert ask_docker(str(tmp_path / "docker")) == "no answer within 3 s"
    assert time.monotonic() - began < PATIENCE


def test_docker_is_asked_for_its_server(tmp_path: Path) -> None:
    """A client without a server says why; a file that is no program is an answer, too."""
    write_program(tmp_path / "docker", "#!/bin/sh\necho boom >&2\nexit 1\n")
    assert ask_docker(str(tmp_path / "docker")) == "boom"
    assert "cannot be run" in (ask_docker(os.fspath(tmp_path / "absent")) or "")
