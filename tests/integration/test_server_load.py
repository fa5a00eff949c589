"""The server under load: a hundred open event streams and fifty jobs, and it still answers."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import accumulate
from pathlib import Path

import pytest
import requests

from tests.support.harness import sessions
from tests.support.market import Market
from tests.support.patience import PATIENCE
from tests.support.polygon_server import PolygonServer
from tests.support.served import Served

STREAMS = 100
JOBS = 50
RUNNING = 2
DAYS = sessions(date(2024, 1, 2), 40)
SYMBOLS = [f"S{letter}{digit}" for letter in "ABCDE" for digit in range(10)]
MARKET = Market.synthetic(SYMBOLS, DAYS, "minute", bars_per_day=30)
MEMORY = 300
"""Megabytes that the server may have at most."""
GROWTH = 80
"""Megabytes by which it may have grown through all of this."""
FILES_MORE = 10
"""File descriptors that may be open more than before, some time after the last stream ended."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A server whose vendor takes a moment for each answer."""
    with PolygonServer(MARKET, latency=0.1).in_subprocess() as polygon, Served(tmp_path, polygon.url) as server:
        yield server


class Watcher:
    """Reads the events of jobs as they come, each from a connection of its own."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.open = threading.Semaphore(0)

    def __call__(self, path: str) -> list[tuple[int, str]]:
        """The numbers and the states that one stream gave, to its end; the states of other events are empty."""
        found, number = [], 0
        with requests.get(f"{self._served.url}{path}/events", stream=True, timeout=60) as answer:
            self.open.release()
            for line in answer.iter_lines(chunk_size=None, decode_unicode=True):
                if line == "event: end":
                    return found
                if line.startswith("id: "):
                    number = int(line[4:])
                elif line.startswith("data: "):
                    data = json.loads(line[6:])
                    found.append((number, data["state"] if data["kind"] == "state" else ""))
        raise AssertionError(f"a stream of {path} broke off after {found[-1:]}")


def test_a_hundred_streams_and_fifty_jobs(served: Served) -> None:
    """Requests are answered meanwhile; streams are whole; jobs run in order, two at once; nothing leaks."""
    watcher = Watcher(served)
    files, memory = open_files(served), resident(served)
    peak, most = memory, 0
    with ThreadPoolExecutor(STREAMS) as pool:
        paths = [served.post("/api/downloads", {**body(), "symbols": [symbol]})["url"] for symbol in SYMBOLS[:JOBS]]
        streams = [pool.submit(watcher, paths[number % JOBS]) for number in range(STREAMS)]
        for _ in range(STREAMS):
            assert watcher.open.acquire(timeout=PATIENCE)
        while not all(stream.done() for stream in streams):
            for path in (paths[-1], "/health"):
                served.get(path)
            listed = served.get("/api/backtests", per_page=JOBS)
            assert listed["total"] == JOBS
            most = max(most, sum(job["state"] == "running" for job in listed["jobs"]))
            peak = max(peak, resident(served))
            time.sleep(0.01)
        events = [stream.result() for stream in streams]

    for numbers in ([number for number, _ in stream] for stream in events):
        assert numbers == list(range(1, len(numbers) + 1))
    assert {tuple(state for _, state in stream if state) for stream in events} == {("queued", "running", "completed")}
    assert most <= RUNNING
    jobs = served.get("/api/backtests", per_page=JOBS)["jobs"]
    begun = [job["started_at"] for job in reversed(jobs)]
    assert begun == sorted(begun)
    assert most_at_once([(job["started_at"], job["finished_at"]) for job in jobs]) == RUNNING
    assert peak < MEMORY
    assert peak - memory < GROWTH
    assert open_files(served, at_most=files + FILES_MORE) <= files + FILES_MORE


def most_at_once(runs: list[tuple[str, str]]) -> int:
    """How many of these runs, each with its begin and its end as ISO times, were under way at one time."""
    changes = sorted([(begin, 1) for begin, _ in runs] + [(end, -1) for _, end in runs])
    return max(accumulate(change for _, change in changes))


def body() -> dict[str, str]:
    """What every job asks for, but for the symbol."""
    return {"resolution": "minute", "start": DAYS[0].isoformat(), "end": DAYS[-1].isoformat()}


def resident(served: Served) -> int:
    """Megabytes of memory that the server has."""
    (line,) = (
        line
        for line in Path(f"/proc/{served.process.pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )
    return int(line.split()[1]) // 1024


def open_files(served: Served, at_most: int = 0, seconds: float = PATIENCE) -> int:
    """Count the server's file descriptors; wait until there are at most this many, but not for ever."""
    deadline = time.monotonic() + seconds
    while (count := len(os.listdir(f"/proc/{served.process.pid}/fd"))) > at_most > 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    return count
