"""State that outlives a run: damaged files, a clock that was wrong, a disk that was full."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.cli_market import DAYS, MINUTES, Serve
from tests.support.command_line import ROOT, Answer, CommandLine

STATE_FILES = ["requests.sqlite", "ledger.sqlite", "http-cache.sqlite"]
FIRST = ("--resolution", "minute", "--start", str(DAYS[0]), "--end", str(DAYS[3]))
DAMAGE = {
    "nothing": b"",
    "text": b"this is not a database " * 500,
    "header": b"SQLite format 3\0" + bytes(4000),
    "half": b"",
}


def damage(path: Path, kind: str) -> None:
    """Replace a file's content."""
    content = path.read_bytes()
    assert content
    path.write_bytes(content[: len(content) // 2 + 7] if kind == "half" else DAMAGE[kind])
    for journal in path.parent.glob(f"{path.name}-*"):
        journal.unlink()


@pytest.fixture
def downloaded(command: CommandLine, served: Serve) -> Path:
    """The state folder after a download within a budget of requests."""
    served()
    command.set(BACKTEST_SERVER_REQUESTS_PER_MINUTE="50")
    assert command.run("download", "SPY", "AAPL", *FIRST).code == 0
    return command.data / ".backtest-server"


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("name", STATE_FILES)
def test_a_damaged_file_stops_no_command(command: CommandLine, downloaded: Path, name: str, kind: str) -> None:
    """It is renamed in its folder, with a warning, and the next run knows nothing of it."""
    damage(downloaded / name, kind)

    found = command.run("download", "SPY", "AAPL", *MINUTES)

    assert found.code == 0, found.err
    assert "unexpected" not in found.err
    asides = [path for path in downloaded.iterdir() if path.name.startswith(f"{name}.damaged-")]
    if kind != "nothing":  # an empty file is a new database
        assert len(asides) == 1
        assert f"renamed to {asides[0].name}" in found.out + found.err
    again = command.run("download", "SPY", "AAPL", *MINUTES)
    assert (again.code, "is damaged (" in again.err) == (0, False)
    assert "16 present" in again.out + again.err


@pytest.mark.parametrize("name", STATE_FILES)
def test_a_file_without_its_tables_stops_no_command(command: CommandLine, downloaded: Path, name: str) -> None:
    """Of the current version, but empty."""
    with closing(sqlite3.connect(downloaded / name)) as connection, connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for (table,) in tables:
            connection.execute(f"DROP TABLE {table}")
    assert tables

    found = command.run("download", "SPY", "AAPL", *MINUTES)

    assert found.code == 0, found.err
    assert "unexpected" not in found.err


def run_at(command: CommandLine, clock: str, *arguments: str) -> Answer:
    """Run a command with another system clock: an instant, or a shift such as ``+1d``."""
    program = shutil.which("faketime")
    if program is None:
        message = "a test with another system clock needs faketime (on Debian: apt-get install faketime)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    done = subprocess.run(
        [program, "-f", clock, sys.executable, "-m", "server", *arguments],
        cwd=command.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FAKETIME_DONT_FAKE_MONOTONIC": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        ("download", "SPY", *MINUTES),
        ("coverage", "SPY", *MINUTES),
        ("backtest", "--symbols", "SPY", *MINUTES),
        ("verify",),
        ("providers",),
        ("engines",),
        ("serve", "--port", "0"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_clock_before_1998_is_named(command: CommandLine, arguments: tuple[str, ...]) -> None:
    """By every command, before it does anything."""
    found = run_at(command, "1970-01-01 00:00:30", *arguments)

    assert (found.code, found.out) == (1, "")
    assert found.err == "error: the system clock says 1970-01-01 00:00 UTC; set it, and run again\n"
    assert command.files() == {}


def test_a_clock_that_jumped_makes_no_run_wait(command: CommandLine, served: Serve) -> None:
    """A day ahead, and then right again: the requests of the first run are not counted in the second."""
    server = served()
    command.set(BACKTEST_SERVER_REQUESTS_PER_MINUTE="2", BACKTEST_SERVER_CORPORATE_ACTIONS="off")
    ahead = run_at(command, "+1d", "download", "SPY", "AAPL", *FIRST)
    assert ahead.code == 0, ahead.err
    assert len(server.requests) == 2

    found = run_at(command, "+0", "download", "SPY", "AAPL", *MINUTES)

    assert found.code == 0, found.err
    assert "used up" not in found.err
    assert len(server.requests) == 4
