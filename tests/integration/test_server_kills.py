"""The server killed at any moment: no job is lost, no file damaged, and nothing is fetched twice without need."""

from __future__ import annotations

import random
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import date, datetime
from itertools import count, groupby
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
import requests

from server.data_download.verify import check_folder
from server.lean.series import Resolution
from tests.support.faults import Fault
from tests.support.harness import csv_of, lean_files, leftovers, sessions
from tests.support.market import Market, new_york_day
from tests.support.patience import PATIENCE
from tests.support.polygon_server import PolygonServer, Request
from tests.support.served import Served

KILLS = 20
MOST_REQUESTS = 4
"""How many requests a server may send before it is killed, at most."""
LATENCY = 0.2
DAYS = sessions(date(2023, 9, 1), 120)
SYMBOLS = [f"S{letter}" for letter in "ABCDEFGHIJKLMNOP"]
MARKET = Market.synthetic(SYMBOLS, DAYS, "minute", bars_per_day=10)
BATCHES = [SYMBOLS[first : first + 4] for first in range(0, 16, 2)]
"""The symbols of each job; each is in two of them."""
JOINED = 5
"""Trading days on disk that are asked for again at most, rather than sending another request."""
STATES = {"queued", "running", "completed", "interrupted"}


class Client:
    """Starts jobs and tries interrupted ones again, through servers that die under it."""

    def __init__(self) -> None:
        self.accepted: dict[str, list[str]] = {}
        self.waiting = [*BATCHES]
        self.retried: set[str] = set()

    def go_on(self, served: Served) -> None:
        """Do what is still to be done; raises requests' errors where the server is gone."""
        for job in served.get("/api/backtests", per_page=100)["jobs"]:
            if job["state"] == "interrupted" and job["id"] not in self.retried:
                again = served.post(f"/api/backtests/{job['id']}/retry")["id"]
                self.retried.add(job["id"])
                self.accepted[again] = job["request"]["symbols"]
        while self.waiting:
            self.accepted[served.post("/api/downloads", body(self.waiting[0]))["id"]] = self.waiting[0]
            del self.waiting[0]

    def check(self, served: Served) -> None:
        """Every job that was accepted is there as it was asked for."""
        there = {job["id"]: job for job in served.get("/api/backtests", per_page=100)["jobs"]}
        assert self.accepted.keys() <= there.keys()
        for identity, symbols in self.accepted.items():
            assert there[identity]["state"] in STATES, there[identity]
            assert there[identity]["request"]["symbols"] == symbols


def body(symbols: list[str]) -> dict[str, Any]:
    """A download of all days."""
    return {"symbols": symbols, "resolution": "minute", "start": DAYS[0].isoformat(), "end": DAYS[-1].isoformat()}


class Killer:
    """For `PolygonServer.on_request`: kills a server around its n-th request, and answers none of those after it."""

    def __init__(self, moments: random.Random) -> None:
        self._requests = moments.randint(0, MOST_REQUESTS)
        self._seen = count(1)
        self._started: Queue[Served] = Queue()
        self._killed = threading.Event()
        self._timer = threading.Timer(moments.uniform(0, LATENCY * 1.5), self._kill)

    def arm(self, served: Served) -> None:
        """Set the server to kill, which may have sent requests already; one that may send none is killed soon."""
        self._started.put(served)
        if not self._requests:
            self._timer.start()

    def __call__(self, request: Request, n: int) -> Fault | None:
        """Start the timer at the n-th request; hold those after it until the server is gone."""
        number = next(self._seen)
        if number == self._requests:
            self._timer.start()
        elif number > self._requests:
            self._killed.wait(PATIENCE)
        return None

    def join(self) -> None:
        """Wait for the end of the timer's thread."""
        self._timer.join()

    def _kill(self) -> None:
        self._started.get(timeout=PATIENCE).process.send_signal(signal.SIGKILL)
        self._killed.set()


