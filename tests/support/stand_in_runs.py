"""Runs of the stand-in for LEAN's launcher: a data folder, a complete configuration, a process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from server.engines.results import LeanRun, read_run
from tests.support.patience import PATIENCE
from tests.support.stand_in_lean.install import StandIn
from tests.support.stand_in_lean.lean_cli import ENVIRONMENT, HANDLERS

ALGORITHM = """from AlgorithmImports import *


class Algorithm(QCAlgorithm):
    def initialize(self):
        self.set_start_date(2013, 10, 7)
        self.set_end_date(2013, 10, 11)
        {calls}

    def on_data(self, data):
        pass
"""
DAYS = tuple(date(2013, 10, day) for day in (7, 8, 9, 10, 11))
PRICES = dict(zip(DAYS, (100.0, 110.0, 120.0, 130.0, 140.0), strict=True))
MINUTES = 'self.add_equity("SPY", Resolution.MINUTE)'
DAILY = 'self.add_equity("SPY", Resolution.DAILY)'


def write_project(folder: Path, *calls: str, source: str = "", marker: str = "") -> Path:
    """Write main.py with these calls in its initialization, or this source; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    text = source or ALGORITHM.format(calls="\n        ".join(calls or ("pass",)))
    path = folder / "main.py"
    path.write_text(text + (f"# stand-in: {marker}\n" if marker else ""), "utf-8")
    return path


def write_zip(data: Path, path: str, rows: Sequence[str]) -> Path:
    """Write a zip of bars at this path of a data folder."""
    target = data / path
    target.parent.mkdir(parents=True, exist_ok=True)
    day = f"{target.stem.partition('_')[0]}_{target.parent.name}_{target.parent.parent.name}_trade"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{day if target.stem.endswith('_trade') else target.stem}.csv", "\n".join(rows))
    return target


def write_minutes(data: Path, ticker: str, prices: Mapping[date, float]) -> None:
    """Write a file of minutes for each day: two bars, with this last price."""
    for day, price in prices.items():
        rows = [
            f"{ms},{price * 10_000:.0f},{price * 10_000:.0f},{price * 10_000:.0f},{price * 10_000:.0f},100"
            for ms in (34_200_000, 57_540_000)
        ]
        write_zip(data, f"equity/usa/minute/{ticker}/{day:%Y%m%d}_trade.zip", rows)


def write_series(data: Path, resolution: str, ticker: str, prices: Mapping[date, float]) -> None:
    """Write a file of hours or days: one bar a day, with this price."""
    hour = "15:00" if resolution == "hour" else "00:00"
    rows = [f"{day:%Y%m%d} {hour}" + f",{price * 10_000:.0f}" * 4 + ",1000" for day, price in prices.items()]
    write_zip(data, f"equity/usa/{resolution}/{ticker}.zip", rows)


class LauncherRun:
    """One run of the launcher.

    Attributes:
        folder: The run's own folder, with `config.json` and `results`.
        config: The configuration; changes count until `start`.
    """

    def __init__(self, stand_in: StandIn, folder: Path, data: Path, algorithm: Path, **changes: Any) -> None:
        self.stand_in, self.folder, self.data = stand_in, folder, data
        self.results = folder / "results"
        self.environ = {**os.environ, "PATH": stand_in.path, "PYTHONNET_PYDLL": str(stand_in.library)}
        self.config: dict[str, Any] = {
            **HANDLERS,
            "environment": "backtesting",
            "live-mode": False,
            "debug-mode": False,
            "show-missing-data-logs": True,
            "algorithm-type-name": "Algorithm",
            "algorithm-language": "Python" if algorithm.suffix == ".py" else "CSharp",
            "algorithm-location": str(algorithm),
            "data-folder": str(data),
            "results-destination-folder": str(self.results),
            "algorithm-id": "run",
            "backtest-name": "run",
            "close-automatically": True,
            "parameters": {},
            "object-store-root": str(folder / "storage"),
            "job-user-id": "0",
            "api-access-token": "",
            "job-organization-id": "",
            "python-additional-paths": [str(stand_in.launcher)],
            "environments": {"backtesting": dict(ENVIRONMENT)},
            **changes,
        }
        self.exit_code: int | None = None
        self._process: subprocess.Popen[str] | None = None
        self.stdout = self.stderr = ""

    def start(self, *options: str, argv: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start the process: the launcher with the configuration and more options, or this command."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "config.json"
        path.write_text(json.dumps(self.config), "utf-8")
        dll = str(self.stand_in.launcher / "QuantConnect.Lean.Launcher.dll")
        command = list(argv) or ["dotnet", dll, "--config", str(path), *options]
        program = shutil.which(command[0], path=self.stand_in.path)
        assert program is not None
        self._process = subprocess.Popen(
            [program, *command[1:]],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        return self._process

    def kill(self) -> None:
        """End a process that still runs, as after a test that failed."""
        if self._process and self._process.poll() is None:
            interrupt(self._process, signal.SIGKILL)
            self._process.communicate(timeout=PATIENCE)

    def end(self, process: subprocess.Popen[str]) -> LauncherRun:
        """Wait for the process's end."""
        self.stdout, self.stderr = process.communicate(timeout=PATIENCE)
        self.exit_code = process.returncode
        return self

    def run(self, *options: str, argv: Sequence[str] = ()) -> LauncherRun:
        """Run to the end."""
        return self.end(self.start(*options, argv=argv))

    def read(self) -> LeanRun:
        """The results as the product reads them."""
        return read_run(self.results, datetime.now(UTC), ended=True, console=self.stderr.splitlines())

    def result(self) -> dict[str, Any]:
        """The result file."""
        found: dict[str, Any] = json.loads((self.results / "run.json").read_text("utf-8"))
        return found

    def listed(self, kind: str) -> list[str]:
        """The failed or succeeded requests, relative to the data folder."""
        [path] = self.results.glob(f"{kind}-data-requests-*.txt")
        return [line.removeprefix("/") for line in path.read_text().splitlines()]


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: It does not within the tests' patience.
    """
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def interrupt(process: subprocess.Popen[str], number: int = signal.SIGINT) -> None:
    """Send a signal to a process's group."""
    os.killpg(process.pid, number)
