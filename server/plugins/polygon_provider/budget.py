"""How many requests may be sent: a budget a minute, kept in a file that all processes share, and a common pause."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from pyrate_limiter import Duration, Rate, RateItem, SQLiteBucket

from server.core.errors import Cancelled

FREE_PLAN = 5
"""Requests a minute of the vendor's free plan."""


class RequestBudget:
    """What requests-ratelimiter asks before each request that really goes out.

    Without a budget nothing waits, until the vendor says it is too much (429): then everybody pauses together.
    """

    bucket_factory = None

    def __init__(
        self,
        path: Path,
        per_minute: int | None,
        *,
        pause: Callable[[float], bool],
        waiting: Callable[[float], None],
    ) -> None:
        """Use the file at `path`; `pause` sleeps and says if it was cancelled; `waiting` is told of each wait."""
        self._path = path
        self._pause = pause
        self._waiting = waiting
        self._resume_at = 0.0
        self._lock = threading.Lock()
        self._bucket: SQLiteBucket | None = None
        self._closed = False
        self.per_minute: int | None = None
        if per_minute:
            self.limit(per_minute)

    def limit(self, per_minute: int) -> None:
        """Send at most so many requests a minute from now on, together with all that share the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=30, check_same_thread=False)
        connection.execute("CREATE TABLE IF NOT EXISTS requests (name VARCHAR, item_timestamp INTEGER)")
        connection.commit()
        lock = _BothLocks(FileLock(f"{self._path}.lock", thread_local=False))
        rates = [Rate(per_minute, Duration.MINUTE)]
        self._bucket = SQLiteBucket(rates, connection, "requests", lock=lock)
        self.per_minute = per_minute

    def hold(self, seconds: float) -> bool:
        """Let nobody send for so long, after a 429. Returns whether that was news, not the echo of another's."""
        with self._lock:
            now = time.monotonic()
            news = now >= self._resume_at
            self._resume_at = max(self._resume_at, now + seconds)
            return news

    def try_acquire(self, name: str, weight: int = 1, blocking: bool = True, timeout: float = -1) -> bool:
        """Wait until one more request may be sent.

        Raises:
            Cancelled: The run was stopped while it waited.
        """
        while True:
            wait = self._resume_at - time.monotonic()
            if wait <= 0:
                wait = self._take(name)
            if wait <= 0:
                return True
            self._waiting(wait)
            if self._pause(wait):
                raise Cancelled("stopped while waiting for the budget of requests")

    def _take(self, name: str) -> float:
        """Take one request out of the budget, or say how many seconds to wait for it."""
        if self._bucket is None:
            return 0.0
        with self._bucket.lock:
            if self._closed:
                raise Cancelled("stopped before the budget of requests had one left")
            item = RateItem(name, time.time_ns() // 1_000_000)
            self._bucket.leak(item.timestamp)
            if self._bucket.put(item):
                return 0.0
            return max(int(self._bucket.waiting(item)), 0) / 1000 + 0.05  # type: ignore[arg-type]

    def close(self) -> None:
        """Close the shared file. Whoever still waits for the budget gets none of it."""
        bucket = self._bucket
        if bucket is not None:
            with bucket.lock:  # SQLite crashes where a connection is closed under another thread
                self._closed = True
                bucket.close()  # type: ignore[no-untyped-call]


class _BothLocks:
    """A thread lock and a file lock taken together, re-entrant in one thread."""

    def __init__(self, file_lock: FileLock) -> None:
        self._threads = threading.RLock()
        self._processes = file_lock

    def __enter__(self) -> None:
        self._threads.acquire()
        self._processes.acquire()

    def __exit__(self, *error: object) -> None:
        self._processes.release()
        self._threads.release()


_IN_FLIGHT = threading.BoundedSemaphore(5)
"""The only thing this process's downloads share: no more than five requests on the wire, whoever sends them."""


@contextmanager
def in_flight(cancelled: Callable[[], bool]) -> Iterator[None]:
    """Hold one of the process's five places on the wire.

    Raises:
        Cancelled: The run was stopped while it waited for a place.
    """
    while not _IN_FLIGHT.acquire(timeout=0.1):
        if cancelled():
            raise Cancelled("stopped while waiting to send a request")
    try:
        if cancelled():
            raise Cancelled("stopped before a request was sent")
        yield
    finally:
        _IN_FLIGHT.release()
