"""A vendor that refuses or cannot be reached, and a data folder that cannot be written."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from tests.support import faults
from tests.support.bad_input import DAY, DOWNLOAD, RANGE, STATE, refused
from tests.support.command_line import CommandLine
from tests.support.polygon_server import PolygonServer


def only_state(command: CommandLine, before: dict[str, Any]) -> bool:
    """Whether nothing but the server's own state was added."""
    after = command.files()
    added = {path for path in after if path not in before}
    return all(after[path] == before[path] for path in before) and all(
        path == "data" or path.startswith(f"data/{STATE}") for path in added
    )


def test_no_key(command: CommandLine, server: PolygonServer) -> None:
    """Nothing is sent and nothing written, not even a lock or a log; the data folder is not made."""
    command.set(POLYGON_API_KEY="")
    for folder in ("data", "not-there"):
        before = command.files()

        answer = command.run(*DOWNLOAD, "--data-folder", folder)

        assert answer.code == 1
        (line,) = answer.err.splitlines()
        assert "there is no Polygon API key" in line
        assert "POLYGON_API_KEY" in line
        assert command.files() == before
    assert server.requests == []


def test_no_key_in_a_backtest(command: CommandLine, server: PolygonServer) -> None:
    """The same."""
    command.set(POLYGON_API_KEY="")
    before = command.files()

    answer = command.run("backtest", "--symbols", "SPY", *RANGE)

    assert answer.code == 1
    (line,) = answer.errors
    assert "there is no Polygon API key" in line
    assert command.files() == before


def test_a_wrong_key(command: CommandLine, server: PolygonServer) -> None:
    """One request, the vendor's words, no file of LEAN's."""
    command.set(POLYGON_API_KEY="wrong-key-0815")
    before = command.files()

    answer = command.run(*DOWNLOAD)

    assert answer.code == 1
    (line,) = answer.errors
    assert faults.UNKNOWN_KEY in line
    assert "wrong-key-0815" not in answer.out + answer.err
    assert len(server.requests) == 1
    assert command.files() == before


@pytest.mark.parametrize("key", ["t2o words", "l1ne\n3nd", "schlüssel"])
def test_a_key_that_no_header_can_carry(command: CommandLine, server: PolygonServer, key: str) -> None:
    """It is refused without being shown."""
    command.set(POLYGON_API_KEY=key)

    line = refused(command, server, *DOWNLOAD)

    assert "api-key" in line
    assert not any(part in line for part in key.split())


def test_a_dead_host(command: CommandLine) -> None:
    """It is tried a few times and given up, with the address and what to check."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    command.set(POLYGON_API_URL=f"http://127.0.0.1:{port}")
    before = command.files()

    answer = command.run(*DOWNLOAD)

    assert answer.code == 1
    (line,) = answer.errors
    assert f"http://127.0.0.1:{port}" in line
    assert "no connection; check the network and polygon-api-url" in line
    assert command.files() == before


def test_a_dead_host_and_no_data_folder(command: CommandLine) -> None:
    """It is not made for a run that sent no request."""
    command.set(POLYGON_API_URL="http://127.0.0.1:9")
    before = command.files()

    assert command.run(*DOWNLOAD, "--data-folder", "not/there").code == 1

    assert {path for path in command.files() if path not in before} <= {"not"}


def test_a_first_run_that_was_answered_keeps_its_state(command: CommandLine, server: PolygonServer) -> None:
    """What was asked counts for the budget, and cached responses are not requested again."""
    server.faults.append(faults.not_entitled())

    assert command.run(*DOWNLOAD).code == 1

    assert (command.data / STATE / "http-cache.sqlite").exists()


def test_a_data_folder_below_a_file(command: CommandLine, server: PolygonServer) -> None:
    """Nothing is sent for what could not be kept."""
    (command.folder / "file").write_text("mine")
    for folder in ("file", "file/data"):
        before = command.files()

        answer = command.run(*DOWNLOAD, "--data-folder", folder)

        assert answer.code == 1
        (line,) = answer.errors
        assert str(command.folder / folder) in line
        assert "a file is in the place of a folder" in line
        assert command.files() == before
    assert server.requests == []


@pytest.mark.parametrize("place", ["equity", "equity/usa/minute", "equity/usa/minute/spy", STATE])
def test_a_file_where_a_folder_is_needed(command: CommandLine, server: PolygonServer, place: str) -> None:
    """It is named and stays as it is."""
    path = command.data / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    before = command.files()

    answer = command.run(*DOWNLOAD)

    assert answer.code == 1
    assert len(answer.errors) == 1
    assert "a file is in the place of a folder" in answer.errors[0]
    assert only_state(command, before)


@pytest.mark.damaged_zips
def test_a_folder_where_a_file_is_to_stand(command: CommandLine, server: PolygonServer) -> None:
    """As above."""
    path = command.data / "equity" / "usa" / "daily" / "spy.zip"
    path.mkdir(parents=True)
    (path / "mine").write_text("mine")
    before = command.files()

    answer = command.run("download", "SPY", "--resolution", "daily", *RANGE[2:])

    assert answer.code == 1
    assert len(answer.errors) == 1
    assert "a folder is in the place of a file" in answer.errors[0]
    assert only_state(command, before)


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_a_data_folder_that_is_no_path(command: CommandLine, server: PolygonServer, path: str) -> None:
    """An unset shell variable does not make the working folder one."""
    assert "it names no file or folder" in refused(command, server, *DOWNLOAD, "--data-folder", path)


def test_an_unknown_symbol_is_never_empty(command: CommandLine, server: PolygonServer) -> None:
    """A failure on every run, missing in the coverage, and no backtest."""
    arguments = ("--symbols", "SPY,SPYY", *RANGE, "--engine", "smoke", "--json")
    for _ in range(2):
        answer = command.run("download", "SPYY", *RANGE)
        assert answer.code == 1
        (line,) = answer.errors
        assert "Polygon does not know SPYY" in line
        assert str(DAY) in line

    coverage = command.run("coverage", "SPYY", *RANGE, "--json")
    assert coverage.code == 1
    assert json.loads(coverage.out)["symbols"]["SPYY"]["days"] == {str(DAY): "missing"}

    backtest = command.run("backtest", *arguments)
    result = json.loads(backtest.out)
    assert (backtest.code, result["state"], result["engine"]) == (1, "failed", None)
    assert result["download"]["days_failed"] == 1


def test_a_bad_bar_is_named(command: CommandLine, server: PolygonServer) -> None:
    """Symbol, day, time and field, in one line; the exit code is 1."""
    server.faults.append(faults.null_field("c"))
    answer = command.run(*DOWNLOAD)

    assert answer.code == 1
    (line,) = answer.errors
    assert f"Polygon's answer about SPY minute {DAY} cannot be used" in line
    assert f"the bar of {DAY} 09:31:00 New York has no close" in line
    assert command.run(*DOWNLOAD).code == 0
