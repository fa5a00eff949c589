"""Connections through a proxy: errors name its host and port, and never its password."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from tests.support.cli_market import DAILY
from tests.support.command_line import CommandLine

PASSWORD = "s3cret-of-the-proxy"


@pytest.fixture
def proxied(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line with the vendor's own address, few attempts, and no proxy yet."""
    for name in ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    command.set(
        POLYGON_API_URL="https://vendor.invalid",
        BACKTEST_SERVER_RETRY_ATTEMPTS="1",
        BACKTEST_SERVER_CORPORATE_ACTIONS="off",
    )
    return command


@pytest.fixture
def refusing() -> Iterator[int]:
    """The port of a proxy that wants a login."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def error_of(command: CommandLine, *arguments: str) -> str:
    """The one error of a download, which contains no password in any output."""
    answer = command.run("download", "SPY", *DAILY, *arguments)
    assert answer.code == 1
    assert PASSWORD not in answer.out + answer.err
    (line,) = answer.errors
    return line


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_that_cannot_be_reached(proxied: CommandLine, variable: str) -> None:
    """The message is about the proxy, not about the vendor."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    proxied.set(**{variable: f"http://user:{PASSWORD}@127.0.0.1:{port}"})

    line = error_of(proxied)

    assert f"Polygon (https://vendor.invalid, through the proxy 127.0.0.1:{port}) cannot be used now" in line
    assert "no connection to the proxy; check HTTPS_PROXY, ALL_PROXY and NO_PROXY" in line


def test_a_proxy_that_refuses(proxied: CommandLine, refusing: int) -> None:
    """The proxy's words are in the message."""
    proxied.set(HTTPS_PROXY=f"http://user:{PASSWORD}@127.0.0.1:{refusing}")

    line = error_of(proxied, "--debug")

    assert f"through the proxy 127.0.0.1:{refusing})" in line
    assert "407 Proxy Authentication Required" in line


@pytest.mark.parametrize(
    "address",
    ["http://user:{}@127.0.0.1:bad", "http://user:{}@", "ftp://user:{}@127.0.0.1", "socks5://user:{}@127.0.0.1:9"],
)
def test_an_address_that_does_not_fit(proxied: CommandLine, address: str) -> None:
    """It is an error of the proxy."""
    proxied.set(HTTPS_PROXY=address.format(PASSWORD))

    assert "the proxy cannot be used" in error_of(proxied, "--debug")


def test_no_proxy(proxied: CommandLine) -> None:
    """Without one for this host, none is named."""
    proxied.set(HTTPS_PROXY=f"http://user:{PASSWORD}@127.0.0.1:9", NO_PROXY="vendor.invalid")

    line = error_of(proxied)

    assert "Polygon (https://vendor.invalid) cannot be used now: its name cannot be resolved" in line
