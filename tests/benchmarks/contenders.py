"""Ways to get the same bars, each run in a process of its own into an empty folder.

``python -m tests.benchmarks.contenders NAME < job.json`` prints what it took as JSON. Modules are imported before
the time is taken, for every contender alike.

- ``native``: this project, with its HTTP cache, its checks and its syncing.
- ``native-cli``: the same through ``backtest-server download``; here the modules are imported within the time, as
  the first download of a process has it.
- ``wire``: the requests that native sends, over five connections; bodies are read and thrown away.
- ``client``: the vendor's own Python client as its manual shows it, a month of minutes or a day of seconds at a
  time, and LEAN's files written with `zipfile`.
- ``client-threads``: the same in five threads.
- ``lean-request-pattern``: a replay, in Python, of the requests that LEAN's downloader makes: one connection, pages
  of 5,000 bars, no compression, each body parsed as a whole, files written after a symbol's last page.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import resource
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import attrs

NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)
CONNECTIONS = 5


@attrs.frozen(kw_only=True)
class Job:
    """What is to be fetched, from where, and where to. ``days`` are all the trading days of their range."""

    url: str
    key: str
    folder: Path
    symbols: Sequence[str]
    resolution: str
    days: Sequence[date]

    def as_json(self) -> str:
        """The job as text."""
        return json.dumps(attrs.asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The job that `as_json` wrote."""
        fields = json.loads(text)
        days = [date.fromisoformat(day) for day in fields["days"]]
        return cls(**{**fields, "days": days, "folder": Path(fields["folder"])})

    def parts(self) -> list[tuple[str, list[date]]]:
        """Symbols with the days of one question: a month of minutes, a day of seconds."""
        size = "%Y%m" if self.resolution == "minute" else "%Y%m%d"
        return [
            (symbol, list(days)) for symbol in self.symbols for _, days in groupby(self.days, lambda d: f"{d:{size}}")
        ]


def native(job: Job) -> Callable[[], object]:
    """This project's downloader, put together as the command line does it."""
    import server.data_download.sink
    import server.plugins.polygon_provider.provider  # noqa: F401
    from server.data_download.model import DownloadRequest, Resolution
    from server.plugins.manager import build_plugin_manager
    from server.settings import load_settings
    from server.workspace import Workspace

    environ = {"POLYGON_API_KEY": job.key, "POLYGON_API_URL": job.url}
    settings = load_settings(flags={"data-folder": job.folder}, environ=environ, cwd=job.folder)
    workspace = Workspace.open(settings, build_plugin_manager(), clock=lambda: NOW)
    request = DownloadRequest(
        symbols=tuple(job.symbols), resolution=Resolution(job.resolution), start=job.days[0], end=job.days[-1]
    )

    def work() -> float:
        report = workspace.downloader().download(request)
        workspace.close()
        assert report.complete, report.failures
        assert report.days_downloaded == len(job.symbols) * len(job.days)
        return report.duration_s

    return work


def native_cli(job: Job) -> Callable[[], object]:
    """The command line, as it is called from a shell."""
    from server.cli import main as command_line

    os.environ |= {"POLYGON_API_KEY": job.key, "POLYGON_API_URL": job.url}
    arguments = ["download", *job.symbols, "--resolution", job.resolution, "--json"]
    arguments += ["--start", str(job.days[0]), "--end", str(job.days[-1]), "--data-folder", str(job.folder)]

    def work() -> float:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            command_line(arguments)
        return float(json.loads(printed.getvalue())["duration_s"])

    return work


def wire(job: Job) -> Callable[[], object]:
    """Native's requests and nothing else."""
    from server.data_download.model import Gap, Resolution
    from server.plugins.polygon_provider.windows import plan_windows
    from server.trading_calendar import USEquityTradingCalendar

    calendar = USEquityTradingCalendar.load(None, NOW.date())
    gaps = [Gap(symbol=s, resolution=Resolution(job.resolution), days=tuple(job.days)) for s in job.symbols]
    targets = [window.target for window in plan_windows(gaps, calendar, NOW, counted=False, connections=CONNECTIONS)]
    host = urlsplit(job.url).netloc
    headers = {"Authorization": f"Bearer {job.key}", "Accept-Encoding": "gzip"}

    def connection(mine: Sequence[str]) -> None:
        line = http.client.HTTPConnection(host)
        for target in mine:
            line.request("GET", target, headers=headers)
            answer = line.getresponse()
            assert answer.status == 200
            while answer.read(1 << 18):
                pass
        line.close()

    def work() -> None:
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(connection, (targets[first::CONNECTIONS] for first in range(CONNECTIONS))))

    return work


