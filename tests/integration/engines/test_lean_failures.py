"""LEAN runs that fail, hang, are cancelled, or are refused before they start."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from server.core.cancel import CancelToken
from server.core.errors import (
    BacktestServerError,
    Cancelled,
    ConfigurationError,
    ToolFailedError,
    ToolMissingError,
)
from tests.support.lean_workspace import workspace_files, write_program
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for lean is a script")


@pytest.mark.parametrize(
    ("mode", "kind", "text"),
    [
        ("no-docker", ToolMissingError, "Docker is not running; start it"),
        ("no-login", ToolMissingError, "LEAN's CLI is not logged in; run: lean login"),
        (
            "no-image",
            ToolMissingError,
            "LEAN's image quantconnect/lean:latest is not on this machine, and a run never fetches it; "
            "run: docker pull quantconnect/lean:latest",
        ),
        ("no-modules", ToolMissingError, "LEAN's CLI has no list of modules and could not fetch it (HTTPSConnection"),
        ("no-network", ToolMissingError, "LEAN's CLI could not reach www.quantconnect.com (HTTPSConnectionPool("),
        ("early-errors", ToolFailedError, "lean backtest ended with exit code 1: the cause"),
        ("no-results", ToolFailedError, "LEAN left no results in"),
        ("runtime-error", ToolFailedError, "the algorithm failed: 'NoneType' object (main.py, line 12)"),
        ("interrupted", ToolFailedError, "LEAN was interrupted before the algorithm's last day, so this is no result"),
        ("crash", ToolFailedError, "the algorithm failed: No module named 'pandaz' (all of it in"),
    ],
)
def test_each_failure_says_what_to_do(
    run, workspace: SimpleNamespace, mode: str, kind: type[BacktestServerError], text: str
) -> None:
    """One line that names the cause; no private file is left behind."""
    with pytest.raises(kind) as caught:
        run(mode)

    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert workspace_files(workspace.root) == [".backtest-server-runs", "Strategy", "lean.json", "storage"]


def test_an_unexplained_failure_shows_the_last_line(run, workspace: SimpleNamespace) -> None:
    """What cannot be explained is quoted, with the exit code and a likely cause."""
    write_program(workspace.bin / "lean", "#!/bin/sh\necho something odd\nexit 7\n")

    with pytest.raises(ToolFailedError, match=r"exit code 7: something odd; .*has no market-hours database"):
        run()


def test_a_missing_cli_is_a_missing_tool(run, workspace: SimpleNamespace) -> None:
    """Without the program the error says so."""
    (workspace.bin / "lean").unlink()

    with pytest.raises(ToolMissingError, match="lean"):
        run()


def test_a_hanging_run_is_stopped(run, workspace: SimpleNamespace) -> None:
    """A run that exceeds its time limit is stopped and said to have been; no empty results folder stays."""
    with pytest.raises(ToolFailedError, match="was stopped: it had not ended after 1 s"):
        run("hang", time_limit=1.0)

    assert list((workspace.project / "backtests").iterdir()) == []


def test_a_cancel_ends_the_run_at_once(run) -> None:
    """LEAN is ended, and its run with it."""
    cancel, cancelled_at = CancelToken(), []

    def when_it_speaks(line: str) -> None:
        cancelled_at.append(time.monotonic())
        cancel.cancel()

    with pytest.raises(Cancelled):
        run("hang", cancel=cancel, progress=when_it_speaks)

    assert time.monotonic() - cancelled_at[0] < PATIENCE
    assert threading.active_count() < 10


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"project": None}, "LEAN runs a project; name its folder"),
        ({"project": Path("/nowhere")}, "there is no LEAN project at /nowhere"),
        ({"project": Path("/usr")}, "does not lie below"),
    ],
)
def test_requests_that_do_not_fit_are_refused_before_lean_runs(
    run, workspace: SimpleNamespace, changes: dict[str, object], text: str
) -> None:
    """What LEAN's CLI would only find out after the run is found out before."""
    with pytest.raises(ConfigurationError) as caught:
        run(**changes)

    assert text in str(caught.value)
    assert not workspace.seen.exists()
