"""The command backtest, with the smoke test and with LEAN."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from server.lean.series import Resolution
from tests.support import fake_lean_backtest, faults
from tests.support.cli_market import CONTRACT, DAYS, MARKET, MINUTES, OURS, Serve
from tests.support.command_line import (
    ROOT,
    CommandLine,
    answer_of,
    wait_until,
)
from tests.support.engine_programs import write_reference
from tests.support.harness import csv_of, lean_files, sessions
from tests.support.market import Market
from tests.support.patience import PATIENCE


def test_backtest_fetches_and_runs_and_says_so(command: CommandLine, served: Serve) -> None:
    """Download, engine and why, figures and a curve; with --json one object."""
    served()

    answer = command.run("backtest", "--symbols", "SPY,aapl", *MINUTES)
    again = command.run("backtest", "--symbols", "SPY,aapl", *MINUTES, "--engine", "smoke", "--json")

    assert answer.code == again.code == 0
    for part in ("16 downloaded", "engine: the smoke test, since LEAN cannot run here", "Total Return", "└─", "note: "):
        assert part in answer.out
    result = json.loads(again.out)
    assert result["state"] == "completed"
    assert [phase["name"] for phase in result["phases"]] == ["data_download", "engine"]
    assert tuple(result["download"]) == CONTRACT + OURS
    assert (result["download"]["days_present"], result["download"]["api_calls"]) == (16, 0)
    assert (result["engine"]["engine"], result["engine"]["bars"]) == ("smoke", 16 * 60)
    assert result["engine_choice"] == "the smoke test, as asked for"


def test_backtest_runs_the_example_project(command: CommandLine, served: Serve) -> None:
    """`backtest-server backtest examples/ZacQC` needs nothing else."""
    days = sessions(date(2023, 1, 3), 6)
    served(Market.synthetic(["AAPL"], days, "daily"))

    answer = command.run("backtest", str(ROOT / "examples" / "ZacQC"), "--engine", "smoke")

    assert answer.code == 0, answer.err
    assert "AAPL daily, 2023-01-03 to 2023-01-10, from polygon" in answer.out


def test_backtest_without_its_data_is_not_run(command: CommandLine, served: Serve) -> None:
    """Exit 1 with the cause, and no figures that mean nothing."""
    served(plan_start=DAYS[4])

    answer = command.run("backtest", "--symbols", "SPY", *MINUTES)

    assert answer.code == 1
    assert faults.PLAN_TIMEFRAME in answer.errors[0]
    assert "Total Return" not in answer.out


def test_backtest_stops_on_ctrl_c(command: CommandLine, served: Serve) -> None:
    """While its data is fetched: exit 130."""
    server = served(faults=[faults.slow(60)])
    process = command.start("backtest", "--symbols", "SPY", *MINUTES)
    wait_until(lambda: server.requests)

    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    answer = answer_of(process)

    assert time.monotonic() - began < PATIENCE
    assert answer.code == 130
    assert "Traceback" not in answer.err


@pytest.fixture
def lean_project(command: CommandLine) -> str:
    """A LEAN project for the days of the market below a lean.json, and on the PATH a LEAN and a Docker."""
    programs = command.folder / "bin"
    programs.mkdir()
    for name, text in (
        ("lean", f'exec {sys.executable} {fake_lean_backtest.__file__} "$@"'),
        ("docker", '[ "$1" = version ] && echo 27.0.1'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    command.set(
        HOME=str(command.folder),
        PATH=f"{programs}:/usr/bin:/bin",
        FAKE_LEAN_SEEN=str(command.folder / "seen.json"),
        FAKE_LEAN="ok",
    )
    (command.folder / "lean.json").write_text('{"data-folder": "data", "organization-id": "0123456789"}')
    write_reference(command.data)
    config = command.folder / "Strategy" / "config"
    config.mkdir(parents=True)
    (config / "parameters.py").write_text(f"symbols = ['SPY']\nstart = '{DAYS[0]}'\nend = '{DAYS[-1]}'\n")
    (config.parent / "main.py").write_text("from AlgorithmImports import *\n")
    return "Strategy"


def test_backtest_runs_lean_where_it_can(command: CommandLine, served: Serve, lean_project: str) -> None:
    """`auto` takes LEAN, says why, and shows LEAN's own statistics, its equity and where its results are."""
    served()

    answer = command.run("backtest", lean_project)
    again = json.loads(command.run("backtest", lean_project, "--json").out)

    assert answer.code == 0, answer.err
    assert "engine: lean-cli: " in answer.out
    assert "lean-native cannot run: " in answer.out
    for part in ("8 downloaded", "Sharpe Ratio", "1.25", "equity in dollars (lean-cli)", "results: "):
        assert part in answer.out
    assert (again["engine"]["engine"], again["engine"]["statistics"]["Sharpe Ratio"]) == ("lean-cli", "1.25")
    assert again["download"]["api_calls"] == 0


def test_lean_without_market_hours_is_an_error_before_a_download(
    command: CommandLine, served: Serve, lean_project: str
) -> None:
    """It names the files, the data folder and what to do; the vendor is not asked."""
    server = served()
    shutil.rmtree(command.data)

    answer = command.run("backtest", lean_project)

    assert answer.code == 1
    (line,) = answer.errors
    for part in ("market-hours/market-hours-database.json", "symbol-properties-database.csv", str(command.data)):
        assert part in line
    assert "lean install" in line
    assert server.requests == []


def test_backtest_says_what_went_wrong_in_lean(command: CommandLine, served: Serve, lean_project: str) -> None:
    """One line, exit 1."""
    served()
    command.set(FAKE_LEAN="runtime-error")

    answer = command.run("backtest", lean_project)

    assert answer.code == 1
    (line,) = answer.errors
    assert "'NoneType' object" in line


def test_ctrl_c_while_lean_runs(command: CommandLine, served: Serve, lean_project: str) -> None:
    """LEAN is stopped with it, and the data is kept."""
    served()
    command.set(FAKE_LEAN="hang")
    process = command.start("backtest", lean_project)
    wait_until((command.folder / "seen.json").exists)

    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    answer = answer_of(process)

    assert time.monotonic() - began < PATIENCE
    assert answer.code == 130
    assert len(answer.errors) == 1
    assert "\nTraceback" not in answer.err  # LEAN's own lines are shown with the time before them
    wanted, found = lean_files(MARKET, "SPY", DAYS, Resolution.MINUTE), csv_of(command.data)
    assert {path: found.get(path) for path in wanted} == wanted
    assert found.keys() - wanted.keys() == {"daily/spy.zip", "hour/spy.zip"}  # the benchmark
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [line for line in commands if str(command.folder).encode() in line]
