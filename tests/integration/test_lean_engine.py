"""LEAN through its CLI: what is run, what is read from the results, what is said when it fails."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from server.core.cancel import CancelToken
from server.core.errors import (
    BacktestServerError,
    Cancelled,
    ConfigurationError,
    ToolFailedError,
    ToolMissingError,
)
from server.core.json import to_json
from server.engines.base import EngineRequest, EngineResult
from server.engines.choose import ask_docker, choose_engine
from server.engines.lean_cli import LeanEngine
from server.engines.results import sort_failed_requests
from server.engines.smoke import SmokeEngine
from server.lean.series import Resolution
from server.lean.zip import zip_bytes
from server.trading_calendar import USEquityTradingCalendar
from tests.support import fake_lean_backtest
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for lean is a script")

DAYS = (date(2024, 1, 8), date(2024, 1, 9), date(2024, 1, 10))
NOW = datetime(2024, 2, 1, 12, 30, 15, tzinfo=UTC)
LEAN_JSON = """{
    // where the data is
    "data-folder": "elsewhere",
    "organization-id": "abc",
    "polygon-api-key": "SECRETKEY",
    "backtest-server": {"engine": "lean"},
}
"""


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def workspace(tmp_path: Path) -> SimpleNamespace:
    """A folder as ``lean init`` leaves it, with a project, three days of SPY but one, and a ``lean`` to run."""
    root = tmp_path / "workspace"
    project = root / "Strategy"
    project.mkdir(parents=True)
    (project / "main.py").write_text("from AlgorithmImports import *\n")
    (root / "lean.json").write_text(LEAN_JSON)
    data = tmp_path / "market data"
    for day in DAYS[:2]:
        write_minute(data, "spy", day)
    bin_folder = tmp_path / "bin"
    source = fake_lean_backtest.__file__
    write_program(bin_folder / "lean", f'#!/bin/sh\nexec {sys.executable} {source} "$@"\n')
    return SimpleNamespace(
        root=root,
        project=project,
        data=data,
        bin=bin_folder,
        seen=tmp_path / "seen.json",
        environ={"PATH": f"{bin_folder}:/usr/bin:/bin", "FAKE_LEAN_SEEN": str(tmp_path / "seen.json")},
    )


def write_minute(data: Path, symbol: str, day: date) -> None:
    path = data / "equity/usa/minute" / symbol / f"{day:%Y%m%d}_trade.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zip_bytes(f"{day:%Y%m%d}_{symbol}_minute_trade.csv", b"34200000,1,1,1,1,1"))


@pytest.fixture
def run(workspace: SimpleNamespace) -> Callable[..., EngineResult]:
    """Run the engine in the workspace, the stand-in doing what `mode` says."""

    def run_engine(
        mode: str = "ok",
        *,
        time_limit: float = 60.0,
        cancel: CancelToken | None = None,
        progress: Callable[[str], None] = lambda line: None,
        **changes: object,
    ) -> EngineResult:
        engine = LeanEngine(
            workspace.root / "lean.json",
            lambda: NOW,
            {**workspace.environ, "FAKE_LEAN": mode},
            executable=str(workspace.bin / "lean"),
            time_limit=time_limit,
        )
        fields: dict[str, object] = {
            "project": workspace.project,
            "symbols": ("SPY",),
            "resolution": Resolution.MINUTE,
            "start": DAYS[0],
            "end": DAYS[-1],
            "data_folder": workspace.data,
            "days": DAYS,
        }
        request = EngineRequest(**(fields | changes))
        return engine.run(request, cancel=cancel or CancelToken(), progress=progress)

    return run_engine


# --- what is run ---


def test_the_command_is_leans_own(run, workspace: SimpleNamespace) -> None:
    """Project, output and lean.json lie below one folder; data is local; nothing is updated or asked."""
    result = run()

    seen = json.loads(workspace.seen.read_text())
    argv = seen["argv"]
    assert argv[:2] == ["backtest", str(workspace.project)]
    assert argv[argv.index("--output") + 1] == str(workspace.project / "backtests" / "2024-02-01_12-30-15")
    assert argv[argv.index("--data-provider-historical") + 1] == "Local"
    assert "--no-update" in argv
    assert seen["cwd"] == str(workspace.root)
    assert result.results_folder == workspace.project / "backtests" / "2024-02-01_12-30-15"


def test_the_users_lean_json_is_left_alone(run, workspace: SimpleNamespace) -> None:
    """The CLI rewrites the file it is given: it gets a private copy, with this data folder and without keys."""
    run()

    seen = json.loads(workspace.seen.read_text())
    assert (workspace.root / "lean.json").read_text() == LEAN_JSON
    assert seen["config"] == {"data-folder": str(workspace.data), "organization-id": "abc"}
    assert seen["mode"] == "600"
    assert sorted(path.name for path in workspace.root.iterdir()) == ["Strategy", "lean.json"]


def test_the_algorithm_is_told_what_was_asked_for(run, workspace: SimpleNamespace) -> None:
    """The request's values go in as parameters, beside the project's own, which the CLI would forget."""
    (workspace.project / "config.json").write_text('{"parameters": {"ema-fast": 10}} // mine')

    run()

    argv = json.loads(workspace.seen.read_text())["argv"]
    given = {argv[i + 1]: argv[i + 2] for i, argument in enumerate(argv) if argument == "--parameter"}
    assert given == {
        "ema-fast": "10",
        "backtest-symbols": "SPY",
        "backtest-resolution": "minute",
        "backtest-start": "2024-01-08",
        "backtest-end": "2024-01-10",
    }


def test_two_runs_in_one_second_keep_their_results_apart(run, workspace: SimpleNamespace) -> None:
    """A results folder that exists is never written over."""
    first, second = run(), run()

    assert first.results_folder != second.results_folder
    assert second.results_folder == workspace.project / "backtests" / "2024-02-01_12-30-15-2"


def test_lines_are_passed_on_while_it_runs(run) -> None:
    """What LEAN prints goes to the listeners."""
    lines: list[str] = []

    run(progress=lines.append)

    assert any(line.startswith("Successfully ran") for line in lines)


# --- what is read ---


def test_statistics_equity_and_data_points_are_read(run) -> None:
    """LEAN's figures come by LEAN's names; the equity's midnight values belong to the day that ends."""
    result = run()

    assert (result.engine, result.days, result.bars) == ("lean", 3, 2 * 1_390)
    assert result.statistics["Sharpe Ratio"] == "1.25"
    assert result.statistics["Data Points"] == "2780"
    assert result.equity == (DAYS, (100_500.0, 101_000.0, 101_500.0))
    assert "2,780 data points" in result.summary[0]
    assert result.summary[1] == "Net Profit 1.500%, Drawdown 0.300%, Sharpe Ratio 1.25, Total Orders 2"
    json.dumps(to_json(result))


