"""Downloads and backtests print their data folder before they begin, and have it in their JSON."""

from __future__ import annotations

import json

import pytest

from tests.support.cli_market import DAYS, MINUTES, Serve
from tests.support.command_line import CommandLine


@pytest.mark.parametrize(
    "arguments", [("download", "SPY"), ("download", "SPY", "--dry-run"), ("backtest", "--symbols=SPY")]
)
def test_the_first_line(command: CommandLine, served: Serve, arguments: tuple[str, ...]) -> None:
    """Also where a variable sets it, and where nothing is missing."""
    served()
    command.set(LEAN_DATA_FOLDER="elsewhere")
    more = ("--engine", "smoke") if arguments[0] == "backtest" else ()

    for _ in range(2):
        answer = command.run(*arguments, *MINUTES, *more)

        assert answer.code == 0
        assert answer.out.splitlines()[0] == (
            f"data folder: {command.folder}/elsewhere (set by the environment variable LEAN_DATA_FOLDER)"
        )
        assert answer.out.count("data folder") == 1


def test_a_failed_download(command: CommandLine, served: Serve) -> None:
    """The line is printed before the failure."""
    served(plan_start=DAYS[2])

    answer = command.run("download", "SPY", *MINUTES, "--data-folder", "data/../other")

    assert answer.code == 1
    assert answer.out.startswith(f"data folder: {command.folder}/other\n")


def test_json(command: CommandLine, served: Serve) -> None:
    """The key `data_folder` is an absolute path."""
    served()

    download = json.loads(command.run("download", "SPY", *MINUTES, "--json").out)
    plan = json.loads(command.run("download", "SPY", *MINUTES, "--json", "--dry-run").out)
    backtest = json.loads(command.run("backtest", "--symbols", "SPY", *MINUTES, "--engine", "smoke", "--json").out)

    folder = str(command.data)
    assert download["data_folder"] == plan["data_folder"] == folder
    assert backtest["data_folder"] == backtest["download"]["data_folder"] == folder


def test_a_project_in_another_workspace(command: CommandLine, served: Serve) -> None:
    """The data folder is that of the working directory, and the line says so."""
    served()
    project = command.folder / "ws" / "Mine"
    (project / "config").mkdir(parents=True)
    (project / "main.py").write_text("")
    (project.parent / "lean.json").write_text('{"data-folder": "data"}')
    (project / "config" / "parameters.py").write_text(
        f'symbols = ["SPY"]\nstart = "{MINUTES[3]}"\nend = "{MINUTES[5]}"\n'
    )

    line = command.run("backtest", "ws/Mine", "--engine", "smoke").out.splitlines()[0]

    assert line.startswith(
        f"data folder: {command.data} (of the working directory; the project is in another workspace"
    )
    assert str(project.parent / "lean.json") in line
