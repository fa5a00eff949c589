"""A token that cancels long operations."""

from __future__ import annotations

import threading
import weakref


class CancelToken:
    """Cancels a long operation, which checks it. Thread-safe; a cancelled token stays cancelled."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._children: weakref.WeakSet[CancelToken] = weakref.WeakSet()
        self._lock = threading.Lock()

    def child(self) -> CancelToken:
        """Create a token for a part of the operation: cancelled with this one, or by itself."""
        child = CancelToken()
        with self._lock:
            self._children.add(child)
        if self.cancelled:
            child.cancel()
        return child

    def cancel(self) -> None:
        """Cancel the operation and its parts."""
        self._event.set()
        with self._lock:
            children = list(self._children)
        for child in children:
            child.cancel()

    @property
    def cancelled(self) -> bool:
        """Whether the operation was cancelled."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait until cancelled, but no longer than this many seconds.

        Returns:
            Whether it was cancelled.
        """
        return self._event.wait(seconds)
