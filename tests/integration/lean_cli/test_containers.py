"""The container of a run of the provider lean-cli that is stopped or killed."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from server.core.errors import ToolFailedError
from server.plugins.lean_cli_provider import provider
from tests.support import fake_lean
from tests.support.command_line import wait_until
from tests.support.lean_cli_setup import WEDNESDAY, Setup, gap
from tests.support.stand_in_lean import reference_files

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for docker is a script")

DEAD = "0123456789abcdef0123456789abcdef"
CONTAINER = f"backtest-server-cli-{DEAD}"


@pytest.fixture
def docker_calls(setup: Setup) -> Callable[[], list[str]]:
    """A `docker` that has the containers of the file ``containers``; returns the command lines so far."""
    log, names = setup.lean.folder / "docker-calls", setup.lean.folder / "containers"
    program = setup.lean.folder / "docker"
    program.write_text(
        f'#!/bin/sh\necho "$*" >>"{log}"\n'
        f'[ "$1" = ps ] && touch "{names}" && grep -F "${{5#name=}}" "{names}"\nexit 0\n'
    )
    program.chmod(0o755)
    return lambda: log.read_text().splitlines() if log.exists() else []


def cancel_when(setup: Setup, ready: Callable[[], object]) -> threading.Thread:
    """Cancel once the tool runs."""

    def wait() -> None:
        wait_until(ready)
        setup.token.cancel()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_the_tool_has_the_time_to_remove_its_container(setup: Setup) -> None:
    """Docker may need ten seconds to end one; a SIGTERM meanwhile would leave it."""
    setup.lean.behave("slow-container")
    thread = cancel_when(setup, (setup.lean.folder / "ready").exists)

    setup.fetch(gap("SPY", WEDNESDAY))
    thread.join()

    assert (setup.lean.folder / "container-removed").exists()
    assert setup.left_over == []


def test_the_container_of_a_killed_tool_is_removed(
    setup: Setup, docker_calls: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tool that ignores all signals but SIGKILL cannot do it."""
    monkeypatch.setattr(provider, "INTERRUPT_GRACE", 0.3)
    setup.lean.behave("stubborn")
    thread = cancel_when(setup, (setup.lean.folder / fake_lean.CALLS).exists)

    setup.fetch(gap("SPY", WEDNESDAY))
    thread.join()

    [call] = setup.lean.calls
    assert docker_calls() == [f"rm -f {call['config']['container-name']}"]


def test_a_container_that_a_killed_run_left_is_named_until_it_is_gone(
    setup: Setup, docker_calls: Callable[[], list[str]]
) -> None:
    """The private folder is removed at once; its lock stays as long as the container."""
    (setup.staging / DEAD).mkdir(parents=True)
    (setup.staging / DEAD / "lean.json").write_text("{}")
    containers = setup.lean.folder / "containers"
    containers.write_text(f"{CONTAINER}\n")

    first, second = setup.fetch(gap("SPY", WEDNESDAY)), setup.fetch(gap("SPY", WEDNESDAY))

    for sink in (first, second):
        assert any(notice.endswith(f"remove it with: docker rm -f {CONTAINER}") for notice in sink.notices)
    assert setup.left_over == [f"{DEAD}.lock"]

    containers.write_text("")
    assert not any("docker rm" in notice for notice in setup.fetch(gap("SPY", WEDNESDAY)).notices)
    assert setup.left_over == []


def test_the_cause_is_the_last_error_line(setup: Setup) -> None:
    """Not the beginning of what was printed."""
    setup.lean.behave("many-errors")

    error = setup.fetch(gap("SPY", WEDNESDAY)).missing["SPY", WEDNESDAY]

    assert isinstance(error, ToolFailedError)
    assert "the cause is here" in str(error)


def test_the_users_market_hours_are_used(setup: Setup) -> None:
    """The tool fetches others where the user has none, and leaves those that the user has."""
    setup.fetch(gap("SPY", WEDNESDAY))
    reference_files.write_reference_files(setup.data)
    setup.fetch(gap("SPY", WEDNESDAY))

    first, second = setup.lean.calls
    assert "file-database-last-update" not in first["config"]
    assert second["config"]["file-database-last-update"] == "12/31/9999 00:00:00"
    assert json.loads((Path(setup.data) / reference_files.HOURS).read_text("utf-8"))
