"""The command `bars`: formats, losses and exit codes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from datetime import date, datetime
from typing import Any

import pytest

from tests.support.command_line import CommandLine
from tests.support.lean_feed import Line, Question, content_of, questions

QUESTIONS = questions()
MODES = {"Raw": "raw", "Adjusted": "adjusted", "SplitAdjusted": "split-adjusted", "TotalReturn": "total-return"}
PRICES = ("open", "high", "low", "close")


def arguments_of(command: CommandLine, question: Question) -> list[str]:
    """Write the question's data folder, and return the command's arguments."""
    for path, content in question.files.items():
        file = command.data / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content_of(content))
    parameters, request = question.parameters, question.request
    found = ["bars", *question.symbols, "--resolution", question.resolution.value, "--mode", MODES[parameters["mode"]]]
    found += ["--start", str(request.start), "--end", str(request.end)]
    return found + (["--fill-forward"] if request.fill_forward else [])


def line_of(answer: dict[str, Any]) -> Line:
    """An object of the output in the form of the engine's lines."""
    what = answer["type"]
    if what == "bar":
        times = (datetime.fromisoformat(answer[name]) for name in ("start", "end"))
        return (what, *times, *(answer[name] for name in ("ticker", *PRICES, "volume", "filled")))
    day = date.fromisoformat(answer["day"])
    if what == "rename":
        assert answer["ticker"] == answer["new"]
        return ("renamed", day, answer["old"], answer["new"])
    keys = {"split": ("kind", "factor", "reference"), "dividend": ("amount", "reference"), "delisting": ("kind",)}
    return (what, day, answer["ticker"], *(answer[key] for key in keys[what]))


@pytest.mark.damaged_zips
@pytest.mark.parametrize("name", QUESTIONS)
def test_json_lines_are_what_the_engine_fed(command: CommandLine, name: str) -> None:
    """Each line is an object; the exit code is 0, and nothing is written."""
    question = QUESTIONS[name]
    arguments = arguments_of(command, question)
    before = command.files()

    answer = command.run(*arguments, "--format", "jsonl")

    assert answer.code == 0
    assert answer.errors == []
    assert [line_of(json.loads(line)) for line in answer.out.splitlines()] == question.lines
    assert command.files() == before


@pytest.mark.damaged_zips
@pytest.mark.parametrize(
    ("name", "loss"),
    [
        (
            "minute-bad-row",
            "equity/usa/minute/x/20131007_trade.zip (2013-10-07): LEAN loses 2 readable rows of that day",
        ),
        ("daily-bad-row", "equity/usa/daily/x.zip (2013-10-10): LEAN loses 1 readable row of that day"),
        ("daily-out-of-order", "equity/usa/daily/x.zip (2013-10-08): LEAN loses 1 readable row of that day"),
        ("daily-repeated", "equity/usa/daily/x.zip (2013-10-09): 1 repeated row"),
        ("daily-on-a-holiday", "equity/usa/daily/x.zip (2013-11-28): the exchange was closed"),
        ("hole-daily", "equity/usa/daily/x.zip (2013-10-08): no row for 1 trading day"),
        ("fractions", "equity/usa/minute/x/20131008_trade.zip (2013-10-08 to 2013-10-11): no file for 4 trading days"),
        ("events-dated-on-a-weekend", "equity/usa/factor_files/x.csv (2013-10-12): the exchange was closed"),
        ("events-without-a-reference-price", "equity/usa/factor_files/x.csv (2013-10-09 to 2013-10-11): the row of"),
        ("factor-file-with-a-bad-line", "equity/usa/factor_files/x.csv: the line 'garbage'"),
        ("map-file-garbage", "equity/usa/map_files/new.csv: the line 'garbage'"),
        ("map-file-begins-late", "equity/usa/map_files/x.csv (2013-10-07): LEAN reads the share from 2013-10-09 on"),
        ("map-file-without-a-last-row", "equity/usa/map_files/x.csv (2013-10-07 to 2013-10-11): LEAN reads nothing"),
    ],
)
def test_losses_are_warnings(command: CommandLine, name: str, loss: str) -> None:
    """On stderr, with file and days."""
    answer = command.run(*arguments_of(command, QUESTIONS[name]))

    assert answer.code == 0
    assert f"warning: {loss}" in answer.err


