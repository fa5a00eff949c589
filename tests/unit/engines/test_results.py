"""Results folders of LEAN: how a run ended, and what the folder holds."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from server.core.errors import ConfigurationError
from server.engines.results import RunState, read_run
from tests.support.lean_runs import CANCELLED, ENGINE_START, log_text, result_of, write_run

NOW = datetime(2026, 11, 27, 14, tzinfo=UTC)
NOON, LAST_NOON = 1381161600, 1381507200  # 12:00 New York of 2013-10-07 and of 2013-10-11
RUNNING = {"Status": "Running", "RuntimeError": ""}
FAILED = {"Status": "RuntimeError", "RuntimeError": "2013-10-07 11:00:00 Runtime Error: bad\n in main.py: line 3\n"}
LOG = log_text(ENGINE_START, "Engine.Main(): Started 13:53")
QUIT = "ERROR:: AlgorithmManager.Run(): Algorithm state changed to Stopped at 10/07/2013 14:01:00"


def state_of(folder: Path, **options: bool) -> str:
    """The state of a run in a folder."""
    return read_run(folder, NOW, **options).state.value


def changed(path: Path, seconds: float) -> None:
    """Set the modification time of a file to a number of seconds before NOW."""
    moment = (NOW - timedelta(seconds=seconds)).timestamp()
    os.utime(path, (moment, moment))


@pytest.mark.parametrize(
    ("state", "messages", "expected"),
    [
        ({"Status": "Completed"}, (), "completed"),
        ({"Status": "Completed"}, (CANCELLED,), "interrupted"),
        ({"Status": "Completed"}, (CANCELLED, QUIT), "interrupted"),
        ({"Status": "Completed"}, (QUIT,), "completed"),
        ({"Status": "Stopped"}, (QUIT,), "completed"),
        ({"Status": "Completed"}, ("ERROR:: 2014-06-30 16:00:00 a line of the algorithm",), "completed"),
        ({"Status": "Completed"}, ("ERROR:: BacktestingResultHandler.SendFinalResult(): Error running",), "completed"),
        (FAILED, (), "failed"),
        (FAILED, (CANCELLED,), "failed"),
        ({"Status": "DeployError"}, (), "failed"),
        (RUNNING, ("ERROR:: Engine.Run(): Algorithm.Initialize() Error: bad",), "failed"),
        (RUNNING, (CANCELLED,), "interrupted"),
    ],
)
def test_state_with_a_log(tmp_path: Path, state: dict[str, str], messages: tuple[str, ...], expected: str) -> None:
    """The log's line of an interruption decides, not LEAN's status; errors of the run make it failed.

    The equity curve ends on the first of five days, which does not matter where there is a log.
    """
    result = result_of(state=state, equity=[[NOON, 100_000]])

    assert state_of(write_run(tmp_path, result=result, log=LOG + log_text(*messages), failed=[])) == expected


@pytest.mark.parametrize(
    ("time", "failed", "expected"),
    [
        (LAST_NOON, [], "completed"),
        (NOON, [], "interrupted"),
        (NOON, ["/equity/usa/minute/spy/20131008_quote.zip", "/equity/usa/hour/spy.zip"], "interrupted"),
        (NOON, ["/equity/usa/minute/spy/20131008_trade.zip"], "completed"),
        (NOON, ["/equity/usa/daily/nosuch.zip", "/equity/usa/hour/spy.zip"], "completed"),
    ],
)
def test_state_without_a_log(tmp_path: Path, time: int, failed: list[str], expected: str) -> None:
    """The equity curve must reach the algorithm's last day, unless missing trade bars explain that it does not."""
    assert state_of(write_run(tmp_path, result=result_of(equity=[[time, 100_000]]), failed=failed)) == expected


def test_an_end_without_trading_is_reached_before(tmp_path: Path) -> None:
    """An algorithm that ends on a Sunday has its last value on Friday."""
    result = result_of(end="2013-10-13", equity=[[LAST_NOON, 100_000]])

    assert state_of(write_run(tmp_path, result=result, failed=[])) == "completed"


@pytest.mark.parametrize(
    ("seconds", "ended", "expected"), [(119, False, "running"), (121, False, "interrupted"), (1, True, "interrupted")]
)
def test_running(tmp_path: Path, seconds: float, ended: bool, expected: str) -> None:
    """A run in progress changes its result every 30 seconds; one whose process has ended is not in progress."""
    write_run(tmp_path, result=result_of(state=RUNNING), log=LOG)
    changed(tmp_path / "run.json", seconds)

    assert state_of(tmp_path, ended=ended) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(10, "running"), (600, "interrupted")])
def test_a_result_that_is_not_whole(tmp_path: Path, seconds: float, expected: str) -> None:
    """LEAN rewrites the file in place: it is being written, or LEAN was killed meanwhile."""
    write_run(tmp_path, result=result_of(state=RUNNING), log=LOG)
    path = tmp_path / "run.json"
    path.write_text(path.read_text("utf-8")[:-40], "utf-8")
    changed(path, seconds)

    run = read_run(tmp_path, NOW)

    assert (run.state.value, run.id) == (expected, "run")
    assert "is not whole" in run.notes[0]


@pytest.mark.parametrize(
    ("messages", "state", "error"),
    [
        ((), "interrupted", None),
        (("ERROR:: X.InvalidSource(): File not found: /d/equity/usa/hour/spy.zip",), "interrupted", None),
        (("ERROR:: Engine.Run(): Algorithm.Initialize() Error: no module\n  at <module>",), "failed", "no module"),
    ],
)
def test_a_log_alone(tmp_path: Path, messages: tuple[str, ...], state: str, error: str | None) -> None:
    """A log that ends without results is an interrupted run, unless it has the error of the run."""
    run = read_run(write_run(tmp_path, log=LOG + log_text(*messages)), NOW)

    assert (run.state.value, run.error, run.verdict, run.id) == (state, error, None, None)


