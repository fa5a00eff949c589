"""What the engines that run LEAN share: environment, object store, and how a run ended."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.core.errors import BacktestServerError, Cancelled, ConfigurationError, ToolFailedError, ToolMissingError
from server.core.secret import Secret
from server.core.subprocess_runner import CommandOutcome
from server.engines.lean_options import LeanOptions
from server.engines.lean_run import (
    DOCKER_FAILURES,
    choose_stream_port,
    finished_run,
    lean_environ,
    object_store,
    start_error,
)
from server.engines.results import LeanRun, RunState
from server.engines.run_folder import RunFolder
from tests.support.lean_runs import CANCELLED, log_text, result_of, write_run

NOW = datetime(2026, 11, 27, 14, tzinfo=UTC)
KEY = "Abcdefgh12345678"


def finished(folder: Path, outcome: CommandOutcome) -> LeanRun:
    return finished_run(
        outcome, folder, NOW, time_limit=60, start_failure=lambda outcome: start_error(outcome, (), "LEAN's launcher")
    )


def recorded_outcome(folder: Path) -> CommandOutcome:
    """How the process of a recorded run ended, and what it printed."""
    lines = [line for name in ("stdout.txt", "stderr.txt") for line in (folder / name).read_text("utf-8").splitlines()]
    return CommandOutcome(exit_code=int((folder / "exit.txt").read_text()), lines=tuple(lines))


@pytest.mark.parametrize("name", ["completed", "python-completed", "missing-days", "live-stream", "corrupt-zip"])
def test_recorded_runs_that_completed(recorded_lean_runs: Path, name: str) -> None:
    """They are results, with missing data too."""
    folder = recorded_lean_runs / name

    assert finished(folder / "results", recorded_outcome(folder)).state is RunState.COMPLETED


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("csharp-runtime-error", "the algorithm failed: "),
        ("python-syntax-error", "the algorithm failed: "),
        ("python-without-pandas", "must have pandas and numpy"),
        ("python-file-missing", "Unable to find py file"),
        ("no-market-hours", "the algorithm failed: "),
        ("interrupted-sigint", "LEAN was interrupted before the algorithm's last day"),
        ("python-interrupted-sigint", "LEAN was interrupted before the algorithm's last day"),
        ("terminated-sigterm", "LEAN was interrupted by signal 15"),
        ("wrong-option", "LEAN's launcher ended with exit code -6: Unrecognized option '--foo'"),
    ],
)
def test_recorded_runs_that_did_not(recorded_lean_runs: Path, name: str, text: str) -> None:
    """One line says why; an interrupted run is no result, although LEAN ended with exit code 0."""
    folder = recorded_lean_runs / name

    with pytest.raises(ToolFailedError) as caught:
        finished(folder / "results", recorded_outcome(folder))

    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_log_is_named_where_it_has_the_error(tmp_path: Path) -> None:
    """An abort of .NET is printed, and not logged."""
    write_run(tmp_path / "printed", log=log_text("Engine.Run(): begins"))
    write_run(tmp_path / "logged", log=log_text("ERROR:: Engine.Run(): too little memory"))
    printed = CommandOutcome(exit_code=-6, lines=("Unhandled exception. System.Exception: too little memory",))

    for name, outcome in (("printed", printed), ("logged", CommandOutcome(exit_code=1))):
        with pytest.raises(ToolFailedError, match=r"the algorithm failed: .*too little memory") as caught:
            finished(tmp_path / name, outcome)
        assert ("all of it in" in str(caught.value)) is (name == "logged")


def test_an_abort_after_the_results_is_a_success_with_a_notice(tmp_path: Path) -> None:
    """The exit code alone does not decide."""
    write_run(tmp_path, result=result_of(), log=log_text("Engine.Run(): done"), failed=[], succeeded=[])
    outcome = CommandOutcome(exit_code=-6, lines=("Unhandled exception. System.Exception: too late",))

    run = finished(tmp_path, outcome)

    assert run.state is RunState.COMPLETED
    assert any("too late" in note for note in run.notes)


@pytest.mark.parametrize(
    ("outcome", "kind", "text"),
    [
        (CommandOutcome(exit_code=0, cancelled=True), Cancelled, "the LEAN backtest was cancelled"),
        (CommandOutcome(exit_code=0, timed_out=True), ToolFailedError, "it had not ended after 60 s; what it wrote"),
        (CommandOutcome(exit_code=0), ToolFailedError, "LEAN was interrupted before the algorithm's last day"),
        (CommandOutcome(exit_code=137), ToolFailedError, "by signal 9 (perhaps for lack of memory)"),
    ],
)
def test_a_run_that_was_stopped(
    tmp_path: Path, outcome: CommandOutcome, kind: type[BacktestServerError], text: str
) -> None:
    """Whatever LEAN wrote, it is never completed."""
    write_run(tmp_path, result=result_of(), log=log_text(CANCELLED), failed=[], succeeded=[])

    with pytest.raises(kind) as caught:
        finished(tmp_path, outcome)

    assert text in str(caught.value)


def test_a_process_that_never_was_lean(tmp_path: Path) -> None:
    """The last line that it printed is the reason."""
    with pytest.raises(ToolFailedError, match="LEAN's launcher ended with exit code 3: odd"):
        finished(tmp_path, CommandOutcome(exit_code=3, lines=("first", "odd")))
    with pytest.raises(ToolFailedError, match="LEAN left no results in"):
        finished(tmp_path, CommandOutcome(exit_code=0))


def test_docker_failures() -> None:
    """What Docker prints becomes what to do."""
    lines = ("docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "See 'docker run --help'.")

    error = start_error(CommandOutcome(exit_code=125, lines=lines), DOCKER_FAILURES, "docker run")
    other = start_error(CommandOutcome(exit_code=125, lines=("docker: odd", lines[1])), DOCKER_FAILURES, "docker run")

    assert isinstance(error, ToolMissingError)
    assert "Docker is not running; start it" in str(error)
    assert str(other) == "docker run ended with exit code 125: docker: odd"


def test_no_key_is_in_the_environment() -> None:
    """Neither by name, set or not, nor by value; everything else is kept."""
    environ = {
        "PATH": "/bin",
        "POLYGON_API_KEY": "unknown to the settings",
        "MASSIVE_API_KEY": KEY,
        "BACKTEST_SERVER_TOKEN": "token",
        "ADDRESS": f"https://x/?apiKey={KEY}",
    }

    assert lean_environ(environ, [Secret(KEY)]) == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("setting", "exists", "expected"),
    [
        ("auto", True, "workspace"),
        ("auto", False, "run"),
        ("run", True, "run"),
        ("workspace", True, "workspace"),
        ("workspace", False, "workspace"),
    ],
)
def test_object_store(tmp_path: Path, setting: str, exists: bool, expected: str) -> None:
    """That of the workspace where it exists, as of LEAN's CLI, else the run's own."""
    workspace, run = tmp_path / "work", RunFolder(tmp_path / "run")
    workspace.mkdir()
    if exists:
        (workspace / "storage").mkdir()
    places = {"workspace": workspace / "storage", "run": run.storage}

    found = object_store(LeanOptions(workspace=workspace, object_store=setting), run)

    assert found == places[expected]
    assert expected == "run" or found.is_dir()


def test_an_object_store_without_a_workspace(tmp_path: Path) -> None:
    """The run's own, or an error where that of the workspace is wanted."""
    run = RunFolder(tmp_path)

    assert object_store(LeanOptions(), run) == run.storage
    with pytest.raises(ConfigurationError, match=r"there is no lean\.json|no lean\.json was found"):
        object_store(LeanOptions(object_store="workspace"), run)


def test_no_port_without_a_stream() -> None:
    """The setting decides over the engine's default."""
    assert choose_stream_port(LeanOptions(live_stream=False), default=True) is None
    assert choose_stream_port(LeanOptions(), default=False) is None
