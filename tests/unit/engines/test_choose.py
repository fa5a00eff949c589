"""The choice of the engine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.core.errors import ConfigurationError, ToolMissingError
from server.engines.choose import choose_engine
from tests.support.harness import calendar


def choose(folder: Path, wanted: str, *, docker: bool) -> tuple[str, str]:
    """The name of the engine that is chosen for a project below a lean.json, and why."""
    for program in ("lean", "docker"):
        (folder / program).write_text("", encoding="utf-8")
        (folder / program).chmod(0o755)
    (folder / "lean.json").write_text("{}", encoding="utf-8")
    (folder / "project").mkdir()
    (folder / "project" / "main.py").write_text("", encoding="utf-8")
    engine, why = choose_engine(
        wanted,
        project=folder / "project",
        calendar=calendar(),
        clock=lambda: datetime(2024, 6, 3, 12, tzinfo=UTC),
        environ={"PATH": str(folder)},
        docker_problem=lambda path: None if docker else "Docker does not respond",
    )
    return engine.name, why


@pytest.mark.parametrize(
    ("wanted", "docker", "engine", "reason"),
    [
        ("smoke", True, "smoke", "as asked for"),
        ("lean", True, "lean-cli", "as asked for"),
        ("auto", True, "lean-cli", "lean.json are there"),
        ("auto", False, "smoke", "Docker does not respond"),
    ],
)
def test_choice(tmp_path: Path, wanted: str, docker: bool, engine: str, reason: str) -> None:
    """A named engine is taken; ``auto`` takes LEAN where Docker responds, and gives the reason."""
    name, why = choose(tmp_path, wanted, docker=docker)

    assert name == engine
    assert reason in why


def test_lean_that_cannot_run(tmp_path: Path) -> None:
    """LEAN by name is an error where it cannot run."""
    with pytest.raises(ToolMissingError, match="Docker does not respond"):
        choose(tmp_path, "lean", docker=False)


def test_unknown_engine(tmp_path: Path) -> None:
    """An unknown engine is an error that names the engines."""
    with pytest.raises(ConfigurationError, match="auto, lean, lean-native, lean-docker, lean-cli, smoke"):
        choose(tmp_path, "zipline", docker=True)
