"""The real engine: ``python -m pytest tests/integration/engines -m lean``, with LEAN_LAUNCHER set.

Each run gets a small data folder, no network and no key; a run of a Python algorithm takes about 10 s.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from server.core.cancel import CancelToken
from server.engines.base import EngineRequest, EngineResult
from server.engines.choose import choose_engine
from server.engines.launcher import LAUNCHER_VARIABLE
from server.engines.results import RunState
from server.lean.layout import layout_of
from server.lean.series import Resolution, Series
from server.lean.zip import zip_bytes
from server.settings import load_settings
from server.trading_calendar import USEquityTradingCalendar
from tests.support.dump_algorithm import DUMP
from tests.support.harness import lean_csv
from tests.support.lean_feed import Question, content_of, questions
from tests.support.market import Market
from tests.support.stand_in_runs import DAYS, PRICES, wait_until, write_series

pytestmark = [pytest.mark.lean, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[3]
HELP = (
    f"set {LAUNCHER_VARIABLE} to the folder of QuantConnect.Lean.Launcher.dll: build LEAN (dotnet build "
    "QuantConnect.Lean.sln, then Launcher/bin/Debug), or copy it out of LEAN's image with: backtest-server lean install"
)
ALGORITHM = """from AlgorithmImports import *
import time


class Strategy(QCAlgorithm):
    def initialize(self):
        {lines}

    def on_data(self, data):
        {in_on_data}
"""
RANGE = ("--symbols", "SPY", "--start", str(DAYS[0]), "--end", str(DAYS[-1]), "--engine", "lean")
MINUTES, DAILY = (*RANGE, "--resolution", "minute"), (*RANGE, "--resolution", "daily")
CALENDAR = USEquityTradingCalendar.shipped()
QUESTIONS = questions()
QUESTIONS_ASKED = (
    *("minute-bad-row", "daily-bad-row", "daily-out-of-order", "session-edges", "hours", "seconds", "hole-daily"),
    *("events-raw", "events-adjusted", "events-splitadjusted", "events-totalreturn", "events-minute-adjusted"),
    *("rename-daily", "rename-minute", "delisted", "reused-ticker-asked-late", "factor-file-begins-late"),
)


class Command(NamedTuple):
    """The command line in a folder with the real launcher, without network and key."""

    folder: Path
    environ: dict[str, str]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "server", *arguments],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run a command to its end and return its JSON."""
        out, err = (process := self.start(*arguments, "--json")).communicate()
        assert process.returncode == code, err
        found: dict[str, Any] = json.loads(out)
        return found


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The command line; the test fails where no launcher is named."""
    if not os.environ.get(LAUNCHER_VARIABLE):
        pytest.fail(HELP)
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "LEAN_DATA_FOLDER": str(tmp_path / "data"),
        "POLYGON_API_KEY": "no-key",
        "POLYGON_API_URL": "http://127.0.0.1:9",
        "BACKTEST_SERVER_CORPORATE_ACTIONS": "off",
    }
    return Command(tmp_path, environ)


@pytest.fixture
def market(command: Command) -> None:
    """Five days of SPY: minutes, hours and days, with map and factor file."""
    data, minutes = command.folder / "data", Market.synthetic(["SPY"], list(DAYS), bars_per_day=390)["SPY", "minute"]
    layout = layout_of(Series("SPY", Resolution.MINUTE))
    for day in DAYS:
        write_file(data, layout.path(day), zip_bytes(layout.member(day), lean_csv(minutes, day)))
    for resolution in ("hour", "daily"):
        write_series(data, resolution, "spy", PRICES)
    write_file(data, "equity/usa/map_files/spy.csv", b"19980102,spy,P\n20501231,spy,P\n")
    write_file(data, "equity/usa/factor_files/spy.csv", b"19980102,1,1,1\n20501231,1,1,0\n")


def write_file(folder: Path, path: str, content: bytes) -> None:
    """Write a file with its folders."""
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(content)


def write_algorithm(command: Command, *lines: str, in_on_data: str = "pass") -> str:
    """A project whose ``initialize`` has these lines besides its first day; returns its name."""
    body = "\n        ".join(("self.set_start_date(2013, 10, 7)", *lines))
    write_file(command.folder, "Strategy/main.py", ALGORITHM.format(lines=body, in_on_data=in_on_data).encode())
    return "Strategy"


def failed_requests(folder: str) -> set[str]:
    """The lines of the data monitor's list of failed requests."""
    [path] = Path(folder).glob("failed-data-requests-*.txt")
    return set(path.read_text().split())


@pytest.mark.usefixtures("market")
def test_the_example(command: Command) -> None:
    """It completes on complete data: one run, nothing missing but quotes, statistics and a curve."""
    shutil.copytree(ROOT / "examples" / "ZacQC", command.folder / "ZacQC")

    found = command.run("backtest", "ZacQC", *MINUTES)

    engine = found["engine"]
    assert (found["state"], engine["engine"], len(found["rounds"])) == ("completed", "lean-native", 1)
    assert engine["verdict"].startswith("complete: "), engine["verdict"]
    quotes = {f"/equity/usa/minute/spy/{day:%Y%m%d}_quote.zip" for day in DAYS}
    assert failed_requests(engine["results_folder"]) == quotes
    assert engine["bars"] > 5 * 390
    shown = command.run("results", "show", engine["results_folder"])
    assert (shown["state"], shown["verdict"]) == ("completed", engine["verdict"])
    assert "Strategy Equity" in shown["charts"]
    assert shown["statistics"].keys() >= {"Net Profit", "Alpha", "Beta"}


