"""Signals to a backtest while LEAN runs: LEAN has its time to end, and never outlives the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli_market import DAYS, Serve
from tests.support.command_line import CommandLine, answer_of, wait_until
from tests.support.engine_programs import write_reference

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for lean is a script")

LEAN = """#!{python}
import os, pathlib, signal, time
folder = pathlib.Path({folder!r})
def stop(number, frame):
    (folder / "interrupted").touch()
    time.sleep({seconds})
    (folder / "ended").touch()
    os._exit(1)
signal.signal(signal.SIGINT, stop)
(folder / "pid.part").write_text(str(os.getpid()))
(folder / "pid.part").rename(folder / "pid")
time.sleep(600)
"""


@pytest.fixture
def project(command: CommandLine) -> str:
    """A project below a lean.json."""
    (command.folder / "lean.json").write_text('{"data-folder": "data", "organization-id": "0123456789"}')
    write_reference(command.data)
    config = command.folder / "Strategy" / "config"
    config.mkdir(parents=True)
    (config / "parameters.py").write_text(f"symbols = ['SPY']\nstart = '{DAYS[0]}'\nend = '{DAYS[-1]}'\n")
    (config.parent / "main.py").write_text("from AlgorithmImports import *\n")
    return "Strategy"


def start(command: CommandLine, project: str, seconds: float) -> subprocess.Popen[str]:
    """Start a backtest whose LEAN takes this long to end, and wait until LEAN runs."""
    programs = command.folder / "bin"
    programs.mkdir()
    lean = LEAN.format(python=sys.executable, folder=str(command.folder), seconds=seconds)
    for name, text in (("lean", lean), ("docker", '#!/bin/sh\n[ "$1" = version ] && echo 27.0.1\n')):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    command.set(PATH=f"{programs}:/usr/bin:/bin")
    process = command.start("backtest", project, "--engine", "lean")
    wait_until((command.folder / "pid").exists)
    return process


def runs(command: CommandLine) -> bool:
    """Whether LEAN runs."""
    try:
        state = Path(f"/proc/{(command.folder / 'pid').read_text()}/stat").read_text()
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_lean_may_end_by_itself(command: CommandLine, served: Serve, project: str, number: signal.Signals) -> None:
    """It takes longer than a download has to stop; the command waits for it and ends with 130."""
    served()
    process = start(command, project, 2.5)

    process.send_signal(number)
    answer = answer_of(process)

    assert answer.code == 130
    assert (command.folder / "ended").exists()
    assert not runs(command)
    assert "Traceback" not in answer.err


def test_a_second_signal_ends_both_at_once(command: CommandLine, served: Serve, project: str) -> None:
    """LEAN is killed with the command."""
    served()
    process = start(command, project, 600)

    process.send_signal(signal.SIGINT)
    wait_until((command.folder / "interrupted").exists)
    process.send_signal(signal.SIGINT)

    assert answer_of(process).code == 130
    wait_until(lambda: not runs(command))
    assert not (command.folder / "ended").exists()
    assert os.path.exists(command.folder / "Strategy" / "backtests")
