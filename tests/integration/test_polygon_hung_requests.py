"""Requests that hang, in each phase: ended at the deadline of the whole request, and closed by a cancel."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

import pytest

from server.core.cancel import CancelToken
from server.data_download.report import DownloadReport
from server.plugins.polygon_provider import transport
from server.plugins.polygon_provider.open_requests import OpenRequest, WatchedReader
from tests.support.harness import Rig, sessions
from tests.support.hostile_server import Behaviour, HostileServer, dripping, flooding, silent
from tests.support.market import Market
from tests.support.patience import PATIENCE
from tests.support.polygon_server import PolygonServer

DAYS = sessions(date(2024, 3, 4), 1)
SYMBOLS = ["A", "B", "C", "D", "E"]

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

PHASES: dict[str, tuple[Behaviour, str]] = {
    "TLS handshake": (silent, "https"),
    "no response": (silent, "http"),
    "status line": (dripping(b"", b"H"), "http"),
    "1xx responses": (dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "http"),
    "1xx responses, fast": (flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "http"),
    "headers": (dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"), "http"),
    "chunk length": (dripping(CHUNKED, b"0"), "http"),
    "body": (dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" "), "http"),
    "body without length": (dripping(b"HTTP/1.1 200 OK\r\n\r\n{}", b" "), "http"),
    "trailers": (dripping(CHUNKED + b"2\r\n{}\r\n0\r\n", b"a: b\r\n"), "http"),
}


@contextmanager
def full_backlog() -> Iterator[str]:
    """The address of a listener that accepts nothing, with a full queue: connecting to it does not end."""
    with ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def rig_for(url: str, root: Path) -> Rig:
    """A rig that tries once."""
    return Rig(root, url, retry_attempts=1)


def assert_late(report: DownloadReport) -> None:
    """The one day failed because of the deadline."""
    (failure,) = report.failures
    assert failure.code == "provider_unavailable"
    assert "its answer took longer than" in failure.error


@pytest.mark.parametrize(("behaviour", "scheme"), PHASES.values(), ids=PHASES.keys())
def test_a_request_ends_at_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour, scheme: str
) -> None:
    """Whatever comes in whatever pieces: one failed attempt, and the connection is closed."""
    monkeypatch.setattr(transport, "REQUEST_SECONDS", 0.5)
    with HostileServer(behaviour, scheme) as server:
        report = rig_for(server.url, tmp_path).download("SPY", DAYS)

        assert_late(report)
        assert server.wait_for(accepted=1, closed=1)


def test_connecting_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that is never made ends at the deadline, too."""
    monkeypatch.setattr(transport, "REQUEST_SECONDS", 0.5)
    with full_backlog() as url:
        assert_late(rig_for(url, tmp_path).download("SPY", DAYS))


@pytest.fixture
def hung_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The system's resolver does not answer about names until the test is over; set when it is asked."""
    over, asked = threading.Event(), threading.Event()
    resolve = socket.getaddrinfo

    def hang(host: str, port: int, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> object:
        if not flags & socket.AI_NUMERICHOST:
            asked.set()
            over.wait()
        return resolve(host, port, family, type, proto, flags)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield asked
    over.set()


def test_resolving_the_name_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hung_resolver: threading.Event
) -> None:
    """A resolver that does not answer is not waited for beyond the deadline."""
    monkeypatch.setattr(transport, "REQUEST_SECONDS", 0.5)

    report = rig_for("https://polygon.invalid", tmp_path).download("SPY", DAYS)

    assert hung_resolver.is_set()
    assert_late(report)
    assert report.api_calls == 0


def cancelled(rig: Rig, when: threading.Event | HostileServer) -> DownloadReport:
    """The report of a download of five symbols that is cancelled while all five requests are in flight."""
    cancel = CancelToken()
    reports: list[DownloadReport] = []
    run = threading.Thread(target=lambda: reports.append(rig.download(SYMBOLS, DAYS, cancel=cancel)))
    run.start()
    assert when.wait(PATIENCE) if isinstance(when, threading.Event) else when.wait_for(accepted=5)
    cancel.cancel()
    run.join(PATIENCE)
    (report,) = reports
    return report


def assert_next_run_starts(root: Path) -> None:
    """Another download of this process gets all five places at once."""
    with PolygonServer(Market.synthetic(SYMBOLS, DAYS, bars_per_day=5)) as good:
        assert Rig(root / "next", good.url).download(SYMBOLS, DAYS).complete


@pytest.mark.parametrize(("behaviour", "scheme"), PHASES.values(), ids=PHASES.keys())
def test_a_cancel_closes_the_connections(tmp_path: Path, behaviour: Behaviour, scheme: str) -> None:
    """All five, long before the server would notice; the next download does not wait for them."""
    with HostileServer(behaviour, scheme) as server:
        report = cancelled(rig_for(server.url, tmp_path), server)

        assert report.cancelled
        assert server.wait_for(accepted=5, closed=5)
        assert_next_run_starts(tmp_path)


def test_a_cancel_ends_the_wait_for_a_name(tmp_path: Path, hung_resolver: threading.Event) -> None:
    """The next download does not wait for the resolver."""
    assert cancelled(rig_for("https://polygon.invalid", tmp_path), hung_resolver).cancelled
    assert_next_run_starts(tmp_path)


def test_an_ended_request_reads_nothing_more() -> None:
    """A socket that was shut down still yields what has arrived, so that a fast server could keep its reader busy."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        request = OpenRequest(60)
        request.use(ours)
        reader = WatchedReader(ours.makefile("rb", buffering=0), request)
        assert reader.read(5) == b"HTTP/"
        request.end()

        with pytest.raises(TimeoutError):
            reader.read(5)
        reader.close()
        request.release()
