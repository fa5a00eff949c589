"""Lets what a provider delivers in while a run lasts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from server.core.cancel import CancelToken
from server.core.errors import Cancelled


class Gate:
    """Lets deliveries in until it is closed, and then waits for those inside. Thread-safe."""

    def __init__(self) -> None:
        """Begin open."""
        self._changed = threading.Condition()
        self._inside = 0
        self.open = True

    @contextmanager
    def entered(self, cancel: CancelToken) -> Iterator[None]:
        """Let one delivery in.

        Raises:
            Cancelled: It is closed, or the run was cancelled.
        """
        with self._changed:
            if cancel.cancelled or not self.open:
                raise Cancelled("the run is over; nothing more is written")
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Let nothing more in, and wait until what is inside has left."""
        with self._changed:
            self.open = False
            self._changed.wait_for(lambda: self._inside == 0)
