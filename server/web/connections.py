"""Limits of HTTP connections: the time for a request to arrive, and their number."""

from __future__ import annotations

import asyncio
import errno
import sys
from typing import Any

import h11
from loguru import logger
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 10.0
"""Time in which the head and the body of a request must arrive."""

MOST_CONNECTIONS = 512
ACCEPTED_AT_ONCE = 8
"""Connections that are accepted before the limit is applied to them."""

_NO_DESCRIPTORS = 1 << 10
"""Descriptors that are assumed where their number is not known."""

_INCOMPLETE = (h11.IDLE, h11.SEND_BODY)


def connection_limit() -> int:
    """Return the number of connections that leave half of this process's file descriptors to everything else."""
    if sys.platform == "win32":
        descriptors = _NO_DESCRIPTORS
    else:
        import resource

        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if descriptors < 0 else max(1, min(MOST_CONNECTIONS, descriptors // 2))


class BoundedProtocol(H11Protocol):
    """A connection that is closed if a request does not arrive in time, or in favour of newer ones.

    Too many connections: the one that has not sent a complete request for the longest is closed.
    """

    def __init__(self, *, limit: int, seconds: float = REQUEST_SECONDS, **more: Any) -> None:
        """Create it for one connection.

        Args:
            limit: The number of connections.
            seconds: The time in which the head and the body of a request must arrive.
            more: The arguments of `H11Protocol`.
        """
        super().__init__(**more)
        self._limit = limit
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self.waiting_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer, and keep to the limit."""
        super().connection_made(transport)
        self._watch_request()
        others = [one for one in self.connections if isinstance(one, BoundedProtocol) and one.is_open]
        if len(others) > self._limit:
            waiting = {one: one.waiting_since for one in others if one.waiting_since is not None}
            min(waiting, key=lambda one: waiting[one] or 0).abort()  # this one is among them

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request, and stop the timer if they complete it."""
        super().data_received(data)
        self._watch_request()

    def handle_events(self) -> None:
        """Handle what has arrived; bytes that cannot be answered close the connection."""
        try:
            super().handle_events()
        except h11.LocalProtocolError:
            self.abort()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._watch_request()

    @property
    def is_open(self) -> bool:
        """Whether the connection is neither closed nor being closed."""
        return not self.transport.is_closing()

    def abort(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def _watch_request(self) -> None:
        """Start the timer with a request and stop it when the request is complete."""
        if self.conn.their_state not in _INCOMPLETE:
            self.waiting_since = None
            self._stop_timer()
            return
        if self.waiting_since is None:
            self.waiting_since = self.loop.time()
        if self.timeout_keep_alive_task is not None:  # no byte of the next request has arrived
            self._stop_timer()
        elif self._timer is None and self.is_open:
            self._timer = self.loop.call_later(self._seconds, self.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what an event loop reports, other than errors of connections whose client is gone."""
    error = context.get("exception")
    if isinstance(error, OSError):
        if error.errno in (errno.EMFILE, errno.ENFILE):
            logger.warning("no connection can be accepted for a second: the process has no free file descriptor")
        return
    logger.opt(exception=error).error("{}", context.get("message", "an error of the event loop"))