def test_the_range_of_a_run_without_a_result(tmp_path: Path) -> None:
    """The log has it, so a missing file of all days lacks its trading days."""
    dates = "Dates: Start: 10/04/2013 End: 10/08/2013 Cash: ¤100,000.00 MaximumRuntime: 100.00:00:00"
    not_found = "ERROR:: SubscriptionDataSourceReader.InvalidSource(): File not found: /d/equity/usa/hour/spy.zip"

    run = read_run(write_run(tmp_path, log=LOG + log_text(dates, not_found)), NOW)

    assert (run.start, run.end) == (date(2013, 10, 4), date(2013, 10, 8))
    [file] = run.missing
    assert file.days == (date(2013, 10, 4), date(2013, 10, 7), date(2013, 10, 8))


def test_what_lean_printed_has_its_abort(tmp_path: Path) -> None:
    """An abort before results is a failure; one after them is a note."""
    console = ["Unhandled exception. System.Exception: no file main.py", "   at QuantConnect.Queues.JobQueue.Next()"]
    alone = read_run(write_run(tmp_path / "a", log=LOG), NOW, console=console)
    after = read_run(write_run(tmp_path / "b", log=LOG, result=result_of(), failed=[]), NOW, console=console)

    assert (alone.state, alone.error) == (RunState.FAILED, "no file main.py")
    assert (after.state, after.error) == (RunState.COMPLETED, None)
    assert after.notes == ("LEAN's process was aborted after the results were written: no file main.py",)


def test_only_a_completed_run_has_a_verdict(tmp_path: Path) -> None:
    """An interrupted or failed run is worth nothing, whatever data it got."""
    completed = read_run(write_run(tmp_path / "a", result=result_of(), log=LOG, failed=[]), NOW)
    interrupted = read_run(write_run(tmp_path / "b", result=result_of(), log=LOG + log_text(CANCELLED)), NOW)

    assert (completed.verdict or "").startswith("complete: ")
    assert interrupted.verdict is None


def test_content(tmp_path: Path) -> None:
    """Figures, range, analysis, charts and equity are LEAN's; a value at midnight belongs to the day that ends."""
    midnight = int(datetime(2013, 10, 8, 4, tzinfo=UTC).timestamp())
    finding = {"name": "X", "issue": "flat", "sample": [1, {"a": 2.5}], "solutions": ["trade"]}
    equity = [[NOON, 1.0, 2.0, 0.5, 1.5], [midnight, 1.5, 2.0, 0.5, 1.75], {"x": LAST_NOON, "y": 3}]
    result = result_of(equity=equity, analysis=[finding])

    run = read_run(write_run(tmp_path, result=result, log=LOG, failed=[]), NOW)

    assert (run.start, run.end) == (date(2013, 10, 7), date(2013, 10, 11))
    assert (run.statistics, run.runtime_statistics) == ({"Net Profit": "1.500%"}, {"Equity": "$101,500.00"})
    assert run.analysis == [finding]
    assert run.equity == ((date(2013, 10, 7), date(2013, 10, 11)), (1.75, 3.0))
    assert msgspec.json.decode(msgspec.json.encode(run.charts)) == result["charts"]


def test_a_summary_is_read_where_there_is_no_more(tmp_path: Path) -> None:
    """A summary has state, statistics and a curve."""
    write_run(tmp_path, name="1234-summary", result=result_of(), log=LOG, failed=[])

    run = read_run(tmp_path, NOW)

    assert (run.state, run.id) == (RunState.COMPLETED, "1234")


def test_results_of_older_versions_have_capitals(tmp_path: Path) -> None:
    """Keys in Pascal case are read like those in camel case."""
    result = {"Statistics": {"Total Trades": "2"}, "State": {"Status": "Completed"}, "Charts": None, "Orders": {}}

    run = read_run(write_run(tmp_path, result=result, log=LOG, failed=[]), NOW)

    assert (run.state, run.statistics) == (RunState.COMPLETED, {"Total Trades": "2"})


def test_a_byte_order_mark_and_other_files_do_no_harm(tmp_path: Path) -> None:
    """The result is found among other JSON files, of which the configuration's id names it."""
    write_run(tmp_path, name="other", result=result_of(statistics={"Net Profit": "9%"}), log=LOG, failed=[])
    (tmp_path / "77.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(result_of()).encode())
    (tmp_path / "config").write_text('{"id": 77}')
    (tmp_path / "config.json").write_text('{"parameters": {}}')
    (tmp_path / "argv.json").write_text("[]")

    assert read_run(tmp_path, NOW).id == "77"


@pytest.mark.parametrize("files", [{}, {"notes.json": "{broken"}, {"log.txt": "not of LEAN"}, {"a.json": '{"a": 1}'}])
def test_a_folder_without_files_of_lean(tmp_path: Path, files: dict[str, str]) -> None:
    """It is the user's mistake, and one line says what to name."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    with pytest.raises(ConfigurationError, match=r"holds neither LEAN's log\.txt nor a result") as caught:
        read_run(tmp_path, NOW)
    assert "\n" not in str(caught.value)


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    """So is this."""
    with pytest.raises(ConfigurationError, match="there is no folder"):
        read_run(tmp_path / "nowhere", NOW)