def client(job: Job, threads: int = 1) -> Callable[[], object]:
    """The vendor's Python client and `zipfile`."""
    from massive import RESTClient

    rest = RESTClient(api_key=job.key, base=job.url)

    def part(symbol: str, days: Sequence[date]) -> None:
        bars = rest.list_aggs(
            symbol,
            1,
            job.resolution,
            days[0].isoformat(),
            days[-1].isoformat(),
            adjusted=False,
            sort="asc",
            limit=50_000,
        )
        rows = ((bar.timestamp, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars)
        write_days(job, symbol, days, rows)

    def work() -> None:
        if threads == 1:
            for symbol, days in job.parts():
                part(symbol, days)
            return
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda question: part(*question), job.parts()))

    return work


def client_threads(job: Job) -> Callable[[], object]:
    """The vendor's Python client in five threads."""
    return client(job, CONNECTIONS)


def lean_request_pattern(job: Job) -> Callable[[], object]:
    """A replay of the requests of LEAN's downloader."""
    import requests

    session = requests.Session()
    session.headers.update({"Authorization": f"Bearer {job.key}", "Accept-Encoding": "identity"})
    first, last = midnight(job.days[0]), midnight(job.days[-1] + timedelta(days=1)) - 1

    def pages(symbol: str) -> Iterator[dict[str, Any]]:
        url = f"{job.url}/v2/aggs/ticker/{symbol}/range/1/{job.resolution}/{first}/{last}?limit=5000&adjusted=False"
        while url:
            page = json.loads(session.get(url).content)
            yield from page.get("results", ())
            url = page.get("next_url", "")

    def work() -> None:
        session.get(f"{job.url}/v3/reference/exchanges?limit=5000")
        for symbol in job.symbols:
            bars = list(pages(symbol))
            rows = ((bar["t"], bar["o"], bar["h"], bar["l"], bar["c"], bar["v"]) for bar in bars)
            write_days(job, symbol, job.days, rows)

    return work


def write_days(job: Job, symbol: str, days: Sequence[date], rows: Iterable[Sequence[float]]) -> None:
    """Write LEAN's files with the standard library, row by row, from bars in ascending order."""
    folder = job.folder / "equity" / "usa" / job.resolution / symbol.lower()
    folder.mkdir(parents=True, exist_ok=True)
    rest = iter(rows)
    row = next(rest, None)
    for day in days:
        begin, end, lines = midnight(day), midnight(day + timedelta(days=1)), []
        while row is not None and row[0] < end:
            t, *prices, volume = row
            tenths = ",".join(str(round(price * 10_000)) for price in prices)
            lines.append(f"{t - begin},{tenths},{int(volume)}")
            row = next(rest, None)
        with zipfile.ZipFile(folder / f"{day:%Y%m%d}_trade.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{day:%Y%m%d}_{symbol.lower()}_{job.resolution}_trade.csv", "\n".join(lines))


def midnight(day: date) -> int:
    """When this New York day begins, in milliseconds UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).timestamp()) * 1000


CONTENDERS: dict[str, Callable[[Job], Callable[[], object]]] = {
    "native": native,
    "native-cli": native_cli,
    "wire": wire,
    "client": client,
    "client-threads": client_threads,
    "lean-request-pattern": lean_request_pattern,
}


def peak_megabytes() -> float:
    """The most memory that this process held at once."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage knows of the process before exec, too, which was the tests'
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << (20 if sys.platform == "darwin" else 10))


def main() -> None:
    """Run one contender; its own figure of the time counts if it returns one."""
    work = CONTENDERS[sys.argv[1]](Job.from_json(sys.stdin.read()))
    os.sync()
    cpu, started = time.process_time(), time.perf_counter()
    told = work()
    seconds = told if isinstance(told, float) else time.perf_counter() - started
    cpu = time.process_time() - cpu
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "peak_mb": peak_megabytes()}))


if __name__ == "__main__":
    main()
