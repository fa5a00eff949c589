"""A token that stops long work."""

from __future__ import annotations

import threading
import weakref


class CancelToken:
    """Asks long work to stop. Thread-safe; once cancelled it stays cancelled."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._children: weakref.WeakSet[CancelToken] = weakref.WeakSet()

    def child(self) -> CancelToken:
        """Create a token for a part of the work: cancelled with this one, or alone without it."""
        child = CancelToken()
        self._children.add(child)
        if self.cancelled:
            child.cancel()
        return child

    def cancel(self) -> None:
        """Ask the work to stop."""
        self._event.set()
        for child in list(self._children):
            child.cancel()

    @property
    def cancelled(self) -> bool:
        """Whether the work was asked to stop."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep for this many seconds or until cancelled; return whether it was cancelled."""
        return self._event.wait(seconds)