def test_a_missing_trade_file_is_a_warning_though_lean_ended_well(run) -> None:
    """Failed requests for wanted files are reported; those for quotes and the benchmark are only counted."""
    result = run()

    assert result.failed_data_requests == ("equity/usa/minute/spy/20240110_trade.zip",)
    assert result.statistics["Failed Data Requests"] == "1"
    assert result.statistics["Failed Data Requests For Quotes And Benchmark"] == "4"
    assert "1 of 7 data requests failed, not counting 4 for quotes" in result.summary[2]
    assert result.notes == (
        "1 of the requested files were missing, so the figures are wrong: "
        "equity/usa/minute/spy/20240110_trade.zip; download them and run again",
    )


def test_nothing_is_noted_when_all_wanted_data_is_there(run, workspace: SimpleNamespace) -> None:
    """A folder of trade bars that is complete gives no warning."""
    write_minute(workspace.data, "spy", DAYS[2])

    result = run()

    assert (result.failed_data_requests, result.notes) == ((), ())


def test_an_algorithm_with_its_own_dates_has_a_note(run) -> None:
    """Where LEAN ran other dates than asked for, the result says so, and that data outside was missing."""
    result = run("own-dates")

    assert result.days == 0
    assert any("set its own dates, 2023-01-08 to 2023-01-09, not 2024-01-08" in note for note in result.notes)
    assert any("LEAN processed no data; are the" in note for note in result.notes)


