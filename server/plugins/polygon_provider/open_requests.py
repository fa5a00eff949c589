"""Requests in progress: each ends at its deadline or when the run is cancelled, whatever it waits for.

The time limits of sockets are for single reads: a server that sends one byte per second never exceeds them. A watcher
thread shuts the socket down instead, which ends connecting, the TLS handshake and every read of the thread that sends.
A name is resolved in a thread of its own, which is abandoned.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, LocationParseError, NameResolutionError, NewConnectionError
from urllib3.poolmanager import PoolManager, ProxyManager
from urllib3.util.connection import allowed_gai_family

from server.core.os_threads import start_thread

POLL_SECONDS = 0.1
"""How often the watcher looks whether the run was cancelled."""


class OpenRequest:
    """One request in progress and the socket that it uses. Thread-safe."""

    def __init__(self, seconds: float) -> None:
        """Begin now.

        Args:
            seconds: The time limit of the whole request.
        """
        self.deadline = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._ended = False
        self._socket: socket.socket | None = None
        self._address: Future[Any] | None = None

    @property
    def ended(self) -> bool:
        """Whether it was ended early."""
        return self._ended

    def end(self) -> None:
        """Shut its socket down; the thread that waits for the socket gets an error or the end of the stream."""
        with self._lock:
            self._ended = True
            if self._address is not None:
                self._address.cancel()
            if self._socket is not None:
                with suppress(OSError):  # not connected
                    self._socket.shutdown(socket.SHUT_RDWR)

    def use(self, connection: Any) -> None:
        """Use a socket from now on.

        Args:
            connection: A socket, of TLS too.

        Raises:
            OSError: The request was ended, or the process may not open another file.
        """
        self.release()
        with self._lock:
            self._check()
            # A second descriptor: TLS takes the first one away from its socket object, and closing it would let
            # another thread's socket have its number.
            self._socket = socket.socket(fileno=socket.dup(connection.fileno()))

    def release(self) -> None:
        """Use no socket any more."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def connect(self, host: str, port: int, timeout: float, options: Any, source: Any) -> socket.socket:
        """Return a new connection to the first address of a host that accepts it.

        Raises:
            OSError: No address accepts it; gaierror if the name cannot be resolved.
        """
        failure: OSError | None = None
        for family, kind, protocol, _, address in self._resolved(host, port):
            one = socket.socket(family, kind, protocol)
            try:
                self.use(one)
                for option in options or ():
                    one.setsockopt(*option)
                one.settimeout(timeout)
                if source:
                    one.bind(source)
                one.connect(address)
            except OSError as error:
                one.close()
                failure = error
            else:
                return one
        raise failure or OSError("the name has no address")

    def _resolved(self, host: str, port: int) -> Any:
        host = host.strip("[]")
        try:
            host.encode("idna")
        except UnicodeError as error:
            raise LocationParseError(f"'{host}', label empty or too long") from error
        with suppress(socket.gaierror):  # the name is an address
            return socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
        found: Future[Any] = Future()
        with self._lock:
            self._check()
            self._address = found
        start_thread(threading.Thread(target=_resolve, args=(found, host, port), name="polygon-resolve", daemon=True))
        try:
            return found.result()
        except CancelledError:
            raise TimeoutError("ended while the name was resolved") from None

    def _check(self) -> None:
        if self._ended:
            raise TimeoutError("the request was ended")


def _resolve(found: Future[Any], host: str, port: int) -> None:
    with suppress(InvalidStateError):  # the request was ended
        try:
            found.set_result(socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM))
        except OSError as error:
            found.set_exception(error)


_CURRENT: ContextVar[OpenRequest] = ContextVar("polygon_request")
"""The request that the current thread sends; its connections take it from here."""


class OpenRequests:
    """The requests in progress of one client, and the thread that watches them. Thread-safe."""

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        """Start nothing.

        Args:
            cancelled: Whether the run was cancelled; then all requests end.
        """
        self._cancelled = cancelled
        self._lock = threading.Lock()
        self._open: set[OpenRequest] = set()
        self._watched = False

    @contextmanager
    def request(self, seconds: float) -> Iterator[OpenRequest]:
        """Watch a request that the current thread sends within the block.

        Args:
            seconds: The time limit of the whole request.
        """
        request = OpenRequest(seconds)
        with self._lock:
            if not self._watched:
                start_thread(threading.Thread(target=self._watch, name="polygon-watch", daemon=True))
                self._watched = True
            self._open.add(request)
        token = _CURRENT.set(request)
        try:
            yield request
        finally:
            _CURRENT.reset(token)
            with self._lock:
                self._open.discard(request)
            request.release()

    def _watch(self) -> None:
        """End what is late, or everything once the run is cancelled; stop when no request is in progress."""
        idle = threading.Event()
        while True:
            idle.wait(POLL_SECONDS)
            with self._lock:
                if not self._open:
                    self._watched = False
                    return
                waiting = list(self._open)
            cancelled, now = self._cancelled(), time.monotonic()
            for request in waiting:
                if cancelled or now >= request.deadline:
                    request.end()


class WatchedReader(io.RawIOBase):
    """Reads a socket until its request is ended: a socket that was shut down still yields what keeps arriving."""

    def __init__(self, raw: io.RawIOBase, request: OpenRequest) -> None:
        self._raw = raw
        self._request = request

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read what has arrived into a buffer.

        Raises:
            TimeoutError: The request was ended.
        """
        if self._request.ended:
            raise TimeoutError("the request was ended")
        return self._raw.readinto(buffer)

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._raw.fileno()

    def close(self) -> None:
        """Close the socket's file."""
        self._raw.close()
        super().close()


class _WatchedResponse(http.client.HTTPResponse):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fp = io.BufferedReader(WatchedReader(self.fp.detach(), _CURRENT.get()))


class _WatchedConnection(HTTPConnection):
    """Mixed into urllib3's connections: reports the socket to the request of the current thread."""

    response_class = _WatchedResponse

    def _new_conn(self) -> socket.socket:
        new = super()._new_conn()
        _CURRENT.get().use(new)
        return new

    def request(self, *args: Any, **kwargs: Any) -> None:
        if hasattr(self.sock, "sendall"):  # it was kept open; that of a recorded response is not a socket
            _CURRENT.get().use(self.sock)
        super().request(*args, **kwargs)


class _ConnectionFromStart(_WatchedConnection):
    """Also while the name is resolved and the connection made; SOCKS makes its connections in its own way."""

    def _new_conn(self) -> socket.socket:
        host, port, seconds = self._dns_host, self.port or self.default_port, self.timeout
        try:
            return _CURRENT.get().connect(host, port, seconds, self.socket_options, self.source_address)  # type: ignore[arg-type]
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"Connection to {self.host} timed out") from error
        except OSError as error:
            raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error


def watch_connections(manager: PoolManager) -> None:
    """Let all connections of a pool manager report their sockets; they serve threads within `OpenRequests.request`."""
    mixin = _ConnectionFromStart if type(manager) in (PoolManager, ProxyManager) else _WatchedConnection
    pools: dict[str, Any] = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {
        scheme: type(pool.__name__, (pool,), {"ConnectionCls": type("Connection", (mixin, pool.ConnectionCls), {})})
        for scheme, pool in pools.items()
    }
