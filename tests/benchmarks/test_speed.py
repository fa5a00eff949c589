"""How fast the server is: against fixed limits, and against other ways to get the same bars in the same run.

``make bench`` runs these and prints the tables. The server that answers is local, in a process of its own, and waits
50 ms before each answer. The limits are for two cores that do nothing else: the best of several runs counts for
them, the table shows the median.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import attrs
import pytest
from rich.console import Console
from rich.table import Table

from server.data_download.lean_zip import zip_bytes
from server.data_download.model import DownloadRequest, Resolution
from tests.benchmarks.archive import scenario
from tests.benchmarks.contenders import CONTENDERS, Job
from tests.support.harness import Rig, csv_of, lean_csv, sessions
from tests.support.market import Market
from tests.support.polygon_server import KEY, PolygonServer, RemoteServer

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
LATENCY = 0.05
ROUNDS = 5
SYMBOLS = ("AAPL", "IBM", "SPY")


@attrs.frozen(kw_only=True)
class Run:
    """What one run took, and what the server saw of it."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    requests: int
    megabytes: float
    digest: str


@contextmanager
def serving(resolution: str, days: Sequence[date], bars_per_day: int) -> Iterator[tuple[RemoteServer, Market]]:
    """The local server with this much of three symbols."""
    market = Market.synthetic(SYMBOLS, days, resolution, bars_per_day=bars_per_day)
    with PolygonServer(market, latency=LATENCY).in_subprocess() as server:
        yield server, market


def run(name: str, job: Job, server: RemoteServer) -> Run:
    """One run of a contender into an empty folder, which is removed again."""
    server.reset()
    job.folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.contenders", name],
        input=job.as_json(),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    seen = server.counters()
    files = csv_of(job.folder)
    shutil.rmtree(job.folder)
    return Run(
        **json.loads(done.stdout),
        requests=len(seen.requests),
        megabytes=seen.bytes_sent / 1e6,
        digest=digest_of(files) if files else "",
    )


def digest_of(files: Mapping[str, bytes]) -> str:
    """One value for all files, their names and CSV."""
    digest = hashlib.sha256()
    for name, csv in sorted(files.items()):
        digest.update(f"{name} {len(csv)}\n".encode() + csv)
    return digest.hexdigest()


def compare(server: RemoteServer, resolution: str, days: Sequence[date], scratch: Path) -> dict[str, list[Run]]:
    """All contenders, round by round and each round in another order. What they wrote must be the same."""
    runs: dict[str, list[Run]] = {name: [] for name in CONTENDERS}
    names = list(CONTENDERS)
    for turn in range(ROUNDS):
        for name in names[turn:] + names[:turn]:
            job = Job(
                url=server.url, key=KEY, folder=scratch / "data", symbols=SYMBOLS, resolution=resolution, days=days
            )
            runs[name].append(run(name, job, server))
    digests = {name: {one.digest for one in several} for name, several in runs.items() if name != "wire"}
    assert all(found == digests["native"] for found in digests.values()), digests
    assert len(digests["native"]) == 1
    return runs


def show(title: str, runs: Mapping[str, Sequence[Run]]) -> None:
    """The table of a comparison."""
    table = Table(title=title, title_justify="left")
    for column in ("", "best s", "median s", "spread s", "x native", "CPU s", "peak MB", "requests", "MB on the wire"):
        table.add_column(column, justify="right" if column else "left")
    native = statistics.median(one.seconds for one in runs["native"])
    for name, several in runs.items():
        times = [one.seconds for one in several]
        table.add_row(
            name,
            f"{min(times):.3f}",
            f"{statistics.median(times):.3f}",
            f"{max(times) - min(times):.3f}",
            f"{statistics.median(times) / native:.2f}",
            f"{min(one.cpu_seconds for one in several):.3f}",
            f"{max(one.peak_mb for one in several):.0f}",
            str(max(one.requests for one in several)),
            f"{several[0].megabytes:.1f}",
        )
    Console(width=120, highlight=False).print(table)


def check(runs: Mapping[str, Sequence[Run]], limit: float, most_requests: int) -> None:
    """The limit for native, and that it is faster than the others that write files."""
    assert min(one.seconds for one in runs["native"]) <= limit
    assert max(one.requests for one in runs["native"]) <= most_requests
    native = statistics.median(one.seconds for one in runs["native"])
    for other in ("client", "lean-request-pattern"):
        assert native < statistics.median(one.seconds for one in runs[other]), other


