"""The stand-in for LEAN's launcher fails and ends as the real one did in the recorded runs."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.engines.results import RunState
from server.trading_calendar import USEquityTradingCalendar
from tests.support.stand_in_lean import config_check, reference_files
from tests.support.stand_in_lean.install import StandIn
from tests.support.stand_in_runs import (
    DAILY,
    DAYS,
    MINUTES,
    PRICES,
    LauncherRun,
    interrupt,
    wait_until,
    write_minutes,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in's programs are scripts")

NewRun = Callable[..., LauncherRun]


FAILS_TO_START = """from AlgorithmImports import *
class Algorithm(QCAlgorithm):
    def initialize(self):
        raise ValueError("bad")
"""


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("class Broken(QCAlgorithm)\n", "expected ':' (main.py, line 1)"),
        ("import no_such_package\n", "No module named 'no_such_package' (main.py, line 1)"),
        ("x = 1\n", "Please ensure that one class inherits from QCAlgorithm. (main.py)"),
        (FAILS_TO_START, "bad (main.py, line 4)"),
    ],
)
def test_algorithms_that_cannot_start(new_run: NewRun, source: str, error: str) -> None:
    """Exit 1, a result with the error (recorded: python-syntax-error, -no-algorithm-class, -initialize-error)."""
    run = new_run(source=source).run()

    read = run.read()
    assert (run.exit_code, read.state, read.error) == (1, RunState.FAILED, error)


def test_a_runtime_error(new_run: NewRun, reference_data: Path) -> None:
    """Exit 1, with the file and line (recorded: python-runtime-error)."""
    write_minutes(reference_data, "spy", PRICES)

    run = new_run(MINUTES, marker="runtime-error line 6 no such key").run()

    read = run.read()
    assert (run.exit_code, read.state, read.error) == (1, RunState.FAILED, "no such key (main.py, line 6)")
    assert read.equity.dates[-1] < DAYS[-1]


@pytest.mark.parametrize("missing", [reference_files.HOURS, reference_files.PROPERTIES])
def test_without_reference_data_there_is_no_backtest(new_run: NewRun, reference_data: Path, missing: str) -> None:
    """Recorded: no-market-hours."""
    (reference_data / missing).unlink()

    run = new_run(DAILY).run()

    read = run.read()
    assert (run.exit_code, read.state) == (1, RunState.FAILED)
    assert f"{reference_data}/{missing}" in (read.error or "")


def test_python_without_pandas(new_run: NewRun, stand_in: StandIn, tmp_path: Path) -> None:
    """LEAN's error names neither pandas nor numpy (recorded: python-without-pandas)."""
    python = stand_in.bin / "python3"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    stand_in.behave(check_pandas=True)

    run = new_run(DAILY).run()

    assert run.exit_code == 1
    assert run.read().error == "The type initializer for 'QuantConnect.Python.PandasConverter' threw an exception."


def test_python_needs_its_library(new_run: NewRun, tmp_path: Path) -> None:
    """PYTHONNET_PYDLL names a file."""
    run = new_run(DAILY)
    run.environ["PYTHONNET_PYDLL"] = str(tmp_path / "nothing.so")

    assert run.run().exit_code == -signal.SIGABRT
    assert "PythonDLL was not set" in run.stderr


def test_an_unknown_option_aborts(new_run: NewRun) -> None:
    """Recorded: wrong-option."""
    run = new_run(DAILY).run("--foo", "bar")

    assert run.exit_code == -signal.SIGABRT
    assert "Unrecognized option '--foo'" in run.stderr
    assert not run.results.exists()


@pytest.mark.parametrize("key", sorted(config_check.REQUIRED))
def test_each_key_of_the_configuration_is_needed(key: str) -> None:
    """All keys of results/completed/config.json, and nothing else."""
    config: dict[str, Any] = dict.fromkeys(config_check.REQUIRED, "")
    del config[key]

    assert any(f"'{key}'" in problem or key == "environments" for problem in config_check.problems(config))


def test_the_recorded_configuration_is_complete(recorded_lean_runs: Path) -> None:
    """It ran, so it is accepted; every key of it is needed."""
    config = json.loads((recorded_lean_runs / "completed/config.json").read_text())

    assert list(config_check.problems(config)) == []
    assert config.keys() == config_check.REQUIRED
    assert config["environments"]["backtesting"].keys() == config_check.REQUIRED_OF_ENVIRONMENT


@pytest.mark.parametrize("key", ["polygon-api-key", "massive-api-key"])
def test_a_vendors_key_in_the_configuration_or_environment_is_refused(new_run: NewRun, key: str) -> None:
    """So that a test notices it."""
    run = new_run(DAILY, **{key: "secret"}).run()
    assert (run.exit_code, key in run.stderr) == (97, True)

    run = new_run(DAILY)
    run.environ[key.upper().replace("-", "_")] = "secret"
    assert run.run().exit_code == 97


def test_an_abort_after_the_results(new_run: NewRun) -> None:
    """The results are whole."""
    run = new_run(DAILY, marker="abort-after-results out of memory").run()

    read = run.read()
    assert (run.exit_code, read.state) == (-signal.SIGABRT, RunState.COMPLETED)
    assert read.notes == ("LEAN's process was aborted after the results were written: out of memory",)


