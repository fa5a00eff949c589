"""A TCP server whose behaviour is a function of the connection: for responses that no HTTP server would send."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from tests.support.patience import PATIENCE

Behaviour = Callable[[socket.socket, "HostileServer"], None]
"""What is done with one connection, in its own thread; the connection is closed afterwards."""


class HostileServer:
    """Serves until it is closed; use it as a context manager.

    Attributes:
        url: Its address.
        stopping: Set when it is closed.
    """

    def __init__(self, behaviour: Behaviour, scheme: str = "http") -> None:
        self._behaviour = behaviour
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.stopping = threading.Event()
        self._changed = threading.Condition()
        self._accepted = self._closed = 0
        self._open: set[socket.socket] = set()

    def __enter__(self) -> HostileServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._changed:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def wait_for(self, *, accepted: int = 0, closed: int = 0) -> bool:
        """Wait for this number of accepted connections, and of those the client closed; False if it takes too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._accepted >= accepted and self._closed >= closed, PATIENCE)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with self._changed:
                    self._open.add(connection)
                    self._accepted += 1
                    self._changed.notify_all()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            self._behaviour(connection, self)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass
        with self._changed:
            self._open.discard(connection)
            self._closed += 1
            self._changed.notify_all()
        connection.close()


def silent(connection: socket.socket, server: HostileServer) -> None:
    """Read what comes, and never answer."""
    while connection.recv(1 << 16):
        pass


def dripping(head: bytes, piece: bytes) -> Behaviour:
    """After the request, send a beginning at once, and then pieces of it again and again without an end."""

    def behave(connection: socket.socket, server: HostileServer) -> None:
        connection.recv(1 << 16)
        connection.sendall(head)
        while not server.stopping.wait(0.02):
            for byte in piece:
                connection.sendall(bytes([byte]))

    return behave


def flooding(head: bytes, block: bytes) -> Behaviour:
    """After the request, send a beginning, and then a block again and again, as fast as it goes."""

    def behave(connection: socket.socket, server: HostileServer) -> None:
        connection.recv(1 << 16)
        connection.sendall(head)
        while not server.stopping.is_set():
            connection.sendall(block)

    return behave


def answering(status: str, body: bytes, *headers: str) -> Behaviour:
    """Answer the request with this body, and close the connection."""

    def behave(connection: socket.socket, server: HostileServer) -> None:
        connection.recv(1 << 16)
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    return behave