def test_failed_requests_are_sorted_by_what_they_mean() -> None:
    """Wanted trade files, other data, and what a folder of trade bars never holds."""
    found = sort_failed_requests(
        [
            "/equity/usa/minute/spy/20240110_trade.zip",
            "equity/usa/minute/spy/20240110_quote.zip",
            "equity\\usa\\minute\\spy\\20240110_trade.zip",
            "equity/usa/hour/spy.zip",
            "equity/usa/hour/qqq.zip",
            "equity/usa/minute/qqq/20240110_trade.zip",
            "alternative/interest-rate/usa/interest-rate.csv",
        ],
        {"equity/usa/minute/spy/20240110_trade.zip"},
    )

    assert found.wanted == ("equity/usa/minute/spy/20240110_trade.zip",)
    assert found.other == ("equity/usa/hour/qqq.zip", "equity/usa/minute/qqq/20240110_trade.zip")
    assert found.usual == (
        "equity/usa/minute/spy/20240110_quote.zip",
        "equity/usa/hour/spy.zip",
        "alternative/interest-rate/usa/interest-rate.csv",
    )


# --- what is said when it fails ---


@pytest.mark.parametrize(
    ("mode", "kind", "text"),
    [
        ("no-docker", ToolMissingError, "Docker is not running; start it"),
        ("no-login", ToolMissingError, "LEAN's CLI is not logged in; run: lean login"),
        ("no-image", ToolMissingError, "run: docker pull quantconnect/lean:latest"),
        ("no-results", ToolFailedError, "LEAN left no results in"),
        ("runtime-error", ToolFailedError, "the algorithm failed: Runtime Error: 'NoneType' object at on_data in main"),
        ("crash", ToolFailedError, "exception has occurred: No module named 'pandaz' at <module> import pandaz"),
    ],
)
def test_each_failure_says_what_to_do(
    run, workspace: SimpleNamespace, mode: str, kind: type[BacktestServerError], text: str
) -> None:
    """One line that names the cause; no private file is left behind."""
    with pytest.raises(kind) as caught:
        run(mode)

    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in workspace.root.iterdir()) == ["Strategy", "lean.json"]


def test_an_unexplained_failure_shows_the_last_line(run, workspace: SimpleNamespace) -> None:
    """What cannot be explained is quoted, with the exit code and a likely cause."""
    write_program(workspace.bin / "lean", "#!/bin/sh\necho something odd\nexit 7\n")

    with pytest.raises(ToolFailedError, match=r"exit code 7: something odd; .*has no market-hours database"):
        run()


def test_a_missing_cli_is_a_missing_tool(run, workspace: SimpleNamespace) -> None:
    """Without the program the error says so."""
    (workspace.bin / "lean").unlink()

    with pytest.raises(ToolMissingError, match="lean"):
        run()


def test_a_hanging_run_is_stopped(run, workspace: SimpleNamespace) -> None:
    """A run that exceeds its time limit is stopped and said to have been; no empty results folder stays."""
    with pytest.raises(ToolFailedError, match="was stopped: it had not ended after 1 s"):
        run("hang", time_limit=1.0)

    assert list((workspace.project / "backtests").iterdir()) == []


def test_a_cancel_ends_the_run_at_once(run) -> None:
    """LEAN is ended, and its run with it."""
    cancel, cancelled_at = CancelToken(), []

    def when_it_speaks(line: str) -> None:
        cancelled_at.append(time.monotonic())
        cancel.cancel()

    with pytest.raises(Cancelled):
        run("hang", cancel=cancel, progress=when_it_speaks)

    assert time.monotonic() - cancelled_at[0] < PATIENCE
    assert threading.active_count() < 10


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"project": None}, "LEAN runs a project; name its folder"),
        ({"project": Path("/nowhere")}, "there is no LEAN project at /nowhere"),
        ({"project": Path("/usr")}, "does not lie below"),
        ({"output_folder": Path("/usr/results")}, "the output folder /usr/results does not lie below"),
    ],
)
def test_requests_that_do_not_fit_are_refused_before_lean_runs(
    run, workspace: SimpleNamespace, changes: dict[str, object], text: str
) -> None:
    """What LEAN's CLI would only find out after the run is found out before."""
    with pytest.raises(ConfigurationError) as caught:
        run(**changes)

    assert text in str(caught.value)
    assert not workspace.seen.exists()


# --- the choice ---


