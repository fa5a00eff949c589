"""One command: fetch, run LEAN, fill, run again, verdict; with each of LEAN's engines, on an empty data folder."""

from __future__ import annotations

import json
import shutil
import signal
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli_market import Serve
from tests.support.command_line import ROOT, CommandLine, answer_of, wait_until
from tests.support.engine_programs import write_python
from tests.support.harness import sessions
from tests.support.market import Market
from tests.support.patience import PATIENCE
from tests.support.polygon_server import KEY
from tests.support.stand_in_lean.install import StandIn, install_stand_in

DAYS = sessions(date(2024, 3, 4), 5)
ENGINES = ("lean-native", "lean-docker", "lean-cli")
MARKET = Market.synthetic(["SPY", "AAPL", "IBM", "QQQ"], DAYS) | Market.synthetic(
    ["SPY", "AAPL", "IBM", "QQQ"], DAYS, "daily"
)

ALGORITHM = """from AlgorithmImports import *


class Strategy(QCAlgorithm):
    def initialize(self):
        self.set_start_date({start.year}, {start.month}, {start.day})
        self.set_end_date({end.year}, {end.month}, {end.day})
{lines}
"""


@pytest.fixture
def stand_in(command: CommandLine) -> StandIn:
    """LEAN's three programs and its launcher, and a workspace of LEAN's CLI."""
    found = install_stand_in(command.folder / "stand-in")
    command.set(
        HOME=str(command.folder),
        PATH=found.path_alone,
        LEAN_LAUNCHER=str(found.launcher),
    )
    write_python(found.bin / "python3")
    (command.folder / "lean.json").write_text('{"data-folder": "data", "organization-id": "0123456789"}')
    return found


def write_project(command: CommandLine, *lines: str, symbol: str = "AAPL", resolution: str = "minute") -> str:
    """A project whose ``initialize`` has these lines besides its dates; it requests one symbol."""
    folder = command.folder / "Strategy"
    (folder / "config").mkdir(parents=True, exist_ok=True)
    (folder / "config" / "parameters.py").write_text(
        f"symbols = ['{symbol}']\nresolution = '{resolution}'\nstart = '{DAYS[0]}'\nend = '{DAYS[-1]}'\n"
    )
    body = "\n".join(f"        {line}" for line in lines)
    (folder / "main.py").write_text(ALGORITHM.format(start=DAYS[0], end=DAYS[-1], lines=body))
    return "Strategy"


