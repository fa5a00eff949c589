"""The container of LEAN's CLI when a backtest is cancelled, and when everything is killed."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress

import pytest

from server.engines.cli_workspace import RUNS_FOLDER
from tests.support.cli_market import DAYS, Serve
from tests.support.command_line import CommandLine, answer_of, wait_until
from tests.support.stand_in_lean.install import StandIn, install_stand_in
from tests.support.stand_in_lean.reference_files import write_reference_files

ALGORITHM = """from AlgorithmImports import *
# stand-in: slow {seconds}


class Strategy(QCAlgorithm):
    def initialize(self):
        self.set_start_date({start.year}, {start.month}, {start.day})
        self.set_end_date({end.year}, {end.month}, {end.day})
        self.add_equity("SPY", Resolution.MINUTE)
"""


@pytest.fixture
def stand_in(command: CommandLine, served: Serve) -> StandIn:
    """LEAN's CLI with a workspace, a project, and a vendor."""
    served()
    found = install_stand_in(command.folder / "stand-in")
    command.set(HOME=str(command.folder), PATH=found.path_alone)
    (command.folder / "lean.json").write_text('{"data-folder": "data", "organization-id": "0123456789"}')
    write_reference_files(command.data)
    return found


def write_project(command: CommandLine, seconds: float) -> None:
    """A project whose bars take this long."""
    folder = command.folder / "Strategy"
    (folder / "config").mkdir(parents=True, exist_ok=True)
    (folder / "config" / "parameters.py").write_text(f"symbols = ['SPY']\nstart = '{DAYS[0]}'\nend = '{DAYS[-1]}'\n")
    (folder / "main.py").write_text(ALGORITHM.format(seconds=seconds, start=DAYS[0], end=DAYS[-1]))


def start(command: CommandLine) -> subprocess.Popen[str]:
    """Start a backtest that takes long, and wait until LEAN runs in its container."""
    write_project(command, 600)
    process = command.start("backtest", "Strategy", "--engine", "lean-cli")
    wait_until(lambda: list(command.folder.glob(f"{RUNS_FOLDER}/*/Strategy/backtests/*/log.txt")))
    return process


def containers(command: CommandLine, stand_in: StandIn) -> list[str]:
    """The names of all containers."""
    arguments = ["ps", "--all", "--format", "{{.Names}}"]
    answer = subprocess.run(
        [stand_in.bin / "docker", *arguments], capture_output=True, text=True, check=True, env={"PATH": stand_in.path}
    )
    return answer.stdout.split()


def test_a_cancel_lets_the_cli_remove_its_container(command: CommandLine, stand_in: StandIn) -> None:
    """Which takes it longer than a download has to stop."""
    stand_in.behave(container_kill_takes=2)
    process = start(command)
    [name] = containers(command, stand_in)

    process.send_signal(signal.SIGINT)
    answer = answer_of(process)

    assert answer.code == 130
    assert name.startswith("backtest-server-cli-")
    assert (stand_in.folder / "container-removed").exists()
    assert containers(command, stand_in) == []
    assert [path.name for path in (command.folder / RUNS_FOLDER).iterdir()] == ["sweep.lock"]


def test_what_a_kill_leaves_is_swept_and_its_container_is_named(command: CommandLine, stand_in: StandIn) -> None:
    """The private folder goes at the next start, the notice when the container has gone."""
    process = start(command)
    process.kill()
    process.communicate()
    os.kill(stand_in.calls_of("lean")[-1]["pid"], signal.SIGKILL)
    [name] = containers(command, stand_in)
    [left] = command.folder.glob(f"{RUNS_FOLDER}/*/")
    write_project(command, 0)

    try:
        after = command.run("backtest", "Strategy", "--engine", "lean-cli")

        assert after.code == 0, after.err
        assert f"remove it with: docker rm -f {name}" in after.out + after.err
        assert not left.exists()
        assert containers(command, stand_in) == [name]
    finally:
        subprocess.run(
            [stand_in.bin / "docker", "rm", "-f", name], capture_output=True, check=True, env={"PATH": stand_in.path}
        )

    last = command.run("backtest", "Strategy", "--engine", "lean-cli")

    assert "docker rm" not in last.out + last.err
    assert [path.name for path in (command.folder / RUNS_FOLDER).iterdir()] == ["sweep.lock"]


def test_a_run_that_lives_is_not_swept(command: CommandLine, stand_in: StandIn) -> None:
    """Another run starts and ends while it works."""
    process = start(command)
    [living] = command.folder.glob(f"{RUNS_FOLDER}/*/")
    write_project(command, 0)

    try:
        assert command.run("backtest", "Strategy", "--engine", "lean-cli").code == 0
        assert (living / "lean.json").exists()
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        answer_of(process)
