"""Runs of LEAN's CLI: the command, and what is read from the results."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from server.core.json import to_json
from server.core.secret import Secret
from tests.support.lean_workspace import DAYS, LEAN_JSON, workspace_files, write_minute
from tests.support.stand_in_lean.reference_files import write_reference_files

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for lean is a script")


def test_the_command_is_leans_own(run, workspace: SimpleNamespace) -> None:
    """Project, output and lean.json lie below one private folder; data is local; nothing is updated or asked."""
    result = run()

    seen = json.loads(workspace.seen.read_text())
    argv, private = seen["argv"], Path(seen["cwd"])
    assert private.parent == workspace.root / ".backtest-server-runs"
    assert argv[:2] == ["backtest", str(private / "Strategy")]
    assert argv[argv.index("--output") + 1] == str(private / "Strategy/backtests/2024-02-01_12-30-15")
    assert argv[argv.index("--lean-config") + 1] == str(private / "lean.json")
    assert argv[argv.index("--data-provider-historical") + 1] == "Local"
    assert "--no-update" in argv
    assert seen["environ"]["TMPDIR"] == str(private / "tmp")
    assert result.results_folder == workspace.project / "backtests" / "2024-02-01_12-30-15"
    assert (result.results_folder / "log.txt").is_file()
    assert result.results_folder.stat().st_mode & 0o777 == 0o700


def test_the_users_lean_json_is_left_alone(run, workspace: SimpleNamespace) -> None:
    """The CLI makes the file it is given readable: it gets one without keys, in a folder that only the user enters."""
    mine = LEAN_JSON.replace(
        '"organization-id"',
        '"ib-password": "hunter2", "tradier-access-token": "t0", "symbol-tick-limit": 7,\n    "organization-id"',
    )
    (workspace.root / "lean.json").write_text(mine)
    (workspace.root / "lean.json").chmod(0o600)

    run()

    seen = json.loads(workspace.seen.read_text())
    assert (workspace.root / "lean.json").read_text() == mine
    assert (workspace.root / "lean.json").stat().st_mode & 0o777 == 0o600
    config = seen["config"]
    assert config.pop("environments").keys() == {"backtesting"}
    assert config == {
        "data-folder": str(workspace.data),
        "job-organization-id": "abc",
        "symbol-tick-limit": 7,
        "container-name": f"backtest-server-cli-{Path(seen['cwd']).name}",
        "file-database-last-update": "12/31/9999 00:00:00",
    }
    assert (seen["mode"], seen["folder_mode"]) == ("600", "700")
    assert workspace_files(workspace.root) == [".backtest-server-runs", "Strategy", "lean.json", "storage"]


@pytest.mark.parametrize("text", ['{"parameters": {"a": "b"}}', '{"parameters": {}} // mine', None])
def test_the_users_project_is_left_alone(run, workspace: SimpleNamespace, text: str | None) -> None:
    """The CLI adds a local-id to config.json and deletes one with comments; only its copy is touched."""
    config = workspace.project / "config.json"
    if text is not None:
        config.write_text(text)

    run()

    assert (config.read_text() if config.exists() else None) == text
    assert not list(workspace.project.rglob("__pycache__"))


def test_the_users_market_hours_are_left_alone(run, workspace: SimpleNamespace) -> None:
    """When online, the CLI overwrites them and the symbol properties in the data folder once a day."""
    write_reference_files(workspace.data)
    before = {path: path.read_bytes() for path in workspace.data.glob("*/*-database.*")}
    assert len(before) == 2

    run()

    assert {path: path.read_bytes() for path in before} == before


def test_the_algorithm_gets_the_request_as_parameters(run, workspace: SimpleNamespace) -> None:
    """The request's values go in as parameters with the project's own, which the CLI would forget."""
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


def test_statistics_equity_and_data_points_are_read(run) -> None:
    """LEAN's figures come by LEAN's names; the equity's midnight values belong to the day that ends."""
    result = run()

    assert (result.engine, result.days, result.bars) == ("lean-cli", 3, 2 * 1_390)
    assert result.statistics["Sharpe Ratio"] == "1.25"
    assert result.statistics["Data Points"] == "2780"
    assert result.equity == (DAYS, (100_500.0, 101_000.0, 101_500.0))
    assert "2,780 data points" in result.summary[0]
    assert result.summary[1] == "Net Profit 1.500%, Drawdown 0.300%, Sharpe Ratio 1.25, Total Orders 2"
    json.dumps(to_json(result))


def test_a_missing_trade_file_is_a_warning_though_lean_ended_well(run) -> None:
    """Failed requests for wanted files are reported; those for quotes are only counted."""
    result = run()

    assert result.failed_data_requests == ("equity/usa/minute/spy/20240110_trade.zip",)
    assert result.statistics["Failed Data Requests"] == "1"
    assert result.statistics["Failed Data Requests Not Counted"] == "3"
    assert "1 of 7 data requests failed, not counting 3 for quotes" in result.summary[2]
    assert result.notes == (
        "1 of the requested files were missing, so the figures are wrong: "
        "equity/usa/minute/spy/20240110_trade.zip; download them and run again",
    )


def test_a_missing_file_of_an_earlier_ticker_is_a_wanted_file(run, workspace: SimpleNamespace) -> None:
    """LEAN reads a renamed share under the ticker of each day."""
    maps = workspace.data / "equity/usa/map_files"
    maps.mkdir(parents=True)
    (maps / "spy.csv").write_text("20200102,old\n20240108,old\n20501231,spy\n")

    result = run()

    assert result.failed_data_requests == (
        "equity/usa/minute/old/20240108_trade.zip",
        "equity/usa/minute/spy/20240110_trade.zip",
    )
    assert len(result.notes) == 1
    assert "2 of the requested files were missing, so the figures are wrong" in result.notes[0]


def test_leans_cli_gets_no_secret_in_its_environment(run, workspace: SimpleNamespace) -> None:
    """Neither a provider's key, under whatever name, nor the server's token; the rest of the environment stays."""
    keys = {"POLYGON_API_KEY": "k3y-of-polygon", "OTHER": "key=k3y-of-polygon", "BACKTEST_SERVER_TOKEN": "t0ken"}

    run(environ={**keys, "DOCKER_HOST": "unix:///docker.sock"}, secrets=[Secret("k3y-of-polygon")])

    seen = json.loads(workspace.seen.read_text())["environ"]
    assert seen["DOCKER_HOST"] == "unix:///docker.sock"
    assert not seen.keys() & keys.keys()
    assert "k3y-of-polygon" not in json.dumps(seen)


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


def test_an_abort_after_the_results_is_a_note(run) -> None:
    """The exit code alone does not make a backtest a failure whose results are whole."""
    result = run("abort")

    assert result.statistics["Sharpe Ratio"] == "1.25"
    assert result.notes[0] == "LEAN's process was aborted after the results were written: trouble at the end"
