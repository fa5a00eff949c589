"""Chooses the engine of a backtest."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import get_args

from server.core.errors import ConfigurationError, ToolMissingError
from server.core.secret import Secret
from server.engines.base import Engine
from server.settings.core import EngineName
from server.settings.lean_json import find_lean_json
from server.trading_calendar import USEquityTradingCalendar

ENGINES = get_args(EngineName)

DOCKER_SECONDS = 3.0
"""Seconds within which Docker must respond to count as running."""


def choose_engine(
    wanted: str,
    *,
    project: Path | None,
    calendar: USEquityTradingCalendar,
    clock: Callable[[], datetime],
    environ: Mapping[str, str],
    lean_config: Path | None = None,
    secrets: Sequence[Secret] = (),
    docker_problem: Callable[[str], str | None] | None = None,
) -> tuple[Engine, str]:
    """Choose the engine of a backtest.

    ``auto`` chooses LEAN if it can run (the project has a lean.json at or above it, LEAN's CLI is on the PATH, Docker
    responds), else the smoke test.

    Args:
        wanted: ``auto``, ``lean`` or ``smoke``.
        project: The LEAN project, if there is one.
        calendar: The trading calendar.
        clock: Returns the current instant in UTC.
        environ: The environment, for the PATH and for LEAN's CLI.
        lean_config: The lean.json of the settings; if the project is not below its folder, the nearest one at or above
            the project replaces it.
        secrets: What is masked in LEAN's output.
        docker_problem: Takes the path of the program docker; returns None if Docker responds, else the reason.

    Returns:
        The engine, and in one line why it was chosen.

    Raises:
        ConfigurationError: The engine does not exist.
        ToolMissingError: The engine is ``lean``, which cannot run here; the text says what to do.
    """
    if wanted not in ENGINES:
        raise ConfigurationError(f"there is no engine {wanted!r}; choose one of {', '.join(ENGINES)}")
    if wanted == "smoke":
        return _smoke(calendar, clock), "the smoke test, as asked for"
    if project is not None and not (lean_config and _below(project, lean_config)):
        lean_config = find_lean_json(project) or lean_config
    problem = _lean_problem(project, lean_config, environ, docker_problem or ask_docker)
    if problem is None and lean_config is not None:
        from server.engines.lean_cli import CliEngine
        from server.engines.lean_options import LeanOptions

        lean = shutil.which("lean", path=environ.get("PATH", "")) or "lean"
        why = "LEAN, as asked for" if wanted == "lean" else "LEAN: its CLI, a running Docker and lean.json are there"
        options = LeanOptions(workspace=lean_config.resolve().parent, secrets=tuple(secrets))
        return CliEngine(lean_config, options, clock, environ, executable=lean), why
    if wanted == "lean":
        raise ToolMissingError(f"LEAN cannot run here: {problem}; or choose the engine smoke")
    return _smoke(calendar, clock), f"the smoke test, since LEAN cannot run here: {problem}"


def _smoke(calendar: USEquityTradingCalendar, clock: Callable[[], datetime]) -> Engine:
    from server.engines.smoke import SmokeEngine

    return SmokeEngine(calendar, clock)


def _below(project: Path, lean_config: Path) -> bool:
    """Whether the project is below the folder of this lean.json, as the CLI requires."""
    return project.resolve().is_relative_to(lean_config.resolve().parent)


def _lean_problem(
    project: Path | None,
    lean_config: Path | None,
    environ: Mapping[str, str],
    docker_problem: Callable[[str], str | None],
) -> str | None:
    """Return why LEAN cannot run and what to do, the cheapest check first; None if it can run."""
    path = environ.get("PATH", "")
    if project is None:
        return "no LEAN project was given (name the folder that holds its main.py)"
    if lean_config is None:
        return f"there is no lean.json at or above {project} (run lean init)"
    if not _below(project, lean_config):
        return f"{project} does not lie below the folder of {lean_config} (move it there)"
    if shutil.which("lean", path=path) is None:
        return "LEAN's CLI is not installed (pip install lean, then lean login)"
    docker = shutil.which("docker", path=path)
    if docker is None:
        return "Docker is not installed (see https://docs.docker.com/engine/install)"
    problem = docker_problem(docker)
    return f"Docker is not running: {problem} (start it and try again)" if problem else None


def ask_docker(docker: str) -> str | None:
    """Check with the program docker whether Docker's server responds.

    Args:
        docker: The path of the program docker.

    Returns:
        None if it responds, else the reason in one line.
    """
    try:
        answer = subprocess.run(
            [docker, "version", "--format", "{{.Server.Version}}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DOCKER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {DOCKER_SECONDS:g} s"
    except OSError as error:
        return f"{docker} cannot be run ({error.strerror or error})"
    if answer.returncode == 0:
        return None
    lines = answer.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else f"docker version ended with exit code {answer.returncode}"
