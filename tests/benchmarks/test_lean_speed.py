"""What the server adds to a run of LEAN, against fixed limits; the stand-in for LEAN's launcher runs in its place.

The limits are for two cores that do nothing else: the best of several runs counts for them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from server.backtest import BacktestRequest
from server.backtest_server import BacktestManager
from server.jobs import JobState
from server.lean.layout import layout_of
from server.lean.series import Resolution, Series
from server.lean.zip import zip_bytes
from server.plugins.manager import build_plugin_manager
from server.settings import load_settings
from server.workspace import Workspace
from tests.support.engine_programs import write_python
from tests.support.harness import NOW, lean_csv, sessions
from tests.support.lean_workspace import write_program
from tests.support.market import Market
from tests.support.stand_in_lean.install import install_stand_in
from tests.support.stand_in_lean.reference_files import write_reference_files
from tests.support.stand_in_runs import write_series

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform == "win32", reason="the stand-in's programs are scripts"),
]

LIMIT, WHOLE_LIMIT = 0.3, 1.5
"""Seconds besides LEAN's own process: of the engine's phase, and of the command without the import of pandas."""

SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
DAYS = sessions(date(2023, 3, 1), 250)
OTHER_SHARES = 500
ALGORITHM = """from AlgorithmImports import *


class Strategy(QCAlgorithm):
    def initialize(self):
        self.set_start_date({start.year}, {start.month}, {start.day})
        self.set_end_date({end.year}, {end.month}, {end.day})
        for ticker in {symbols}:
            self.add_equity(ticker, Resolution.MINUTE)
"""


class Rig(NamedTuple):
    """A project, all of its data, and LEAN's programs."""

    folder: Path
    environ: dict[str, str]
    times: Path

    def launcher_seconds(self) -> float:
        """How long the launcher's processes have run since the last call."""
        lines = [line.split() for line in self.times.read_text().splitlines()]
        self.times.write_text("")
        return sum(float(end) - float(start) for start, end in lines)


@pytest.fixture(scope="module")
def rig(home: Path) -> Rig:
    """A year of minutes of four symbols and the benchmark's bars, next to map and factor files of 500 other shares."""
    write_data(home / "data")
    project = home / "Strategy"
    (project / "config").mkdir(parents=True)
    (project / "main.py").write_text(ALGORITHM.format(start=DAYS[0], end=DAYS[-1], symbols=SYMBOLS))
    parameters = f"symbols = {list(SYMBOLS)}\nresolution = 'minute'\nstart = '{DAYS[0]}'\nend = '{DAYS[-1]}'\n"
    (project / "config" / "parameters.py").write_text(parameters)
    stand_in = install_stand_in(home / "stand-in")
    times, timed = home / "times", home / "timed"
    times.write_text("")
    launch = (
        f'#!/bin/sh\ncase "$1" in *.dll) ;; *) exec "{stand_in.bin}/dotnet" "$@" ;; esac\n'
        f'started=$(date +%s.%N)\n"{stand_in.bin}/dotnet" "$@"\ncode=$?\n'
        f'echo "$started $(date +%s.%N)" >> "{times}"\nexit $code\n'
    )
    write_program(timed / "dotnet", launch)
    write_python(timed / "python3")
    environ = {
        "PATH": f"{timed}:/usr/bin:/bin",
        "HOME": str(home),
        "LEAN_LAUNCHER": str(stand_in.launcher),
        "LEAN_DATA_FOLDER": str(home / "data"),
        "POLYGON_API_KEY": "key-for-tests",
        "POLYGON_API_URL": "http://127.0.0.1:9",
        "BACKTEST_SERVER_ENGINE": "lean-native",
        "BACKTEST_SERVER_CORPORATE_ACTIONS": "off",
    }
    return Rig(home, environ, times)


def write_data(data: Path) -> None:
    """Write the data folder."""
    write_reference_files(data)
    csv = lean_csv(Market.synthetic(["SPY"], DAYS[:1])["SPY", "minute"], DAYS[0])
    for symbol in SYMBOLS:
        layout = layout_of(Series(symbol, Resolution.MINUTE))
        for day in DAYS:
            path = data / layout.path(day)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(zip_bytes(layout.member(day), csv))
    prices = {day: 400.0 + number for number, day in enumerate(DAYS)}
    for resolution in ("hour", "daily"):
        write_series(data, resolution, "spy", prices)
    for name, row in (
        ("map_files", "19980102,{0}\n20501231,{0}\n"),
        ("factor_files", "19980102,1,1,1\n20501231,1,1,0\n"),
    ):
        folder = data / "equity" / "usa" / name
        folder.mkdir(parents=True, exist_ok=True)
        others = (f"x{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(OTHER_SHARES))
        for ticker in (*map(str.lower, SYMBOLS), "spy", *others):
            (folder / f"{ticker}.csv").write_text(row.format(ticker))


def best(measure: Callable[[], float], runs: int = 6) -> tuple[float, str]:
    """The shortest of several durations after a first one that does not count, and all of them as text."""
    first, *later = (measure() for _ in range(runs))
    return min(later), f"first {first:.3f} s, then {', '.join(f'{one:.3f}' for one in later)} s"


def python_seconds(rig: Rig) -> float:
    """How long the interpreter of Python algorithms takes to import what LEAN needs."""
    started = time.perf_counter()
    subprocess.run(["python3", "-c", "import numpy, pandas"], env=rig.environ, check=True)
    return time.perf_counter() - started


def test_the_engine_phase_around_lean(rig: Rig) -> None:
    """With all data there, the phase takes less than 0.3 s besides LEAN's own process."""
    settings = load_settings(environ=rig.environ, cwd=rig.folder)
    workspace = Workspace.open(settings, build_plugin_manager(), clock=lambda: NOW)
    request = BacktestRequest(project=rig.folder / "Strategy")

    def run() -> float:
        result = manager.run(request)
        assert (result.state, result.error) == (JobState.COMPLETED, None)
        assert result.engine_result is not None
        assert str(result.engine_result.verdict).startswith("complete")
        [phase] = [phase for phase in result.phases if phase.name == "engine"]
        return phase.duration_s - rig.launcher_seconds()

    try:
        manager = BacktestManager(workspace, environ=rig.environ)
        seconds, text = best(run)
        manager.close()
    finally:
        workspace.close()
    print(f"\nengine phase without LEAN's process: {text} (limit {LIMIT} s)")
    assert seconds < LIMIT


def test_the_whole_command_around_lean(rig: Rig) -> None:
    """The whole process of ``backtest`` without LEAN's own: start, probes, and the check of 1,000 files."""
    phases: list[float] = []

    def run() -> float:
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "server", "backtest", "Strategy", "--json"],
            cwd=rig.folder,
            env={**rig.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - started
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        launcher = rig.launcher_seconds()
        [phase] = [phase for phase in found["phases"] if phase["name"] == "engine"]
        phases.append(phase["duration_s"] - launcher)
        return seconds - launcher

    seconds, text = best(run)
    probe = min(python_seconds(rig) for _ in range(3))
    print(
        f"\nbacktest, whole process without LEAN's: {text}, of which the engine's phase {min(phases):.3f} s (limit "
        f"{LIMIT} s), and before it {probe:.3f} s in which the interpreter of lean-python imports pandas and numpy"
    )
    assert min(phases) < LIMIT
    assert seconds - probe < WHOLE_LIMIT
