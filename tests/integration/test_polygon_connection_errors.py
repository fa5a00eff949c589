"""Connections that fail: the message names the cause."""

from __future__ import annotations

import resource
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

import pytest

from tests.support.harness import Rig, sessions
from tests.support.hostile_server import Behaviour, HostileServer
from tests.support.market import Market
from tests.support.polygon_server import PolygonServer
from tests.support.reports import only_failure

Serve = Callable[..., PolygonServer]

DAYS = sessions(date(2024, 3, 4), 1)


def error_of(rig: Rig) -> str:
    """Why a download of one day failed."""
    error: str = only_failure(rig.download("SPY", DAYS), "SPY", DAYS).error
    return error


def tls(connection: socket.socket, server: HostileServer) -> None:
    """Speak TLS, without a certificate."""
    with suppress(ssl.SSLError):
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_socket(connection.dup(), server_side=True)


def tls_alert(connection: socket.socket, server: HostileServer) -> None:
    """Answer with the alert "unexpected message", as many TLS servers do."""
    connection.recv(1 << 16)
    connection.sendall(b"\x15\x03\x01\x00\x02\x02\x0a\r\n")


def closing_at_once(connection: socket.socket, server: HostileServer) -> None:
    """Read the request and close."""
    connection.recv(1 << 16)


def not_http(connection: socket.socket, server: HostileServer) -> None:
    """Answer as a mail server does."""
    connection.recv(1 << 16)
    connection.sendall(b"220 mail.example ESMTP\r\n")


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (tls, "if its port is for TLS only, write https:// in polygon-api-url"),
        (tls_alert, "it answers with TLS; write https:// in polygon-api-url"),
        (closing_at_once, "closed the connection without an answer; if its port is for TLS only, write https://"),
        (not_http, "it answers with something else than HTTP"),
    ],
)
def test_plain_http_to_another_port(tmp_path: Path, behaviour: Behaviour, words: str) -> None:
    """The scheme of the address does not fit the port."""
    with HostileServer(behaviour) as server:
        assert words in error_of(Rig(tmp_path, server.url, retry_attempts=1))


def test_tls_to_a_plain_port(polygon_server: Serve, tmp_path: Path) -> None:
    """The certificate is not to blame."""
    server = polygon_server(Market())

    error = error_of(Rig(tmp_path, server.url.replace("http:", "https:"), retry_attempts=1))

    assert "its port does not speak TLS; check the scheme and the port of polygon-api-url" in error
    assert "certificate" not in error


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_missing_file_of_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """The variable and the file are named, and no request is sent."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
    rig = Rig(tmp_path, "https://127.0.0.1:9")

    report = rig.download("SPY", DAYS)

    failure = only_failure(report, "SPY", DAYS)
    assert failure.code == "configuration"
    assert (
        f"{tmp_path / 'ca.pem'} cannot be read; correct or remove the environment variable {variable}" in failure.error
    )
    assert (report.api_calls, report.retries) == (0, 0)


@contextmanager
def few_files() -> Iterator[Callable[[], None]]:
    """A function that leaves this process no further file descriptor."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_too_few_file_descriptors(tmp_path: Path) -> None:
    """Not the network is to blame but the limit of this process."""
    with few_files() as exhaust, HostileServer(closing_at_once) as server:
        rig = Rig(tmp_path, server.url, retry_attempts=2)

        def pause(seconds: float) -> bool:
            exhaust()
            return False

        rig.pause = pause
        error = error_of(rig)

    assert "may not open more files or connections; raise its limit (ulimit -n)" in error
