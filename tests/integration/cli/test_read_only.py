"""Commands that only read: a data folder that this program has never written stays as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.cli_market import DAILY, MINUTES, Serve, minute_path
from tests.support.cli_market import DAYS as SESSIONS
from tests.support.command_line import CommandLine

pytestmark = pytest.mark.damaged_zips

COMMANDS = [
    ("coverage", "SPY", *MINUTES),
    ("coverage", "SPY", "AAPL", *DAILY, "--json"),
    ("bars", "SPY", *MINUTES),
    ("bars", "SPY", "AAPL", *DAILY, "--format", "jsonl", "--fill-forward"),
    ("verify", "--resolution", "minute"),
    ("verify", "SPY", "--resolution", "daily", "--json"),
    ("download", "SPY", "AAPL", *MINUTES, "--dry-run"),
    ("download", "SPY", *DAILY, "--dry-run", "--json", "--debug"),
    ("download", "AAPL", *DAILY, "--dry-run", "--provider", "lean-cli"),
    ("factor-files", "SPY", "--dry-run"),
    ("providers",),
]


@pytest.fixture
def foreign(command: CommandLine, served: Serve) -> Path:
    """A data folder of another program: bars, a damaged file, and factor and map files."""
    served()
    command.run("download", "SPY", *MINUTES)
    command.run("download", "SPY", *DAILY)
    shutil.rmtree(command.data / ".backtest-server")
    minute_path(command, SESSIONS[2]).write_bytes(b"not a zip")
    for name, text in (("factor_files", "20501231,1,1,1\n"), ("map_files", "20501231,spy,P\n")):
        path = command.data / "equity" / "usa" / name / "spy.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return command.data


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_folder_without_state(command: CommandLine, foreign: Path, arguments: tuple[str, ...]) -> None:
    """Neither a state folder nor a log nor anything else is created."""
    before = command.files()

    answer = command.run(*arguments)

    assert answer.code in (0, 1), answer
    assert command.files() == before


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_folder_that_does_not_exist(command: CommandLine, served: Serve, arguments: tuple[str, ...]) -> None:
    """It is not created."""
    served()

    answer = command.run(*arguments, "--data-folder", "elsewhere/data")

    assert answer.code in (0, 1), answer
    assert command.files() == {}


def test_a_folder_with_state(command: CommandLine, foreign: Path) -> None:
    """What was checked is recorded there, as by a download."""
    (foreign / ".backtest-server").mkdir()

    command.run("coverage", "SPY", *MINUTES)

    assert (foreign / ".backtest-server" / "ledger.sqlite").is_file()