def test_csv_has_a_column_for_each_key(command: CommandLine) -> None:
    """Cells that an item does not have are empty."""
    answer = command.run(*arguments_of(command, QUESTIONS["events-raw"]), "--format", "csv")

    rows = list(csv.DictReader(answer.out.splitlines()))
    assert [row["type"] for row in rows] == ["bar", "split", "bar", "split", "bar", "dividend", "bar", "bar"]
    assert (rows[0]["start"], rows[0]["close"]) == ("2013-10-07T09:30:00", "100.0")
    assert (rows[1]["day"], rows[1]["kind"], rows[1]["factor"], rows[1]["open"]) == ("2013-10-08", "warning", "0.5", "")
    assert (rows[5]["amount"], rows[5]["reference"]) == ("0.5", "50.0")


def test_the_table_is_for_people(command: CommandLine) -> None:
    """Bars in columns, events as sentences."""
    answer = command.run(*arguments_of(command, QUESTIONS["events-raw"]))

    lines = answer.out.splitlines()
    assert lines[0].split() == ["start", "end", "ticker", "open", "high", "low", "close", "volume"]
    assert lines[1].split()[:5] == ["2013-10-07", "09:30:00", "2013-10-07", "16:00:00", "X"]
    assert lines[1].split()[5:] == ["99.0000", "102.0000", "98.0000", "100.0000", "1,000"]
    assert lines[2].split("X")[1].strip() == "split on the next trading day: factor 0.5, reference price 100"
    assert "dividend: $0.50 a share, reference price 50" in answer.out


WITHOUT_PYARROW = "import runpy, sys; sys.modules['pyarrow'] = None; runpy.run_module('server', run_name='__main__')"


def test_parquet_needs_pyarrow(command: CommandLine) -> None:
    """One line says how to install it, before anything is read."""
    arguments = [*arguments_of(command, QUESTIONS["events-raw"]), "--data-folder", str(command.data)]

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYARROW, *arguments, "--format", "parquet"], capture_output=True, text=True
    )

    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: --format parquet needs pyarrow, which is not installed; pip install pyarrow")


def test_parquet_has_the_columns_of_csv(command: CommandLine) -> None:
    """Numbers are doubles, and cells that an item does not have are null."""
    parquet = pytest.importorskip("pyarrow.parquet")
    arguments = [*arguments_of(command, QUESTIONS["events-raw"]), "--data-folder", str(command.data)]

    done = subprocess.run(
        [sys.executable, "-m", "server", *arguments, "--format", "parquet"], capture_output=True, check=True
    )

    rows = parquet.read_table(io.BytesIO(done.stdout)).to_pylist()
    assert [row["type"] for row in rows] == ["bar", "split", "bar", "split", "bar", "dividend", "bar", "bar"]
    assert (rows[0]["close"], rows[0]["filled"], rows[0]["day"]) == (100.0, False, None)
    assert (rows[1]["kind"], rows[1]["factor"], rows[1]["open"]) == ("warning", 0.5, None)


def test_days_outside_the_calendar(command: CommandLine) -> None:
    """The range is cut, with a warning."""
    answer = command.run("bars", "X", "--resolution", "daily", "--start", "1990-01-01", "--end", "1998-01-05")

    assert answer.code == 0
    assert "warning: the trading calendar is from 1998-01-02" in answer.err
    assert "equity/usa/daily/x.zip (1998-01-02 to 1998-01-05): no file for 2 trading days" in answer.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("bars",),
        ("bars", "not-a-symbol", "--resolution", "daily", "--start", "2013-10-07", "--end", "2013-10-11"),
        ("bars", "X", "--resolution", "daily", "--start", "2013-10-11", "--end", "2013-10-07"),
        ("bars", "X", "--resolution", "daily", "--start", "2013-10-07", "--end", "2013-10-11", "--mode", "back"),
        ("bars", "X", "--resolution", "weekly", "--start", "2013-10-07", "--end", "2013-10-11"),
    ],
    ids=["nothing", "symbol", "range", "mode", "resolution"],
)
def test_wrong_usage(command: CommandLine, arguments: tuple[str, ...]) -> None:
    """Exit code 2, and an error on stderr."""
    answer = command.run(*arguments)

    assert (answer.code, answer.out) == (2, "")
    assert "error:" in answer.err
