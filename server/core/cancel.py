"""A token that cancels long operations."""

from __future__ import annotations

import threading
import weakref
from typing import TypeVar

_Token = TypeVar("_Token", bound="CancelToken")

_FEW = 16
"""References to children that are kept before those that no longer exist are removed."""


class CancelToken:
    """Cancels a long operation, which checks it. Thread-safe; a cancelled token stays cancelled."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._children: list[weakref.ref[CancelToken]] = []  # a WeakSet changes whenever a thread drops a token
        self._lock = threading.Lock()
        self._cleaned_at = _FEW

    def child(self) -> CancelToken:
        """Create a token for a part of the operation: cancelled with this one, or by itself."""
        return self._adopt(CancelToken())

    def _adopt(self, child: _Token) -> _Token:
        with self._lock:
            if len(self._children) >= self._cleaned_at:
                self._children = [one for one in self._children if one() is not None]
                self._cleaned_at = max(_FEW, 2 * len(self._children))
            self._children.append(weakref.ref(child))
        if self.cancelled:
            child.cancel()
        return child

    def cancel(self) -> None:
        """Cancel the operation and its parts."""
        self._event.set()
        with self._lock:
            children = list(self._children)
        for reference in children:
            child = reference()
            if child is not None:
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
