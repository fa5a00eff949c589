"""One stream of events beside the way of the data, and the token that stops it.

A terminal's bar, a page, the log and the metrics are listeners; they can be taken off without the download
noticing. Counts in an event are increments, so that a listener only ever adds.
"""

from __future__ import annotations

import threading
import weakref
from datetime import datetime
from typing import Literal, Protocol

from attrs import frozen

from server.data_download.model import Resolution

EventKind = Literal["started", "symbol", "days", "request", "retry", "wait", "notice", "phase", "finished"]
"""What an event tells:

started: a download begins; ``days`` symbol-days are missing, ``days_present`` are there already.
symbol: the gap of one symbol begins; ``days`` are missing of it.
days: ``days`` of ``symbol`` came to ``outcome``, with ``bars`` bars.
request: ``api_calls`` requests were answered with ``bytes`` bytes, or ``cache_hits`` came from the cache.
retry: a request failed for a passing reason and is tried again after ``wait_seconds``; ``message`` says why.
wait: a budget of requests or another run makes this one wait ``wait_seconds``.
notice: ``message`` is for people.
phase: a backtest entered ``phase``.
finished: the download is over.
"""

Outcome = Literal["", "downloaded", "provisional", "empty", "failed"]


@frozen(kw_only=True)
class ProgressEvent:
    """What happened, at which instant (UTC), to which symbol, and by how much the counts grew."""

    kind: EventKind
    at: datetime
    phase: str = "data_download"
    provider: str = ""
    symbol: str | None = None
    resolution: Resolution | None = None
    outcome: Outcome = ""
    days: int = 0
    days_present: int = 0
    bars: int = 0
    bytes: int = 0
    api_calls: int = 0
    cache_hits: int = 0
    retries: int = 0
    status: int | None = None
    wait_seconds: float = 0.0
    message: str = ""


class ProgressListener(Protocol):
    """Whoever watches. Called from several threads at once; must be quick and must not raise."""

    def __call__(self, event: ProgressEvent, /) -> None: ...


def no_progress(event: ProgressEvent, /) -> None:
    """The listener that does nothing."""


class CancelToken:
    """Tells long work to stop. Thread-safe; once cancelled it stays so."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._children: weakref.WeakSet[CancelToken] = weakref.WeakSet()

    def child(self) -> CancelToken:
        """A token for a part of the work: cancelled with this one, and by itself without it."""
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
        """Sleep for so long, or until cancelled. Returns whether it was cancelled."""
        return self._event.wait(seconds)
