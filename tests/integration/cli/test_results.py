"""The command results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine
from tests.support.lean_runs import CANCELLED, ENGINE_START, log_text, result_of, write_run

LAST_NOON = 1381507200
ORDER = {
    "id": 1,
    "symbol": {"value": "SPY", "id": "SPY R735QTJ8XC9X"},
    "time": "2013-10-07T15:00:00Z",
    "quantity": 10.0,
    "status": 3,
    "price": 2.5,
    "tag": "größer",
}
EVENTS = [{"orderId": 1, "fillQuantity": 4.0, "fillPrice": 2.0}, {"orderId": 1, "fillQuantity": 6.0, "fillPrice": 3.0}]
FINDING = {"name": "X", "issue": "The curve is flat.", "sample": {"days": 3}, "solutions": ["Trade more."]}
FAILED = {"Status": "RuntimeError", "RuntimeError": "Runtime Error: bad\n  at on_data\n in main.py: line 12\n"}


def write(folder: Path) -> Path:
    """A completed run with a missing file, an order and a finding."""
    return write_run(
        folder,
        result=result_of(
            equity=[[LAST_NOON - 86_400, 100_000], [LAST_NOON, 101_500]], orders={"1": ORDER}, analysis=[FINDING]
        ),
        log=log_text(ENGINE_START),
        failed=["/equity/usa/daily/spy.zip"],
        events=EVENTS,
    )


def test_text(command: CommandLine) -> None:
    """The verdict comes first, then figures, LEAN's analysis, orders with their fills, and the curve."""
    write(command.folder / "run")

    answer = command.run("results", "show", "run")

    lines = answer.out.splitlines()
    assert (answer.code, answer.err) == (0, "")
    assert lines[0] == "gaps: 1 file missing (equity/usa/daily/spy.zip); the data itself was not checked"
    assert lines[1] == "run, completed, 2013-10-07 to 2013-10-11"
    order = [lines.index(line) for line in ("statistics", "data", "LEAN's analysis", "1 order", "equity in dollars")]
    assert order == sorted(order)
    assert "- The curve is flat." in lines
    assert "    try: Trade more." in lines
    row = next(line for line in lines if "SPY" in line and line.startswith("1 "))
    assert row.split() == ["1", "2013-10-07", "15:00:00", "SPY", "10", "filled", "10", "2.6000", "größer"]


def test_json(command: CommandLine) -> None:
    """One object, with LEAN's names and values in orders and charts."""
    write(command.folder / "run")

    answer = command.run("results", "show", "run", "--json")

    found = json.loads(answer.out)
    assert (answer.code, found["state"], found["error"]) == (0, "completed", None)
    assert found["verdict"].startswith("gaps: ")
    assert found["orders"] == {"1": {**ORDER, "fills": EVENTS}}
    assert found["charts"]["Strategy Equity"]["series"]["Equity"]["values"][1] == [LAST_NOON, 101_500]
    assert found["analysis"] == [FINDING]
    assert found["statistics"] == {"Net Profit": "1.500%"}
    assert found["data"] == {"points": None, "requests": None, "failed_requests": 1, "missing": 1, "benchmark": None}
    (missing,) = found["missing"]
    assert missing["path"] == "equity/usa/daily/spy.zip"
    assert missing["series"] == {"ticker": "SPY", "resolution": "daily", "data_type": "trade"}
    assert missing["days"] == ["2013-10-07", "2013-10-08", "2013-10-09", "2013-10-10", "2013-10-11"]


@pytest.mark.parametrize(
    ("state", "messages", "line"),
    [
        (FAILED, (), "failed: bad (main.py, line 12)"),
        ({"Status": "Completed"}, (CANCELLED,), "interrupted"),
        ({"Status": "Running"}, (), "running"),
    ],
)
def test_runs_that_did_not_complete(
    command: CommandLine, state: dict[str, str], messages: tuple[str, ...], line: str
) -> None:
    """They have no verdict; the exit code is 0 all the same."""
    log = log_text(ENGINE_START, *messages)
    write_run(command.folder / "run", result=result_of(state=state), log=log)

    answer = command.run("results", "show", "run")

    assert (answer.code, answer.out.splitlines()[0]) == (0, line)
    assert json.loads(command.run("results", "show", "run", "--json").out)["verdict"] is None


@pytest.mark.parametrize("folder", [".", "nowhere"])
def test_no_folder_of_lean(command: CommandLine, folder: str) -> None:
    """Exit code 2 with one line, and nothing is written."""
    answer = command.run("results", "show", folder)

    assert (answer.code, answer.out, len(answer.errors)) == (2, "", 1)
    assert len(answer.err.splitlines()) == 1
    assert command.files() == {}


def test_help(command: CommandLine) -> None:
    """The group explains itself."""
    assert "show" in command.run("results", "--help").out
    assert command.run("results").code == 2
    assert command.run("results", "show").code == 2
