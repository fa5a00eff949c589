"""The server on a disk that runs full, and has space again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.faults import Fault
from tests.support.market import Market
from tests.support.patience import PATIENCE
from tests.support.polygon_server import PolygonServer, Request
from tests.support.served import Served
from tests.support.small_disk import SmallDisk, small_disk

DAYS = [date(2024, 6, day) for day in (3, 4, 5, 6, 7)]
MARKET = Market.synthetic(["SPY"], DAYS, "minute", bars_per_day=60)
BODY = {"symbols": ["SPY"], "resolution": "minute", "start": "2024-06-03", "end": "2024-06-07"}
SECONDS = 10
"""After space returns, a job has ended within this time."""


class Held:
    """For `PolygonServer.on_request`: holds every request until it is released."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.released = threading.Event()

    def __call__(self, request: Request, n: int) -> Fault | None:
        """Hold the request."""
        self.arrived.set()
        self.released.wait(PATIENCE)
        return None


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """The small disk of the server's data folder."""
    with small_disk(tmp_path / "data") as found:
        yield found


def test_health_and_new_jobs_name_the_full_disk(
    disk: SmallDisk, tmp_path: Path, polygon_server: Callable[..., PolygonServer]
) -> None:
    """503 and 507 while it is full, and not afterwards; pages are shown all the time."""
    with Served(tmp_path, polygon_server(MARKET).url) as served:
        done = served.ended(served.post("/api/downloads", BODY)["url"])
        disk.fill()

        health = served.get("/health", 503)
        refused = [
            served.post(path, body, 507)["error"]
            for path, body in (
                ("/api/backtests", BODY),
                ("/api/downloads", BODY),
                (f"/api/downloads/{done['id']}/retry", None),
            )
        ]
        listed = served.get("/api/backtests")["total"]

        disk.free()
        assert served.get("/health")["ok"]
        assert served.ended(served.post("/api/downloads", BODY)["url"])["state"] == "completed"

    (failed,) = [check for check in health["checks"] if not check["ok"]]
    assert f"the disk of {disk.folder}" in failed["detail"]
    assert "is full" in failed["detail"]
    assert [error["code"] for error in refused] == ["disk_full"] * 3
    assert all("\n" not in error["message"] and "is full" in error["message"] for error in refused)
    assert listed == 1


def test_a_job_fails_once_its_disk_has_space_again(
    disk: SmallDisk, tmp_path: Path, polygon_server: Callable[..., PolygonServer]
) -> None:
    """Its stream ends, too, and the next job runs."""
    held = Held()
    polygon = polygon_server(MARKET, on_request=held)
    streamed: list[str] = []

    def read(url: str) -> None:
        with requests.get(f"{url}/events", stream=True, timeout=PATIENCE) as answer:
            streamed.extend(answer.iter_lines(chunk_size=None, decode_unicode=True))

    with Served(tmp_path, polygon.url) as served:
        path = served.post("/api/downloads", BODY)["url"]
        reader = threading.Thread(target=read, args=(served.url + path,), daemon=True)
        reader.start()
        assert held.arrived.wait(PATIENCE)
        disk.fill()
        held.released.set()
        wait_for(lambda: any("could not be stored" in line for line in served.errors))
        assert served.get(path)["state"] == "running"

        disk.free()
        began = time.monotonic()
        job = served.ended(path)
        took = time.monotonic() - began
        reader.join(PATIENCE)
        again = served.ended(served.post(f"{path}/retry")["url"])

    assert job["state"] == "failed"
    assert job["result"]["error"]["code"] == "disk_full"
    assert took < SECONDS
    assert "event: end" in streamed
    assert '"failed"' in [line for line in streamed if line.startswith("data: ")][-2]
    assert again["state"] == "completed"
    assert not [line for line in served.errors if "Traceback" in line]


def wait_for(condition: Callable[[], Any]) -> None:
    """Wait until a condition is met."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
