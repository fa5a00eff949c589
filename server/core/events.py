"""One stream of events beside the way of the data, and the token that stops it.

A terminal's bar, a page, the log and the metrics are listeners; they can be taken off without the download
noticing. Counts in an event are increments, so that a listener only ever adds.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol

from attrs import frozen

from server.lean.series import Resolution

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
