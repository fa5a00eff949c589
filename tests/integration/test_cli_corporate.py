"""Factor and map files on the command line: coverage shows them, verify names damaged ones."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine
from tests.support.harness import sessions
from tests.support.market import Market
from tests.support.polygon_server import KEY, PolygonServer

DAYS = sessions(date(2024, 3, 4), 5)
MARKET = Market.synthetic(["SPY"], DAYS, bars_per_day=5)
MINUTES = ("--resolution", "minute", "--start", str(DAYS[0]), "--end", str(DAYS[-1]))
FACTORS = "19980102,0.49,0.5,1\n20240305,0.49,0.5,100\n20240606,0.98,1,50\n20501231,1,1,0\n"
"""Before 2024-03-06 a 2:1 split, and half the close of 100 dollars; before 2024-06-07 one dollar."""


@pytest.fixture
def command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, polygon_server: object
) -> CommandLine:
    """The command line with a key, a vendor, and five days of SPY's minutes in the data folder."""
    found = CommandLine(tmp_path, capsys, monkeypatch)
    server: PolygonServer = polygon_server(MARKET)  # type: ignore[operator]
    found.set(POLYGON_API_KEY=KEY, POLYGON_API_URL=server.url)
    assert found.run("download", "SPY", *MINUTES).code == 0
    return found


def put(command: CommandLine, kind: str, symbol: str, text: str) -> Path:
    path = command.data / f"equity/usa/{kind}_files/{symbol}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# --- coverage ---


def test_coverage_says_what_the_files_hold(command: CommandLine) -> None:
    """A line below each calendar; a missing file changes no exit code."""
    assert "no factor file; no map file" in command.run("coverage", "SPY", *MINUTES).out
    put(command, "factor", "spy", FACTORS)
    put(command, "map", "spy", "19980102,spy,P\n20501231,spy,P\n")

    answer = command.run("coverage", "SPY", *MINUTES)

    line = "factor file from 1998-01-02: 1 split, 2 dividends, the newest on 2024-06-07; map file: SPY from 1998-01-02"
    assert line in answer.out.splitlines()
    assert answer.code == 0


def test_coverage_in_json_has_the_events_of_the_range(command: CommandLine) -> None:
    """The counts are the whole file's."""
    put(command, "factor", "spy", FACTORS)

    found = json.loads(command.run("coverage", "SPY", *MINUTES, "--json").out)["symbols"]["SPY"]

    assert found["factor_file"] == {
        "first_day": "1998-01-02",
        "last_event": "2024-06-07",
        "splits": 1,
        "dividends": 2,
        "events": [{"day": "2024-03-06", "dividend": 50.0, "split": "2:1"}],
        "damaged": None,
    }
    assert found["map_file"] is None


def test_coverage_says_that_a_file_is_damaged(command: CommandLine) -> None:
    """The command is about days, so the exit code stays."""
    put(command, "factor", "spy", "rubbish")

    answer = command.run("coverage", "SPY", *MINUTES)

    assert "factor file damaged: the line 'rubbish' is not a row of a factor file" in answer.out
    assert answer.code == 0


# --- verify ---


def test_verify_opens_factor_and_map_files(command: CommandLine) -> None:
    """It counts them apart, and says nothing where none exist."""
    verify = ("verify", "--resolution", "minute")
    assert "map files" not in command.run(*verify).out
    put(command, "factor", "spy", FACTORS)
    put(command, "map", "spy", "19980102,spy,P\n20501231,spy,P\n")

    answer = command.run(*verify)

    assert (answer.code, answer.errors) == (0, [])
    assert answer.out.splitlines() == ["5 minute files read, 0 damaged", "2 factor and map files read, 0 damaged"]


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        ("factor", "19980102,1,1,1\n20501231;1;1;0\n", "the line '20501231;1;1;0' is not a row of a factor file"),
        ("factor", "20501231,1,1,0\n19980102,1,1,1\n", "the line '19980102,1,1,1' is not later than the one before it"),
        ("factor", FACTORS.replace(",100\n", ",0\n"), "the row of 2024-03-05 has an event and the reference price 0"),
        ("factor", "20240306,1,1,1\n20501231,1,1,0\n", f"begins on 2024-03-06, but there are bars from {DAYS[0]} on"),
        ("map", "19980102,spy\n20501231\n", "the line '20501231' is not a row of a map file"),
        ("map", "20240305,spy\n20501231,spy\n", f"begins on 2024-03-05, but there are bars from {DAYS[0]} on"),
    ],
    ids=["line", "order", "reference", "late", "map-line", "map-late"],
)
def test_verify_names_damaged_ones(command: CommandLine, kind: str, text: str, says: str) -> None:
    """Exit code 1, the file and the reason, and nothing is changed, with --repair neither; others are not looked at."""
    path = put(command, kind, "spy", text)

    for more in ((), ("--repair",)):
        answer = command.run("verify", "--resolution", "minute", *more)
        assert answer.code == 1
        (line,) = answer.errors
        assert str(path) in line
        assert says in line
    assert path.read_text() == text
    found = json.loads(command.run("verify", "--resolution", "minute", "--json").out)
    (damaged,) = found["factor_and_map_files"]["damaged"]
    assert (damaged["path"], says in damaged["reason"]) == (str(path), True)
    assert (found["damaged"], found["files"], found["factor_and_map_files"]["files"]) == ([], 5, 1)
    assert command.run("verify", "AAPL", "--resolution", "minute").code == 0


def test_leans_samples_are_verified_whole(command: CommandLine, lean_sample_data: Path) -> None:
    """No false alarm on the files that LEAN comes with, with daily bars since 1998."""
    usa = command.data / "equity/usa"
    for folder in ("daily", "factor_files", "map_files"):
        shutil.copytree(lean_sample_data / "equity/usa" / folder, usa / folder)

    answer = command.run("verify", "AAPL", "SPY", "--resolution", "daily")

    assert answer.errors == []
    assert "4 factor and map files read, 0 damaged" in answer.out