@pytest.mark.usefixtures("market")
def test_a_gap(command: Command) -> None:
    """A share that is not in the folder is a failed request and a gap with its days."""
    project = write_algorithm(
        command,
        "self.set_end_date(2013, 10, 11)",
        'self.add_equity("SPY", Resolution.DAILY)',
        'self.add_equity("GONE", Resolution.DAILY)',
    )

    found = command.run("backtest", project, *DAILY, "--no-fill", code=3)

    engine = found["engine"]
    assert engine["verdict"].startswith("gaps: 1 file missing (equity/usa/daily/gone.zip)")
    assert failed_requests(engine["results_folder"]) == {"/equity/usa/daily/gone.zip"}
    [missing] = engine["missing"]
    assert missing["days"] == [str(day) for day in DAYS]


@pytest.mark.usefixtures("market")
def test_an_error_of_the_algorithm(command: Command) -> None:
    """One line with file and line."""
    project = write_algorithm(command, "self.set_end_date(2013, 10, 11)", 'raise ValueError("bad setting")')

    found = command.run("backtest", project, *MINUTES, code=1)

    assert "bad setting (main.py, line 9)" in found["error"]["message"]
    [folder] = (command.folder / "Strategy" / "backtests").iterdir()
    shown = command.run("results", "show", str(folder))
    assert (shown["state"], shown["verdict"]) == ("failed", None)
    assert shown["error"] == "bad setting (main.py, line 9)"


@pytest.mark.usefixtures("market")
def test_an_interrupted_run(command: Command) -> None:
    """Ctrl-C while bars run: the command ends with 130, and the folder is not read as that of a completed run."""
    add = 'self.add_equity("SPY", Resolution.MINUTE)'
    project = write_algorithm(
        command, "self.set_end_date(2013, 10, 11)", add, in_on_data="time.sleep(0.05)  # stand-in: slow 20"
    )
    process = command.start("backtest", project, *MINUTES)
    backtests = command.folder / "Strategy" / "backtests"
    try:
        wait_until(lambda: any("Launching analysis" in log.read_text() for log in backtests.glob("*/log.txt")))
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()

    assert process.returncode == 130, err
    [folder] = backtests.iterdir()
    assert command.run("results", "show", str(folder))["state"] == "interrupted"


def run_dump(command: Command, question: Question) -> EngineResult:
    """Run the algorithm that writes what it is fed, without the check of the data."""
    request = question.request
    parameters = {**question.parameters, "mode": question.parameters["mode"].lower(), "fed": str(fed_path(command))}
    write_file(command.folder, "Dump/main.py", DUMP.encode())
    write_file(command.folder, "Dump/config.json", json.dumps({"parameters": parameters}).encode())
    settings = load_settings(environ=command.environ, cwd=command.folder)
    choice = choose_engine(
        "lean-native",
        project=command.folder / "Dump",
        settings=settings,
        calendar=CALENDAR,
        clock=lambda: datetime.now(UTC),
        environ=command.environ,
    )
    choice.prepare(settings.data_folder, CancelToken())
    wanted = EngineRequest(
        project=command.folder / "Dump",
        symbols=tuple(question.symbols),
        resolution=question.resolution,
        start=request.start,
        end=request.end,
        data_folder=settings.data_folder,
        days=tuple(CALENDAR.trading_days(request.start, request.end)),
    )
    return choice.engine.run(wanted, cancel=CancelToken(), on_line=lambda line: None)


def fed_path(command: Command) -> Path:
    """The file of what the algorithm was fed."""
    return command.folder / "fed.jsonl"


def bars(command: Command, question: Question) -> list[dict[str, Any]]:
    """What ``bars`` prints for a question."""
    request = question.request
    arguments = ["bars", *question.symbols, "--resolution", question.resolution.value, "--format", "jsonl"]
    arguments += ["--start", str(request.start), "--end", str(request.end), "--mode", request.mode.value]
    arguments += ["--extended-hours"] * request.extended_hours + ["--fill-forward"] * request.fill_forward
    out, err = (process := command.start(*arguments)).communicate()
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.damaged_zips
@pytest.mark.parametrize("name", QUESTIONS_ASKED)
def test_bars_are_what_the_engine_feeds(command: Command, name: str) -> None:
    """A recorded question, put to the engine and to the command ``bars``."""
    question = QUESTIONS[name]
    for folder in ("map_files", "factor_files"):
        (command.folder / "data/equity/usa" / folder).mkdir(parents=True)
    for path, content in question.files.items():
        write_file(command.folder / "data", path, content_of(content))

    result = run_dump(command, question)

    assert result.lean_run is not None
    assert result.lean_run.state is RunState.COMPLETED
    assert str(result.verdict).startswith("untrusted: the benchmark SPY has no hour bars")
    assert fed_path(command).is_file(), "the algorithm was fed nothing"
    fed = [json.loads(line) for line in fed_path(command).read_text().splitlines()]
    expected = bars(command, question)
    assert [rounded(line) for line in fed] == [rounded(line) for line in expected]


def rounded(line: dict[str, Any]) -> dict[str, Any]:
    """A line with its numbers to twelve digits: the engine's decimals become doubles in Python."""
    return {key: float(f"{value:.12g}") if type(value) in (int, float) else value for key, value in line.items()}