@pytest.mark.timeout(180)
def test_twenty_kills(polygon_server: Callable[..., PolygonServer], tmp_path: Path) -> None:
    """At the end all jobs are there, all days are as LEAN would have them, and none on disk was asked for again."""
    polygon = polygon_server(MARKET, latency=LATENCY)
    data, client, moments = tmp_path / "data", Client(), random.Random(4)
    environ = {"BACKTEST_SERVER_MAX_CONCURRENT_REQUESTS": "2"}
    settled: set[tuple[str, str, str]] = set()
    for _ in range(KILLS):
        present, before = on_disk(data), len(polygon.requests)
        polygon.on_request = killer = Killer(moments)
        with Served(tmp_path, polygon.url, environ=environ) as served:
            killer.arm(served)
            with suppress(requests.RequestException):
                client.check(served)
                client.go_on(served)
            assert served.process.wait(30) == -signal.SIGKILL
            killer.join()
        asked = polygon.requests[before:]
        assert not [request.window for request in asked if asks_again(request, present)]
        assert not {(window[0], *window[2:]) for request in asked if (window := request.window)} & settled
        settled |= cached(data)
        check_folder(data)
        check_databases(data)
    assert settled
    assert len(on_disk(data)) < len(SYMBOLS) * len(DAYS)  # no kill came after the end
    polygon.latency, polygon.on_request = 0, None

    with Served(tmp_path, polygon.url, environ=environ) as served:
        client.check(served)
        client.go_on(served)
        states = {identity: served.ended(f"/api/downloads/{identity}")["state"] for identity in client.accepted}

    assert set(states.values()) <= {"completed", "interrupted"}
    assert {identity for identity, state in states.items() if state == "interrupted"} <= client.retried
    done = {tuple(client.accepted[identity]) for identity, state in states.items() if state == "completed"}
    assert done == {tuple(symbols) for symbols in BATCHES}
    assert leftovers(data) == []
    assert csv_of(data) == {
        name: text for symbol in SYMBOLS for name, text in lean_files(MARKET, symbol, DAYS, Resolution.MINUTE).items()
    }


def test_a_stopped_server_ends_its_streams(polygon_server: Callable[..., PolygonServer], tmp_path: Path) -> None:
    """Without the event that says that the job is over; the next server goes on with them."""
    polygon = polygon_server(MARKET, latency=60)
    with Served(tmp_path, polygon.url) as served:
        path = served.post("/api/downloads", body(SYMBOLS[:1]))["url"]
        with requests.get(f"{served.url}{path}/events", stream=True, timeout=30) as stream:
            lines = stream.iter_lines(chunk_size=None, decode_unicode=True)
            first = [next(lines) for _ in range(2)]
            served.stop()
            rest = list(lines)
    polygon.latency = 0

    assert first[0] == "id: 1"
    assert "event: end" not in rest
    assert not [line for line in served.errors if "ERROR" in line]
    last = [line for line in [*first, *rest] if line.startswith("id: ")][-1].removeprefix("id: ")
    with Served(tmp_path, polygon.url) as served:
        answer = served.http.get(f"{served.url}{path}/events", headers={"Last-Event-ID": last}, timeout=30)
    numbers = [int(line[4:]) for line in answer.text.splitlines() if line.startswith("id: ")]
    assert numbers == list(range(int(last) + 1, int(last) + 1 + len(numbers)))
    assert '"interrupted"' in answer.text
    assert answer.text.endswith("event: end\ndata: {}\n\n")


def on_disk(data: Path) -> set[tuple[str, date]]:
    """The symbol-days that have a file."""
    return {
        (path.parent.name.upper(), datetime.strptime(path.name[:8], "%Y%m%d").date())
        for path in (data / "equity" / "usa" / "minute").glob("*/*_trade.zip")
    }


def cached(data: Path) -> set[tuple[str, str, str]]:
    """The symbols, first and last days of the requests whose responses a killed server left in its HTTP cache."""
    path = data / ".backtest-server" / "http-cache.sqlite"
    if not path.exists():
        return set()
    with closing(sqlite3.connect(path)) as connection:
        keys = [key for (key,) in connection.execute("SELECT key FROM responses")]
    fields = [key.split("|") for key in keys]
    return {(ticker, first, last) for _, ticker, _, first, last, _ in (row for row in fields if len(row) == 6)}


def asks_again(request: Request, present: set[tuple[str, date]]) -> bool:
    """Whether it asks for days on disk, other than the few that part two gaps which one request fetches."""
    if not request.window:
        return False
    symbol, _, begin, end = request.window
    days = [day for day in DAYS if as_day(begin) <= day <= as_day(end)]
    runs = [(there, len(list(run))) for there, run in groupby((symbol, day) in present for day in days)]
    return runs[0][0] or runs[-1][0] or any(there and length > JOINED for there, length in runs)


def as_day(text: str) -> date:
    """A window's end, given as a day or in milliseconds."""
    return new_york_day(int(text)) if text.isdecimal() else date.fromisoformat(text)


def check_databases(data: Path) -> None:
    """SQLite finds nothing wrong with what a killed server left."""
    for path in (data / ".backtest-server").glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
