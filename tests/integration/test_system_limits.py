"""Limits of the system and a data folder that disappears: the download goes on, or names the cause."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from server.lean.series import Resolution
from tests.support.faults import Fault
from tests.support.harness import Rig, sessions
from tests.support.market import Market
from tests.support.polygon_server import KEY, PolygonServer, Request
from tests.support.reports import counted, only_failure

Serve = Callable[..., PolygonServer]

DAYS = sessions(date(2024, 1, 4), 30)


def download_with_few_files(server: PolygonServer, root: Path, limit: int, symbols: list[str], days: list[date]) -> str:
    """The output of the command in a process that may have this number of files open; it must end with 0."""
    command = [sys.executable, "-m", "server", "download", *symbols, "--resolution", "minute"]
    command += ["--start", str(days[0]), "--end", str(days[-1]), "--data-folder", str(root / "data")]
    environ = {**os.environ, "POLYGON_API_KEY": KEY, "POLYGON_API_URL": server.url}
    environ["BACKTEST_SERVER_CORPORATE_ACTIONS"] = "off"
    done = subprocess.run(
        ["bash", "-c", f'ulimit -n {limit}; exec "$@"', "bash", *command],
        capture_output=True,
        text=True,
        env=environ,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("limit", [64, 40])
def test_a_hundred_symbols_with_few_files(polygon_server: Serve, tmp_path: Path, limit: int) -> None:
    """Locks, connections, databases and files of many days fit into this number of descriptors."""
    symbols = [f"S{n}" for n in range(101)]
    server = polygon_server(Market.synthetic(symbols, DAYS, bars_per_day=3))

    out = download_with_few_files(server, tmp_path, limit, symbols, DAYS)

    assert f"{101 * 30:,} downloaded, 0 without bars, 0 failed" in out


def test_no_further_thread(tmp_path: Path) -> None:
    """The days have failed for that reason, with what to raise."""
    before = threading.stack_size()
    rig = Rig(tmp_path)
    threading.stack_size(1 << 46)  # more than there are addresses
    try:
        report = rig.download("SPY", DAYS, Resolution.DAILY)
    finally:
        threading.stack_size(before)

    error = only_failure(report, "SPY", DAYS).error
    assert "the system allows this process no more threads" in error
    assert "ulimit -u" in error


def test_a_data_folder_that_is_removed_during_the_run(polygon_server: Serve, tmp_path: Path) -> None:
    """Days that were written before have failed, and the message names the folder, not the provider."""
    data = tmp_path / "data"

    def behave(request: Request, n: int) -> Fault | None:
        if "/B/" in request.path:
            assert written.wait(25)
            shutil.rmtree(data)
        return None

    written = threading.Event()
    server = polygon_server(Market.synthetic(["A", "B"], DAYS[:2], bars_per_day=3), on_request=behave)
    rig = Rig(tmp_path, server.url, max_concurrent_requests=1)

    class Events(list):  # type: ignore[type-arg]
        def append(self, event: object) -> None:
            super().append(event)
            if getattr(event, "kind", "") == "days":
                written.set()

    rig.events = Events()
    report = rig.download(["A", "B"], DAYS[:2])

    assert counted(report) == (0, 2, 0, 2)
    error = only_failure(report, "A", DAYS[:2]).error
    assert f"were written to {data} and are gone or changed since" in error