@pytest.fixture
def choose(workspace: SimpleNamespace) -> Callable[..., tuple[object, str]]:
    """Choose an engine in the workspace, with a ``docker`` that answers unless a test overrides it."""
    write_program(workspace.bin / "docker", "#!/bin/sh\necho 27.0.1\n")
    calendar = USEquityTradingCalendar(DAYS, {}, date(2024, 12, 31))

    def choose_in_workspace(wanted: str = "auto", **changes: object) -> tuple[object, str]:
        arguments: dict[str, object] = {
            "project": workspace.project,
            "calendar": calendar,
            "clock": lambda: NOW,
            "environ": {"PATH": str(workspace.bin)},
        }
        return choose_engine(wanted, **(arguments | changes))

    return choose_in_workspace


def test_auto_takes_lean_where_it_can_run(choose) -> None:
    """Project, lean.json, CLI and Docker there: LEAN, and it says why."""
    engine, why = choose()

    assert isinstance(engine, LeanEngine)
    assert why == "LEAN: its CLI, a running Docker and lean.json are there"


@pytest.mark.parametrize(
    ("lacking", "text"),
    [
        ("project", "no LEAN project was given"),
        ("lean.json", "there is no lean.json at or above"),
        ("lean", "LEAN's CLI is not installed (pip install lean"),
        ("docker", "Docker is not installed"),
        ("running docker", "Docker is not running: Cannot connect to the Docker daemon"),
    ],
)
def test_whatever_lean_lacks_is_named(choose, workspace: SimpleNamespace, lacking: str, text: str) -> None:
    """auto then takes the smoke test and says why; lean by name is an error that says the same."""
    changes: dict[str, object] = {"project": None} if lacking == "project" else {}
    match lacking:
        case "lean.json":
            (workspace.root / "lean.json").unlink()
        case "lean" | "docker":
            (workspace.bin / lacking).unlink()
        case "running docker":
            write_program(workspace.bin / "docker", "#!/bin/sh\necho Cannot connect to the Docker daemon >&2\nexit 1\n")

    engine, why = choose(**changes)

    assert isinstance(engine, SmokeEngine)
    assert why.startswith("the smoke test, since LEAN cannot run here: ")
    assert text in why
    with pytest.raises(ToolMissingError) as caught:
        choose("lean", **changes)
    assert str(caught.value).startswith("LEAN cannot run here: ")
    assert text in str(caught.value)


def test_the_nearest_lean_json_serves_a_project_elsewhere(choose, workspace: SimpleNamespace, tmp_path: Path) -> None:
    """The settings' lean.json counts only for projects below its folder; for others their own is looked for."""
    other = tmp_path / "other" / "lean.json"
    other.parent.mkdir()
    other.write_text("{}")

    assert isinstance(choose("lean", lean_config=other)[0], LeanEngine)
    (workspace.root / "lean.json").unlink()
    with pytest.raises(ToolMissingError, match=r"does not lie below the folder of .*other"):
        choose("lean", lean_config=other)


def test_smoke_by_name_asks_nothing(choose, workspace: SimpleNamespace) -> None:
    """The smoke test needs neither CLI nor Docker, and is not looked for."""
    engine, why = choose("smoke", docker_problem=lambda docker: pytest.fail("asked for Docker"))

    assert isinstance(engine, SmokeEngine)
    assert why == "the smoke test, as asked for"


def test_an_unknown_engine_is_an_error(choose) -> None:
    """The error names the engines there are."""
    with pytest.raises(ConfigurationError, match="there is no engine 'zipline'; choose one of auto, lean, smoke"):
        choose("zipline")


def test_a_docker_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    """Three seconds are enough to tell; the program is ended."""
    write_program(tmp_path / "docker", "#!/bin/sh\nexec sleep 60\n")
    began = time.monotonic()

    assert ask_docker(str(tmp_path / "docker")) == "no answer within 3 s"
    assert time.monotonic() - began < PATIENCE


def test_docker_is_asked_for_its_server(tmp_path: Path) -> None:
    """A client without a server says why; a file that is no program is an answer, too."""
    write_program(tmp_path / "docker", "#!/bin/sh\necho boom >&2\nexit 1\n")
    assert ask_docker(str(tmp_path / "docker")) == "boom"
    assert "cannot be run" in (ask_docker(os.fspath(tmp_path / "absent")) or "")
