"""The stand-in for LEAN's launcher requests the files that the real one requested for the recorded algorithms."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from server.engines.results import RunState
from tests.support.stand_in_lean.install import StandIn
from tests.support.stand_in_lean.reference_files import write_reference_files
from tests.support.stand_in_runs import LauncherRun

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in's programs are scripts")

FAILED = ("python-initialize-error", "python-no-algorithm-class", "python-syntax-error")


def run_recorded(recorded: Path, name: str, stand_in: StandIn, data: Path, folder: Path) -> LauncherRun:
    """Run a recorded run's algorithm with its configuration."""
    config = json.loads((recorded / name / "config.json").read_text())
    algorithm = recorded.parent / "algorithms" / Path(config["algorithm-location"]).name
    return LauncherRun(stand_in, folder, data, algorithm, parameters=config["parameters"]).run()


def requested(folder: Path) -> set[str]:
    """The files that a run requested."""
    return {line for path in folder.glob("*-data-requests-*.txt") for line in path.read_text().split()}


@pytest.mark.damaged_zips  # LEAN's samples have members of other names
@pytest.mark.parametrize("name", ["python-completed", "python-charts", "python-universe-and-history"])
def test_requests(
    recorded_lean_runs: Path, lean_sample_data: Path, stand_in: StandIn, tmp_path: Path, name: str
) -> None:
    """Warm-up, History, universes, the choice of a universe, benchmark, quotes and interest rates."""
    data = tmp_path / "data"
    write_reference_files(data)
    (data / "equity").symlink_to(lean_sample_data / "equity")

    run = run_recorded(recorded_lean_runs, name, stand_in, data, tmp_path / "run")

    assert run.exit_code == 0
    assert run.read().state is RunState.COMPLETED
    ours, theirs = requested(run.results), requested(recorded_lean_runs / name / "results")
    if "universe" in name:  # the recorded run chose from other universe files
        ours, theirs = ({path for path in paths if "/daily/" not in path} for paths in (ours, theirs))
    assert ours == theirs


@pytest.mark.parametrize("name", FAILED)
def test_errors(recorded_lean_runs: Path, reference_data: Path, stand_in: StandIn, tmp_path: Path, name: str) -> None:
    """Status, error and stack are those of the recorded run."""
    run = run_recorded(recorded_lean_runs, name, stand_in, reference_data, tmp_path / "run")

    state = json.loads((recorded_lean_runs / name / f"results/{name}.json").read_text())["state"]
    ours = run.result()["state"]
    for key in ("Status", "RuntimeError", "StackTrace"):
        assert ours[key] == state[key].replace("<algorithms>", str(recorded_lean_runs.parent / "algorithms"))
