"""A tap in the vendor's pipe: a test lets through as many requests as it likes, so that it can look in the middle."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.support.faults import Fault
from tests.support.polygon_server import Request

_LONGEST = 60.0


class Tap:
    """For `PolygonServer.on_request`. Open unless closed; `fault` may make something of each request."""

    def __init__(self) -> None:
        self.fault: Callable[[Request], Fault | None] | None = None
        self._allowed = threading.Semaphore(0)
        self._closed = False

    def __call__(self, request: Request, n: int) -> Fault | None:
        """Hold a request until it is let through."""
        if self._closed:
            self._allowed.acquire(timeout=_LONGEST)
        return self.fault(request) if self.fault else None

    def close(self) -> None:
        """Hold what comes from now on."""
        self._allowed = threading.Semaphore(0)
        self._closed = True

    def let(self, requests: int) -> None:
        """Let this many through."""
        self._allowed.release(requests)

    def open(self) -> None:
        """Let everything through, and forget the fault."""
        self._closed = False
        self.fault = None
        self._allowed.release(1000)
