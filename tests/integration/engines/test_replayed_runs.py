"""Recorded runs of the real engine, replayed by the stand-ins for its launcher, Docker and LEAN's CLI.

The engine gets the console, the files and the exit code of the recorded run. A run that was interrupted is never a
result, whatever LEAN reports.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.core.cancel import CancelToken
from server.core.errors import Cancelled, ToolFailedError
from server.engines import lean_native
from server.engines.base import AlgorithmFailedError, EngineRequest, EngineResult
from server.engines.choose import choose_engine
from server.engines.results import RunState, read_run
from server.lean.series import Resolution
from server.settings import load_settings
from server.trading_calendar import USEquityTradingCalendar
from tests.support.engine_programs import write_python
from tests.support.recorded_endings import RUNS, ending
from tests.support.stand_in_lean.install import StandIn
from tests.support.stand_in_runs import DAYS, write_project

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in's programs are scripts")

ENDLESS = "rewritten-while-running"
"""The run that was recorded while it ran; its replay waits to be stopped."""

SOME = ("completed", "missing-days", "python-runtime-error", "interrupted-sigint", "terminated-sigterm", "wrong-option")
"""Each kind of ending."""

ALL = [("lean-native", name) for name in sorted(RUNS)]
OTHERS = [(engine, name) for engine in ("lean-docker", "lean-cli") for name in SOME]
Replay = Callable[[str, str], EngineResult]


@pytest.fixture
def replay(
    tmp_path: Path,
    reference_data: Path,
    stand_in: StandIn,
    recorded_lean_runs: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Replay:
    """``replay(engine, name)`` runs a project for which the stand-in replays a recorded run."""
    monkeypatch.setattr(lean_native, "NATIVE_INTERRUPT_GRACE", 0.3)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "lean.json").write_text('{"data-folder": "../data", "organization-id": "0123456789"}')
    write_python(stand_in.bin / "python3")
    environ = {
        "PATH": stand_in.path_alone,
        "HOME": str(tmp_path),
        "LEAN_LAUNCHER": str(stand_in.launcher),
        "LEAN_DATA_FOLDER": str(reference_data),
    }

    def run(engine: str, name: str) -> EngineResult:
        project = write_project(workspace / "Strategy", marker=f"replay {name}").parent
        choice = choose_engine(
            engine,
            project=project,
            settings=load_settings(environ=environ, cwd=workspace),
            calendar=USEquityTradingCalendar.shipped(),
            clock=lambda: datetime.now(UTC),
            environ=environ,
        )
        request = EngineRequest(
            project=project,
            symbols=("SPY",),
            resolution=Resolution.MINUTE,
            start=DAYS[0],
            end=DAYS[-1],
            data_folder=reference_data,
            days=DAYS,
        )
        cancel = CancelToken()

        def stop_endless(progress: object) -> None:
            if name == ENDLESS:
                cancel.cancel()

        return choice.engine.run(request, cancel=cancel, on_line=lambda line: None, on_progress=stop_endless)

    return run


def folder_of(tmp_path: Path) -> Path:
    """The folder of the only run."""
    [folder] = (tmp_path / "workspace" / "Strategy" / "backtests").iterdir()
    return folder


@pytest.mark.parametrize(("engine", "name"), [one for one in ALL + OTHERS if RUNS[one[1]].state == "completed"])
def test_a_completed_run_is_a_result(replay: Replay, engine: str, name: str) -> None:
    """With the verdict and the missing files of the table."""
    result = replay(engine, name)

    assert result.lean_run is not None
    assert ending(result.lean_run) == RUNS[name]
    assert result.engine == engine
    assert str(result.verdict).partition(":")[0] == RUNS[name].verdict
    assert (sum(file.counts for file in result.missing), len(result.failed_data_requests)) == (
        RUNS[name].missing[0],
    ) * 2


@pytest.mark.parametrize(("engine", "name"), [one for one in ALL + OTHERS if RUNS[one[1]].state == "failed"])
def test_a_failed_run_is_an_error_with_its_line(replay: Replay, engine: str, name: str) -> None:
    """On one line; the run that LEAN left a record of comes with it."""
    with pytest.raises(ToolFailedError) as caught:
        replay(engine, name)

    assert str(RUNS[name].error) in str(caught.value)
    assert "\n" not in str(caught.value)
    if isinstance(caught.value, AlgorithmFailedError):
        assert ending(caught.value.run) == RUNS[name]


@pytest.mark.parametrize(("engine", "name"), [one for one in ALL + OTHERS if RUNS[one[1]].state == "interrupted"])
def test_an_interrupted_run_is_no_result(replay: Replay, tmp_path: Path, engine: str, name: str) -> None:
    """Though LEAN reports some of them as completed with exit code 0; their folder reads as interrupted."""
    with pytest.raises(Cancelled if name == ENDLESS else ToolFailedError) as caught:
        replay(engine, name)

    known = ("LEAN was interrupted ", "LEAN ended in its container without a result; see ")
    assert name == ENDLESS or str(caught.value).startswith(known)
    run = read_run(folder_of(tmp_path), datetime.now(UTC), ended=True)
    assert (run.state, run.verdict) == (RunState.INTERRUPTED, None)
    assert ending(run) == RUNS[name]


def test_every_kind_of_ending_is_replayed_for_each_engine() -> None:
    """Each state of the table."""
    assert {RUNS[name].state for name in SOME} == {one.state for one in RUNS.values()}