def test_an_abort_without_results(new_run: NewRun) -> None:
    """The exception is on the console only."""
    run = new_run(DAILY, marker="abort out of memory").run()

    read = run.read()
    assert (run.exit_code, read.state, read.error) == (-signal.SIGABRT, RunState.FAILED, "out of memory")


def test_sigint_while_bars_run(new_run: NewRun) -> None:
    """Exit 0, Completed, and the line in the log (recorded: interrupted-sigint)."""
    run = new_run(DAILY, marker="slow 60")
    process = run.start()
    wait_until(lambda: (run.results / "run.json").exists())
    interrupt(process)
    run.end(process)

    read = run.read()
    assert (run.exit_code, run.result()["state"]["Status"], read.state) == (0, "Completed", RunState.INTERRUPTED)
    assert read.equity.dates[-1] < DAYS[-1]


def test_sigint_before_the_first_bar_is_ignored(new_run: NewRun, stand_in: StandIn) -> None:
    """From the start of the process on (fact 3)."""
    run = new_run(DAILY, marker="startup 3")
    process = run.start()
    wait_until(lambda: stand_in.calls)
    interrupt(process)
    wait_until(lambda: (run.results / "log.txt").exists())
    interrupt(process)

    assert run.end(process).read().state is RunState.COMPLETED


def test_sigterm_ends_at_once(new_run: NewRun) -> None:
    """Without results; the lists of requests are empty (recorded: terminated-sigterm)."""
    run = new_run(DAILY, marker="slow 60")
    process = run.start()
    wait_until(lambda: "Adding internal" in _text(run.results / "log.txt"))
    interrupt(process, signal.SIGTERM)
    run.end(process)

    assert (run.exit_code, run.listed("failed"), run.listed("succeeded")) == (-signal.SIGTERM, [], [])
    assert run.read().state is RunState.INTERRUPTED


def test_sigint_can_be_ignored(new_run: NewRun) -> None:
    """An algorithm that never returns is killed only."""
    run = new_run(DAILY, marker="slow 60\n# stand-in: ignore-sigint\n# stand-in: ignore-sigterm")
    process = run.start()
    wait_until(lambda: (run.results / "run.json").exists())
    interrupt(process)
    interrupt(process, signal.SIGTERM)
    written = (run.results / "run.json").stat().st_mtime_ns
    wait_until(lambda: (run.results / "run.json").stat().st_mtime_ns > written)

    interrupt(process, signal.SIGKILL)
    assert run.end(process).exit_code == -signal.SIGKILL


def test_quit_is_a_completed_run(new_run: NewRun) -> None:
    """It logs a state Stopped, and is no interruption."""
    read = new_run(DAILY, marker="quit").run().read()

    assert read.state is RunState.COMPLETED
    assert read.equity.dates[-1] < DAYS[-1]


def test_the_result_while_bars_run(new_run: NewRun, recorded_lean_runs: Path) -> None:
    """Rewritten in place, with the keys and charts of the recorded one."""
    recorded = json.loads((recorded_lean_runs / "rewritten-while-running/after-8-seconds.json").read_text())
    run = new_run(DAILY, marker="slow 60")
    process = run.start()
    texts: list[str] = []  # the file is rewritten in place, so it may be cut

    def whole() -> bool:
        texts.append(_text(run.results / "run.json"))
        return texts[-1].endswith("\n}")

    wait_until(whole)
    interrupt(process, signal.SIGKILL)
    run.end(process)

    result = json.loads(texts[-1])
    assert result["state"]["Status"] == "Running"
    assert result.keys() == recorded.keys()
    assert result["state"].keys() == recorded["state"].keys()
    assert result["charts"].keys() == recorded["charts"].keys()


def test_the_whole_result_has_the_recorded_shape(new_run: NewRun, recorded_lean_runs: Path) -> None:
    """Keys of result, state, statistics, configuration, charts and orders are those of results/completed."""
    recorded = json.loads((recorded_lean_runs / "completed/results/completed.json").read_text())
    ours = new_run(DAILY).run().result()

    assert ours.keys() == recorded.keys()
    for key in ("state", "statistics", "runtimeStatistics", "algorithmConfiguration", "serverStatistics"):
        assert ours[key].keys() == recorded[key].keys()
    assert ours["totalPerformance"].keys() == recorded["totalPerformance"].keys()
    for key in ("tradeStatistics", "portfolioStatistics"):
        assert ours["totalPerformance"][key].keys() == recorded["totalPerformance"][key].keys()
    assert ours["charts"].keys() <= recorded["charts"].keys()
    assert ours["orders"]["1"].keys() == recorded["orders"]["1"].keys()


def test_holidays_are_the_calendars() -> None:
    """Those that the stand-in writes by rule are those of the product's list."""
    calendar = USEquityTradingCalendar.shipped()
    first, last = reference_files.holidays()[0], calendar.last_day
    ours = {day for day in reference_files.holidays() if day <= last}
    days = set(calendar.trading_days(max(first, calendar.first_day), last))

    assert not ours & days


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""
