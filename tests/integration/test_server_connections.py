"""Clients that send half of a request, too many of them, or go away; and a server that is stopped."""

from __future__ import annotations

import re
import resource
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.faults import Fault, slow
from tests.support.market import Market
from tests.support.patience import PATIENCE
from tests.support.polygon_server import PolygonServer, Request
from tests.support.served import Served

DAYS = [date(2024, 6, day) for day in (3, 4, 5, 6, 7)]
MARKET = Market.synthetic(["SPY"], DAYS, "minute", bars_per_day=60)
BODY = {"symbols": ["SPY"], "resolution": "minute", "start": "2024-06-03", "end": "2024-06-07"}
REQUEST_SECONDS = 10.0
"""A request must arrive in this time."""
HALF_HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Half: "
HALF_BODY = (
    b"POST /api/downloads HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
)
WHOLE = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
QUIET = {"BACKTEST_SERVER_LOG_LEVEL": "WARNING"}
CLIENTS, DESCRIPTORS, GOOD_SECONDS = 300, 256, 20.0


@pytest.fixture
def served(polygon_server: Callable[..., PolygonServer], tmp_path: Path) -> Iterator[Served]:
    """A server that logs warnings only, and whose vendor has the market."""
    with Served(tmp_path, polygon_server(MARKET).url, environ=QUIET) as server:
        yield server


def connect(served: Served, sent: bytes = b"") -> socket.socket:
    """A connection to a server that has sent these bytes."""
    address = urlsplit(served.url)
    found = socket.create_connection((address.hostname, address.port), PATIENCE)
    found.sendall(sent)
    return found


def is_closed(connection: socket.socket) -> bool:
    """Wait until the other side has closed a connection; False if it answers instead."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def read_answer(connection: socket.socket) -> bytes:
    """Receive the head and the body of an answer, which may arrive one after the other."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += connection.recv(1 << 16)
    head, _, body = found.partition(b"\r\n\r\n")
    (length,) = re.findall(rb"(?i)content-length: (\d+)", head)
    while len(body) < int(length):
        body += connection.recv(1 << 16)
    return head + body


@pytest.mark.parametrize("sent", [b"", HALF_HEAD, HALF_BODY, WHOLE + HALF_HEAD])
def test_half_a_request_is_closed(served: Served, sent: bytes) -> None:
    """Also one of which a byte arrives every now and then, and one after a request that was answered."""
    with connect(served, sent) as connection:
        if sent.startswith(WHOLE):
            assert read_answer(connection).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        connection.settimeout(0.5)
        while True:
            try:
                assert is_closed(connection)
                break
            except TimeoutError:
                assert time.monotonic() - began < PATIENCE
            if sent:
                connection.sendall(b"x")

    assert time.monotonic() - began < REQUEST_SECONDS + 5
    assert served.get("/health")["ok"]
    assert served.errors == [f"serving on {served.url}"]


def test_a_stream_is_not_closed(polygon_server: Callable[..., PolygonServer], tmp_path: Path) -> None:
    """Its request has arrived; it may last longer than that may take."""
    released = threading.Event()

    def hold(request: Request, n: int) -> Fault | None:
        released.wait(PATIENCE)
        return None

    polygon = polygon_server(MARKET, on_request=hold)
    with Served(tmp_path, polygon.url) as served:
        path = served.post("/api/downloads", BODY)["url"]
        with (
            requests.get(f"{served.url}{path}/events", stream=True, timeout=PATIENCE) as stream,
            connect(served, HALF_HEAD) as other,
        ):
            assert is_closed(other)
            released.set()
            assert "event: end" in stream.text


def test_more_half_requests_than_descriptors(polygon_server: Callable[..., PolygonServer], tmp_path: Path) -> None:
    """A good client is answered meanwhile; no error is printed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft > 2 * CLIENTS, hard
    polygon = polygon_server(MARKET)
    with Served(tmp_path, polygon.url, environ=QUIET, descriptors=DESCRIPTORS) as served, ExitStack() as stack:
        for number in range(CLIENTS):
            stack.enter_context(connect(served, HALF_BODY if number % 2 else HALF_HEAD))
        began = time.monotonic()
        answer = requests.get(f"{served.url}/health", timeout=GOOD_SECONDS)
        job = requests.post(f"{served.url}/api/downloads", json=BODY, timeout=GOOD_SECONDS)
        took = time.monotonic() - began
        assert (answer.status_code, job.status_code) == (200, 202)
        assert served.ended(job.json()["url"])["state"] == "completed"

    assert took < GOOD_SECONDS
    assert served.errors == [f"serving on {served.url}"]


@pytest.mark.parametrize("reset", [False, True])
def test_clients_that_go_away_are_not_reported(served: Served, reset: bool) -> None:
    """At any point of a request or its answer, politely or not; nor is what is no HTTP."""
    path = served.post("/api/downloads", BODY)["url"].encode()
    events = b"GET " + path + b"/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for sent in (
        b"",
        HALF_HEAD,
        HALF_BODY,
        WHOLE,
        WHOLE * 50,
        events,
        b"\x16\x03\x01 no HTTP\r\n\r\n",
        WHOLE + b"\0\r\n",
    ):
        for _ in range(3):
            connection = connect(served, sent)
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
    served.ended(path.decode())

    assert served.get("/health")["ok"]
    assert served.stop() == 0
    assert served.errors == [f"serving on {served.url}"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, 130)])
def test_a_stopped_server_leaves_no_journal(
    polygon_server: Callable[..., PolygonServer], tmp_path: Path, number: int, code: int
) -> None:
    """While a job runs and half a request has arrived; the job is interrupted."""
    arrived = threading.Event()

    def hang(request: Request, n: int) -> Fault | None:
        arrived.set()
        return slow(PATIENCE)

    polygon = polygon_server(MARKET, on_request=hang)
    with Served(tmp_path, polygon.url) as served:
        path = served.post("/api/downloads", BODY)["url"]
        assert arrived.wait(PATIENCE)
        with connect(served, HALF_HEAD), connect(served, HALF_BODY):
            assert served.get(path)["state"] == "running"
            assert served.stop(number) == code
    polygon.on_request = None

    left = [file.name for file in (tmp_path / "data" / ".backtest-server").iterdir()]
    assert "jobs.sqlite" in left
    assert not [name for name in left if name.endswith(("-wal", "-shm"))]
    with Served(tmp_path, polygon.url) as served:
        job = served.get(path)
    assert job["state"] == "interrupted"