def test_half_a_year_of_minutes_of_three_symbols(scratch: Path, archived: list[dict[str, Any]]) -> None:
    """Three symbols, 126 days of 390 minutes, cold: 0.6 s, 18 requests, and faster than the other ways."""
    days = sessions(date(2023, 7, 3), 126)
    with serving("minute", days, 390) as (server, _):
        runs = compare(server, "minute", days, scratch)
    show("three symbols x 126 days x 390 minute bars", runs)
    archived.append(scenario("3 symbols x 126 days x 390 minute bars, cold", runs))
    check(runs, limit=0.6, most_requests=18)


def test_a_week_of_seconds_of_three_symbols(scratch: Path, archived: list[dict[str, Any]]) -> None:
    """Three symbols, 5 days of 23,400 seconds, cold: 0.85 s, and faster than the other ways."""
    days = sessions(date(2024, 3, 4), 5)
    with serving("second", days, 23_400) as (server, _):
        runs = compare(server, "second", days, scratch)
    show("three symbols x 5 days x 23,400 second bars", runs)
    archived.append(scenario("3 symbols x 5 days x 23,400 second bars, cold", runs))
    check(runs, limit=0.85, most_requests=18)


def test_fifty_thousand_present_files(scratch: Path) -> None:
    """200 symbols x 252 days on disk: found present in 15 s at the first look and in 1 s after it."""
    days = sessions(date(2023, 3, 1), 252)
    symbols = [f"S{letter}{other}" for letter in "ABCDEFGHIJKLMNOPQRST" for other in "ABCDEFGHIJ"]
    rig = Rig(scratch)
    csv = lean_csv(Market.synthetic(["SPY"], days[:1])["SPY", "minute"], days[0])
    for symbol in symbols:
        folder = rig.data / "equity" / "usa" / "minute" / symbol.lower()
        folder.mkdir(parents=True)
        for day in days:
            data = zip_bytes(f"{day:%Y%m%d}_{symbol.lower()}_minute_trade.csv", csv)
            (folder / f"{day:%Y%m%d}_trade.zip").write_bytes(data)
    request = DownloadRequest(symbols=tuple(symbols), resolution=Resolution.MINUTE, start=days[0], end=days[-1])

    def look() -> float:
        with rig.downloader() as downloader:
            started = time.perf_counter()
            found = downloader.look(request)
            seconds = time.perf_counter() - started
        assert not found.gaps
        assert not found.damaged
        assert sum(len(states) for states in found.states.values()) == 50_400
        return seconds

    first, *later = (look() for _ in range(4))
    print(f"\n50,400 present files: first look {first:.2f} s, later ones {', '.join(f'{s:.3f}' for s in later)} s")
    assert first < 15
    assert min(later) < 1


def process(*arguments: str, **environ: str) -> tuple[float, str]:
    """The time of a whole process of the command line, and what it printed."""
    command = [str(Path(sys.executable).with_name("backtest-server")), *arguments]
    started = time.perf_counter()
    done = subprocess.run(command, env={**os.environ, **environ}, cwd=ROOT, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    assert done.returncode == 0, done.stderr
    return seconds, done.stdout


def test_the_help_is_there_at_once() -> None:
    """``backtest-server --help`` takes less than 0.25 s as a whole process."""
    seconds = [process("--help")[0] for _ in range(6)]
    print(f"\nbacktest-server --help: best {min(seconds):.3f} s, median {statistics.median(seconds):.3f} s")
    assert min(seconds) < 0.25


def test_a_download_of_nothing_missing_as_a_whole_process(scratch: Path) -> None:
    """A cold download and one with everything present, each a whole process of the command line."""
    days = sessions(date(2023, 3, 1), 252)
    data = scratch / "data"
    with serving("minute", days, 390) as (server, _):
        environ = {"POLYGON_API_KEY": KEY, "POLYGON_API_URL": server.url}
        arguments = ["download", "SPY", "--resolution", "minute", "--start", str(days[0]), "--end", str(days[-1])]
        arguments += ["--data-folder", str(data), "--json"]
        cold, text = process(*arguments, **environ)
        assert json.loads(text)["days_downloaded"] == 252
        sent = len(server.requests)
        again: list[tuple[float, dict[str, Any]]] = []
        for _ in range(5):
            seconds, text = process(*arguments, **environ)
            again.append((seconds, json.loads(text)))
        assert len(server.requests) == sent
    assert all(report["days_present"] == 252 and not report["api_calls"] for _, report in again)
    seconds = [one for one, _ in again]
    print(
        f"\nbacktest-server download, one symbol, a year of minutes, whole process: cold {cold:.2f} s; nothing missing:"
        f" best {min(seconds):.3f} s, median {statistics.median(seconds):.3f} s (goal 0.4 s), of which the download"
        f" itself {min(report['duration_s'] for _, report in again):.3f} s"
    )
    assert min(seconds) < 1.0
