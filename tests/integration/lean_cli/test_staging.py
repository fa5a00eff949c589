"""The private folder of a run of the LEAN CLI, and the key in it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest
from loguru import logger

from server.core.errors import (
    ToolMissingError,
    WriteFailedError,
)
from server.core.secret import MASK
from server.plugins.lean_cli_provider.staging import open_staging
from tests.support.lean_cli_setup import (
    KEY,
    WEDNESDAY,
    Setup,
    gap,
)


@pytest.fixture
def log() -> Iterator[list[str]]:
    """The messages that are logged."""
    lines: list[str] = []
    handler = logger.add(lambda message: lines.append(message.record["message"]), level="DEBUG", diagnose=False)
    yield lines
    logger.remove(handler)


def test_the_key_is_in_the_private_lean_json_alone(setup: Setup) -> None:
    """Not in an argument, not in the environment; mode 0600 in a folder of mode 0700; gone afterwards."""
    setup.fetch(gap("SPY", WEDNESDAY))

    [call] = setup.lean.calls
    assert call["config"]["polygon-api-key"] == KEY
    assert KEY not in str(call["argv"]) + str(call["environment"])
    assert (call["config_mode"], call["folder_mode"]) == (0o600, 0o700)
    assert {"organization-id", "data-folder", "polygon-api-key", "polygon-license-type", "container-name"} == set(
        call["config"]
    )
    assert call["environment"]["TMPDIR"].startswith(call["cwd"])
    assert setup.left_over == []


def test_a_key_in_the_output_is_masked(setup: Setup, log: list[str]) -> None:
    """Whichever stream it is in and whatever its case; the output goes to the log as it comes."""
    setup.lean.behave("leak")

    setup.fetch(gap("SPY", WEDNESDAY))

    assert f"config: {MASK}" in log
    assert f"GET https://api.polygon.io/v2/aggs?apiKey={MASK}" in log
    assert any("All downloads completed" in line for line in log)
    assert KEY.lower() not in "\n".join(log).lower()


@pytest.mark.parametrize("mode", ["crash", "docker"])
def test_the_private_folder_is_removed_after_a_failure(setup: Setup, mode: str) -> None:
    """With the key in it."""
    setup.lean.behave(mode)

    with suppress(ToolMissingError):
        setup.fetch(gap("SPY", WEDNESDAY))

    assert len(setup.lean.calls) == 1
    assert setup.left_over == []


def test_the_private_folder_is_removed_when_the_host_cannot_write(setup: Setup) -> None:
    """The host's error comes through."""
    sink = setup.sink(refuse=WriteFailedError("the disk is full"))

    with pytest.raises(WriteFailedError, match="disk is full"):
        setup.fetch(gap("SPY", WEDNESDAY), sink=sink)

    assert setup.left_over == []


def test_what_a_killed_run_left_is_swept_and_what_a_live_one_uses_is_not(setup: Setup) -> None:
    """A process killed with SIGKILL leaves a folder; the next run removes it, but not that of a run that lives."""
    code = (
        "import sys, time; from pathlib import Path;"
        "from server.plugins.lean_cli_provider.staging import open_staging\n"
        "with open_staging(Path(sys.argv[1]), {'polygon-api-key': 'x'}):\n"
        "    print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, setup.staging], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.kill()
    [dead] = [name for name in setup.left_over if not name.endswith(".lock")]

    with open_staging(setup.staging, {}) as living:
        assert dead not in setup.left_over
        setup.fetch(gap("SPY", WEDNESDAY))
        assert living.lean_config.exists()
    assert setup.left_over == []


def test_a_state_folder_that_cannot_be_made_is_a_clear_error(setup: Setup) -> None:
    """Here a file is in its place."""
    setup.state.write_text("")

    with pytest.raises(WriteFailedError, match=r"private folder for the LEAN CLI cannot be made in .*staging"):
        setup.fetch(gap("SPY", WEDNESDAY))
