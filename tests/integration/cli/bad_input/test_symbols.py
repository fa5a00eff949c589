"""Symbols in mixed case, with another separator, and in files: reported at once by every command, without a request."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bad_input import RANGE, refused
from tests.support.command_line import CommandLine
from tests.support.polygon_server import PolygonServer

COMMANDS = {
    "download": ("download", *RANGE),
    "dry run": ("download", *RANGE, "--dry-run"),
    "coverage": ("coverage", *RANGE),
    "verify": ("verify", "--resolution", "minute"),
    "factor-files": ("factor-files",),
    "backtest": ("backtest", *RANGE, "--engine", "smoke"),
}


def arguments(name: str, *symbols: str) -> tuple[str, ...]:
    """The arguments of a command for some symbols."""
    return (*COMMANDS[name], *(["--symbols", ",".join(symbols)] if name == "backtest" else symbols))


@pytest.mark.parametrize("name", COMMANDS)
def test_mixed_case(command: CommandLine, server: PolygonServer, name: str) -> None:
    """A preferred share's ticker would be stored under another security's name."""
    line = refused(command, server, *arguments(name, "SPY", "BACpB"))

    assert "'BACpB' mixes capitals and lower case" in line
    assert "write BACPB if you mean that one" in line


@pytest.mark.parametrize("name", COMMANDS)
def test_all_of_several(command: CommandLine, server: PolygonServer, name: str) -> None:
    """One line for each, of arguments and of files."""
    (command.folder / "symbols.txt").write_bytes(b"\xef\xbb\xbf# mine\r\nspy\r\nBRK/B\r\n\r\nIbm\r\n")

    answer = command.run(*arguments(name, "@symbols.txt", "BRK-B"))

    lines = answer.err.splitlines()
    assert answer.code == 2
    assert answer.out == ""
    assert lines[0] == "error: symbols.txt line 3: BRK/B is not a US equity symbol; did you mean BRK.B?"
    assert lines[1].startswith("error: symbols.txt line 5: Ibm mixes capitals and lower case")
    assert lines[2] == "error: 'BRK-B' is not a US equity symbol; did you mean BRK.B?"
    assert len(lines) == 3
    assert server.requests == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_that_does_not_exist(command: CommandLine, server: PolygonServer, name: str) -> None:
    """One line that names it."""
    assert "there is no file none.txt" in refused(command, server, *arguments(name, "@none.txt"))


def test_a_file_and_lower_case(command: CommandLine, server: PolygonServer) -> None:
    """A column of a file is read, and lower case is the same symbol."""
    Path("lists").mkdir()
    Path("lists/mine.csv").write_text("Name,Ticker\nThe market,spy\n")

    answer = command.run("download", "@lists/mine.csv", *RANGE)
    backtest = command.run("backtest", "--symbols", "@lists/mine.csv", *RANGE, "--engine", "smoke")

    assert (answer.code, backtest.code) == (0, 0)
    assert (command.data / "equity/usa/minute/spy/20240305_trade.zip").is_file()


def test_parameters_of_a_project(command: CommandLine, server: PolygonServer) -> None:
    """File, line and every symbol are in the error."""
    (command.folder / "project/config/parameters.py").write_text(
        'symbols = ["SPY", "Ibm", "BRK-B"]\nstart = end = "2024-03-05"\n'
    )

    line = refused(command, server, "backtest", "project")

    assert "parameters.py:1: symbols does not fit: 'Ibm' mixes" in line
    assert "did you mean BRK.B?" in line