def run_json(command: CommandLine, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Run ``backtest --json`` and return its object."""
    answer = command.run("backtest", *arguments, "--json")
    assert answer.code == code, (answer.code, answer.err, answer.out[-3000:])
    found: dict[str, Any] = json.loads(answer.out)
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_one_command_fetches_runs_fills_and_judges(
    command: CommandLine, served: Serve, stand_in: StandIn, engine: str
) -> None:
    """From an empty data folder: the request, the benchmark, and what only the run shows."""
    served(MARKET)
    project = write_project(
        command,
        'self.add_equity("AAPL", Resolution.MINUTE)',
        'self.add_equity("IBM", Resolution.DAILY)',
        'self.add_equity("QQQ", Resolution.MINUTE)',
    )

    found = run_json(command, project, "--engine", engine)

    assert found["state"] == "completed"
    assert found["engine"]["engine"] == engine
    assert found["engine"]["verdict"].startswith("complete: ")
    first, second = found["rounds"]
    assert {(one["ticker"], one["resolution"], len(one["days"])) for one in first["fetched"]} == {
        ("IBM", "daily", 5),
        ("QQQ", "minute", 5),
    }
    assert (first["missing"], second["missing"], second["fetched"]) == (6, 0, [])
    assert {file["kind"] for file in found["engine"]["missing"]} == {"quote"}
    assert (command.data / "equity/usa/hour/spy.zip").is_file()
    assert (command.data / "market-hours/market-hours-database.json").is_file()
    shown = json.loads(command.run("results", "show", found["engine"]["results_folder"], "--json").out)
    assert (shown["state"], shown["verdict"]) == ("completed", found["engine"]["verdict"])

    again = run_json(command, project, "--engine", engine)

    assert len(again["rounds"]) == 1
    assert again["download"]["api_calls"] == 0
    everything = "".join(
        path.read_text("utf-8", "replace") for path in command.folder.rglob("*") if path.suffix in (".json", ".txt")
    )
    assert KEY not in everything


@pytest.mark.parametrize("engine", ENGINES)
def test_gaps(command: CommandLine, served: Serve, stand_in: StandIn, engine: str) -> None:
    """What the vendor does not have: exit 3, with series and days; LEAN does not run again for nothing."""
    served(MARKET)
    project = write_project(
        command, 'self.add_equity("AAPL", Resolution.MINUTE)', 'self.add_equity("GONE", Resolution.MINUTE)'
    )

    found = run_json(command, project, "--engine", engine, code=3)

    assert found["engine"]["verdict"].startswith("gaps: 5 files missing")
    missing = [file for file in found["engine"]["missing"] if file["kind"] == "trade"]
    assert [(file["series"]["ticker"], file["series"]["resolution"], file["days"]) for file in missing] == [
        ("GONE", "minute", [day.isoformat()]) for day in DAYS
    ]
    assert len(found["rounds"]) == 1


def test_no_fill_only_lists(command: CommandLine, served: Serve, stand_in: StandIn) -> None:
    """The missing files are gaps; nothing of them is fetched."""
    served(MARKET)
    project = write_project(
        command, 'self.add_equity("AAPL", Resolution.MINUTE)', 'self.add_equity("IBM", Resolution.DAILY)'
    )

    found = run_json(command, project, "--engine", "lean", "--no-fill", code=3)

    assert found["engine"]["verdict"].startswith("gaps: 1 file missing (equity/usa/daily/ibm.zip)")
    assert not (command.data / "equity/usa/daily/ibm.zip").exists()
    assert [part["fetched"] for part in found["rounds"]] == [[]]


def test_a_benchmark_without_minutes_is_untrusted(command: CommandLine, served: Serve, stand_in: StandIn) -> None:
    """The run goes on; the reason is in the verdict, and exit code 4 says so."""
    served(Market.synthetic(["AAPL", "SPY"], DAYS, "daily") | Market.synthetic(["SPY"], DAYS[:3]))
    project = write_project(command, 'self.add_equity("AAPL", Resolution.DAILY)', resolution="daily")

    found = run_json(command, project, "--engine", "lean-native", code=4)

    verdict = found["engine"]["verdict"]
    assert verdict.startswith("untrusted: the benchmark SPY ")
    assert "Alpha, Beta" in verdict


def test_a_literal_benchmark_is_fetched(command: CommandLine, served: Serve, stand_in: StandIn) -> None:
    """Instead of SPY."""
    served(MARKET)
    project = write_project(
        command, 'self.add_equity("AAPL", Resolution.DAILY)', 'self.set_benchmark("QQQ")', resolution="daily"
    )

    found = run_json(command, project, "--engine", "lean-native")

    assert found["engine"]["verdict"].startswith("complete: ")
    assert (command.data / "equity/usa/hour/qqq.zip").is_file()
    assert not (command.data / "equity/usa/hour/spy.zip").exists()
    assert len(found["rounds"]) <= 2


def test_damaged_data(command: CommandLine, served: Serve, stand_in: StandIn) -> None:
    """A factor file of another program that LEAN stops at: exit 4 with the list; allowed, an untrusted result."""
    served(MARKET)
    project = write_project(command, 'self.add_equity("AAPL", Resolution.DAILY)', resolution="daily")
    factors = command.data / "equity/usa/factor_files/aapl.csv"
    factors.parent.mkdir(parents=True)
    factors.write_text(f"20000103,1,1,0\n{DAYS[1]:%Y%m%d},0.5,1,0\n20501231,1,1,0\n")

    refused = command.run("backtest", project, "--engine", "lean-native")
    allowed = run_json(command, project, "--engine", "lean-native", "--allow-damaged", code=4)

    assert refused.code == 4
    assert len(refused.errors) >= 1
    assert "equity/usa/factor_files/aapl.csv" in refused.err
    assert "--allow-damaged" in refused.err
    assert allowed["engine"]["verdict"].startswith("untrusted: ")
    assert "equity/usa/factor_files/aapl.csv" in allowed["engine"]["verdict"]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_error_of_the_algorithm(command: CommandLine, served: Serve, stand_in: StandIn, engine: str) -> None:
    """One line with the algorithm's file and line; exit 1."""
    served(MARKET)
    project = write_project(
        command, 'self.add_equity("AAPL", Resolution.DAILY)', "# stand-in: runtime-error line 12", resolution="daily"
    )

    answer = command.run("backtest", project, "--engine", engine)

    assert answer.code == 1
    (line,) = answer.errors
    assert "main.py, line 12" in line


@pytest.mark.parametrize("engine", ENGINES)
def test_ctrl_c_while_bars_run(command: CommandLine, served: Serve, stand_in: StandIn, engine: str) -> None:
    """LEAN ends by itself and reports Completed; the command exits 130, and the folder reads interrupted."""
    served(MARKET)
    project = write_project(
        command, 'self.add_equity("AAPL", Resolution.DAILY)', "# stand-in: slow 30", resolution="daily"
    )
    process = command.start("backtest", project, "--engine", engine)
    backtests = command.folder / "Strategy" / "backtests"

    def running() -> bool:
        return any(
            json.loads(path.read_text()).get("state", {}).get("Status") == "Running"
            for path in command.folder.rglob("backtests/*/1*.json")
            if path.stat().st_size and "-" not in path.stem and path.read_text().endswith("}")
        )

    wait_until(running)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    answer = answer_of(process)

    assert time.monotonic() - began < PATIENCE
    assert answer.code == 130
    (folder,) = backtests.iterdir()
    assert json.loads(command.run("results", "show", str(folder), "--json").out)["state"] == "interrupted"


def test_the_example_project(command: CommandLine, served: Serve, stand_in: StandIn) -> None:
    """`backtest-server backtest examples/ZacQC` with a launcher needs nothing else."""
    days = sessions(date(2023, 1, 3), 6)
    served(Market.synthetic(["AAPL", "SPY"], days, "daily") | Market.synthetic(["SPY"], days))
    shutil.copytree(ROOT / "examples" / "ZacQC", command.folder / "ZacQC")

    found = run_json(command, "ZacQC", "--engine", "lean-native")

    assert found["engine"]["verdict"].startswith("complete: ")
    assert (found["start"], found["end"]) == ("2023-01-03", "2023-01-10")
    assert Path(found["engine"]["results_folder"]).parent == command.folder / "ZacQC" / "backtests"
