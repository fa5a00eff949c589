"""The server while its job database is locked by another process, or damaged."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path

import pytest
import requests

from tests.support.faults import Fault
from tests.support.market import Market
from tests.support.patience import PATIENCE
from tests.support.polygon_server import PolygonServer, Request
from tests.support.served import Served

DAYS = [date(2024, 6, day) for day in (3, 4, 5, 6, 7)]
MARKET = Market.synthetic(["SPY"], DAYS, "daily")
BODY = {"symbols": ["SPY"], "resolution": "daily", "start": "2024-06-03", "end": "2024-06-07"}
READ_SECONDS, WRITE_SECONDS = 1.0, 10.0
WRITERS = 50
"""Requests that want to write at once: more than the server has threads."""
HTML = {"Accept": "text/html"}

LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def served(polygon_server: Callable[..., PolygonServer], tmp_path: Path) -> Iterator[Served]:
    """A server whose vendor has the market."""
    with Served(tmp_path, polygon_server(MARKET).url) as server:
        yield server


def database(served: Served) -> Path:
    """The server's job database."""
    return served.folder / "data" / ".backtest-server" / "jobs.sqlite"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a database in another process."""
    command = [sys.executable, "-c", LOCK, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        try:
            yield
        finally:
            process.communicate()


def test_reads_are_answered_while_another_process_has_the_lock(served: Served) -> None:
    """Pages and API within a second, while more requests wait to write than there are threads; those get 503."""
    job = served.ended(served.post("/api/downloads", BODY)["url"])
    paths = ("/", f"/downloads/{job['id']}", "/api/backtests", f"/api/downloads/{job['id']}", "/metrics", "/health")

    def write(number: int) -> tuple[int, float, str]:
        began = time.monotonic()
        answer = requests.post(f"{served.url}/api/downloads", json=BODY, timeout=120)
        return answer.status_code, time.monotonic() - began, answer.json()["error"]["code"]

    with locked(database(served)), ThreadPoolExecutor(WRITERS) as pool:
        writes = [pool.submit(write, number) for number in range(WRITERS)]
        took: list[float] = []
        while not writes[0].done():
            for path in paths:
                began = time.monotonic()
                assert requests.get(served.url + path, headers=HTML, timeout=PATIENCE).status_code == 200
                took.append(time.monotonic() - began)
        events = requests.get(f"{served.url}/api/downloads/{job['id']}/events", timeout=PATIENCE)
        found = [write.result() for write in writes]

    assert max(took) < READ_SECONDS
    assert "event: end" in events.text
    assert {(status, code) for status, _, code in found} == {(503, "busy")}
    assert min(seconds for _, seconds, _ in found) > WRITE_SECONDS - 1
    assert served.ended(served.post("/api/downloads", BODY)["url"])["state"] == "completed"


def test_a_job_waits_for_the_lock(polygon_server: Callable[..., PolygonServer], tmp_path: Path) -> None:
    """It completes once the lock is released, with all of its events."""
    path = tmp_path / "data" / ".backtest-server" / "jobs.sqlite"
    lock, is_locked = locked(path), threading.Event()

    def lock_it(request: Request, n: int) -> Fault | None:
        lock.__enter__()
        is_locked.set()
        return None

    polygon = polygon_server(MARKET, on_request=lock_it)
    with Served(tmp_path, polygon.url) as served:
        job = served.post("/api/downloads", BODY)["url"]
        assert is_locked.wait(PATIENCE)
        refused = served.post("/api/downloads", BODY, 503)["error"]
        state = served.get(job)["state"]
        lock.__exit__(None, None, None)
        done = served.ended(job)
        events = served.http.get(f"{served.url}{job}/events", timeout=PATIENCE).text

    assert refused["code"] == "busy"
    assert state == "running"
    assert done["state"] == "completed"
    assert [int(number) for number in re.findall(r"^id: (\d+)", events, re.MULTILINE)] == list(
        range(1, events.count("id: ") + 1)
    )


@pytest.mark.parametrize(
    "damage",
    [
        "request = '{'",
        "request = '[1]'",
        "request = '{\"start\": NaN}'",
        "result = 'no JSON'",
        "result = CAST(x'FF7B' AS TEXT)",
        "result = '{\"error\": 5}'",
        "result = '{\"phases\": 5}'",
        "state = 'unheard of'",
        "kind = 'unheard of'",
        "created_at = 'yesterday'",
        "started_at = 1e300",
        "finished_at = x'00'",
    ],
)
def test_a_damaged_row_is_a_failed_job(served: Served, damage: str) -> None:
    """On all pages and in the API; the other job is shown as it is."""
    ids = [served.ended(served.post("/api/downloads", BODY)["url"])["id"] for _ in range(2)]
    with closing(sqlite3.connect(database(served))) as connection:
        connection.execute(f"UPDATE jobs SET {damage} WHERE id = ?", (ids[0],))
        connection.commit()

    pages = [
        requests.get(f"{served.url}{path}", headers=HTML, timeout=PATIENCE)
        for path in ("/", f"/backtests/{ids[0]}", f"/backtests/{ids[1]}", "/metrics")
    ]
    listed = {job["id"]: job["state"] for job in served.get("/api/backtests")["jobs"]}
    retried = served.http.post(f"{served.url}/api/downloads/{ids[0]}/retry", timeout=PATIENCE)

    assert [page.status_code for page in pages] == [200] * 4
    assert all("is damaged" in page.text for page in pages[:2])
    assert "is damaged" not in pages[2].text
    assert listed.keys() == set(ids)
    assert listed[ids[1]] == "completed"
    assert retried.status_code in (202, 422)


def test_a_damaged_queued_row_fails_and_the_next_one_runs(
    polygon_server: Callable[..., PolygonServer], tmp_path: Path
) -> None:
    """After a restart, too."""
    polygon = polygon_server(MARKET)
    with Served(tmp_path, polygon.url) as served:
        ids = [served.ended(served.post("/api/downloads", BODY)["url"])["id"] for _ in range(2)]
    with closing(sqlite3.connect(database(served))) as connection:
        connection.execute("UPDATE jobs SET state = 'queued'")
        connection.execute("UPDATE jobs SET request = '{' WHERE id = ?", (ids[0],))
        connection.commit()

    with Served(tmp_path, polygon.url) as served:
        jobs = [served.ended(f"/api/downloads/{identity}") for identity in ids]

    assert [job["state"] for job in jobs] == ["failed", "completed"]
    assert "is damaged" in jobs[0]["result"]["error"]["message"]


def test_unreadable_events_are_left_out(served: Served) -> None:
    """The stream has the others, and its end."""
    path = served.post("/api/downloads", BODY)["url"]
    served.ended(path)
    whole = served.http.get(f"{served.url}{path}/events", timeout=PATIENCE).text
    with closing(sqlite3.connect(database(served))) as connection:
        connection.execute("UPDATE events SET data = '{' WHERE number = 2")
        connection.execute("UPDATE events SET data = '[1]' WHERE number = 3")
        connection.execute("UPDATE events SET data = x'FF' WHERE number = 4")
        connection.commit()

    rest = served.http.get(f"{served.url}{path}/events", timeout=PATIENCE).text

    blocks = whole.split("\n\n")
    assert rest.split("\n\n") == [blocks[0], *blocks[4:]]
    assert blocks[0].startswith("id: 1\n")


@pytest.mark.parametrize("part", ["all of it", "the rest"])
def test_a_damaged_file_is_renamed_while_the_server_runs(served: Served, part: str) -> None:
    """An empty one takes its place, with a warning that names both."""
    served.ended(served.post("/api/downloads", BODY)["url"])
    path = database(served)
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        begin = 0 if part == "all of it" else 4096
        file.seek(begin)
        file.write(b"\xa5" * (size - begin))
    damaged = path.read_bytes()

    page = requests.get(served.url, headers=HTML, timeout=PATIENCE)
    total = served.get("/api/backtests")["total"]
    job = served.ended(served.post("/api/downloads", BODY)["url"])

    (kept,) = path.parent.glob("jobs.sqlite.damaged-*Z")
    assert page.status_code == 200
    assert total == 0
    assert job["state"] == "completed"
    assert served.get("/api/backtests")["total"] == 1
    assert kept.read_bytes() == damaged
    (warning,) = [line for line in served.errors if "is damaged" in line]
    assert str(path) in warning
    assert kept.name in warning
