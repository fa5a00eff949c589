"""Recorded runs of the real engine: how each of them ended, and what its folder holds."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from server.core.errors import ConfigurationError
from server.engines.results import LeanRun, read_run
from tests.support.recorded_endings import RUNS, Expected, ending

NOW = datetime(2027, 1, 1, tzinfo=UTC)
"""Long after the runs, so that none is in progress."""


ABORTED = {"python-file-missing": Expected("interrupted"), "wrong-option": None}
"""Runs whose error only the console has: what their folder alone reads as; None where LEAN wrote nothing."""

LOGLESS = {"python-file-missing", "wrong-option", "python-terminated-sigterm", "terminated-sigterm"}
"""Runs without a result."""


def folder_of(recorded: Path, name: str) -> Path:
    """The folder that LEAN wrote."""
    inner = recorded / name / "results"
    return inner if inner.is_dir() else recorded / name


def read(recorded: Path, name: str) -> LeanRun:
    """Read a run's folder, with nothing of what LEAN printed."""
    return read_run(folder_of(recorded, name), NOW)


def original(recorded: Path, name: str) -> dict[str, Any]:
    """A run's result as LEAN wrote it."""
    found: dict[str, Any] = json.loads((folder_of(recorded, name) / f"{name}.json").read_bytes())
    return found


def test_every_recorded_run_is_in_the_table(recorded_lean_runs: Path) -> None:
    """No run is left out."""
    assert {path.name for path in recorded_lean_runs.iterdir()} == RUNS.keys()


@pytest.mark.parametrize("name", sorted(RUNS))
def test_ending(recorded_lean_runs: Path, name: str) -> None:
    """State, verdict and error, with what LEAN printed on stderr, which the engines have."""
    stderr = recorded_lean_runs / name / "stderr.txt"
    console = stderr.read_text("utf-8").splitlines() if stderr.exists() else []

    run = read_run(folder_of(recorded_lean_runs, name), NOW, console=console, ended=True)

    assert ending(run) == RUNS[name]


@pytest.mark.parametrize("name", sorted(RUNS))
def test_ending_by_the_folder_alone(recorded_lean_runs: Path, name: str) -> None:
    """The folder is enough, but for an abort before LEAN wrote a result."""
    expected = ABORTED.get(name, RUNS[name])
    if expected is None:
        with pytest.raises(ConfigurationError, match="holds neither"):
            read(recorded_lean_runs, name)
    else:
        assert ending(read(recorded_lean_runs, name)) == expected


@pytest.mark.parametrize("name", sorted(RUNS.keys() - LOGLESS - {"rewritten-while-running"}))
def test_state_without_the_log(recorded_lean_runs: Path, tmp_path: Path, name: str) -> None:
    """Result and data requests alone give the same state, of runs that were interrupted and of those with gaps."""
    for path in folder_of(recorded_lean_runs, name).iterdir():
        if path.name != "log.txt":
            (tmp_path / path.name).symlink_to(path)

    assert read_run(tmp_path, NOW).state.value == RUNS[name].state


@pytest.mark.parametrize("name", sorted(RUNS.keys() - LOGLESS - {"rewritten-while-running"}))
def test_log_and_result_are_enough(recorded_lean_runs: Path, tmp_path: Path, name: str) -> None:
    """Without lists, counts and order events, the log and the result give the same ending."""
    for file in ("log.txt", f"{name}.json"):
        (tmp_path / file).symlink_to(folder_of(recorded_lean_runs, name) / file)

    run = read_run(tmp_path, NOW)

    assert ending(run)._replace(missing=RUNS[name].missing) == RUNS[name]
    # Of some requests the log has only the number, in which a repeated one counts again.
    assert len(run.missing) + run.requests.unlisted >= sum(RUNS[name].missing)


@pytest.mark.parametrize("name", sorted(RUNS.keys() - LOGLESS - {"rewritten-while-running"}))
def test_content_is_leans(recorded_lean_runs: Path, name: str) -> None:
    """Statistics, charts, orders and analysis keep LEAN's names and values."""
    run, result = read(recorded_lean_runs, name), original(recorded_lean_runs, name)

    assert run.statistics == result["statistics"]
    assert run.runtime_statistics == result["runtimeStatistics"]
    assert msgspec.json.decode(msgspec.json.encode(run.charts)) == result["charts"]
    assert {key: {**order, "fills": None} for key, order in run.orders.items()} == {
        key: {**order, "fills": None} for key, order in result["orders"].items()
    }
    assert run.analysis == (result.get("analysis") or [])
    assert all({"name", "issue", "sample", "solutions"} <= finding.keys() for finding in run.analysis)


@pytest.mark.parametrize("name", sorted(RUNS.keys() - LOGLESS - {"rewritten-while-running"}))
def test_fills_add_up_to_the_orders(recorded_lean_runs: Path, name: str) -> None:
    """The fills of a filled order add up to its quantity, at its price; others have none."""
    for order in read(recorded_lean_runs, name).orders.values():
        fills = order["fills"]
        if order["status"] == 3:
            assert sum(fill["fillQuantity"] for fill in fills) == order["quantity"]
            assert {fill["fillPrice"] for fill in fills} == {order["price"]}
        else:
            assert fills == []


@pytest.mark.parametrize("name", sorted(RUNS.keys() - {"wrong-option", "rewritten-while-running"}))
def test_missing_files_are_the_failed_requests(recorded_lean_runs: Path, name: str) -> None:
    """Each failed request is named once; the corrupt zip, which LEAN counts as a success, is named too."""
    folder = folder_of(recorded_lean_runs, name)
    failed = {line[1:] for path in folder.glob("failed-data-*") for line in path.read_text().split()}
    if name == "corrupt-zip":
        failed.add("equity/usa/minute/spy/20131008_trade.zip")
    paths = [file.path for file in read(recorded_lean_runs, name).missing]

    assert len(paths) == len(set(paths))
    if "sigterm" not in name:  # those lists are empty: LEAN had no time to write them, and the log has the files
        assert set(paths) == failed


@pytest.mark.parametrize("name", ["python-terminated-sigterm", "terminated-sigterm"])
def test_the_days_of_a_run_without_a_result(recorded_lean_runs: Path, name: str) -> None:
    """The log has the algorithm's range, so a missing file of all days lacks its trading days."""
    [benchmark] = [file for file in read(recorded_lean_runs, name).missing if file.counts]

    assert benchmark.path == "equity/usa/hour/spy.zip"
    assert benchmark.days == tuple(date(2013, 10, day) for day in (7, 8, 9, 10, 11))


@pytest.mark.parametrize(
    ("name", "points"),
    [("completed", 2021), ("live-stream", 2021), ("missing-days", 3900), ("python-charts", 149)],
)
def test_data_points(recorded_lean_runs: Path, name: str, points: int) -> None:
    """The number of data points is in log.txt, or in the algorithm's log where the run was streamed."""
    assert read(recorded_lean_runs, name).data_points == points


def test_a_python_without_pandas_has_advice(recorded_lean_runs: Path) -> None:
    """LEAN's own error does not name pandas' absence."""
    assert "must have pandas and numpy" in read(recorded_lean_runs, "python-without-pandas").notes[0]
