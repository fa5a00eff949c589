"""Limits on sending: requests per minute shared by processes, a common pause after a 429, requests in flight."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from server.core.errors import Cancelled
from server.core.sqlite import is_damage, open_database, set_aside, transaction
from server.plugins.polygon_provider.config import MAX_CONCURRENT_REQUESTS

FREE_PLAN = 5
"""Requests per minute of the vendor's free plan."""

_WINDOW_MS = 60_050
"""A minute in milliseconds, and a margin for requests that take different times to arrive."""

_SCHEMA = "CREATE TABLE IF NOT EXISTS requests (item_timestamp INTEGER NOT NULL);"
"""The instant of each request in milliseconds since 1970. Files without a version have the same column."""

BUSY_SECONDS = 5.0
"""How long a request waits for another process that writes to the file."""


class RequestBudget:
    """Requests per minute, counted over a sliding window in a file that all processes of a data folder share.

    Without a limit nothing waits until the vendor answers 429: then all requests of this process pause together.
    Safe to use from several threads. A file that is damaged is replaced, and one that cannot be used gives way to a
    count of this process alone, both with a warning.
    """

    def __init__(
        self,
        path: Path,
        per_minute: int | None,
        *,
        pause: Callable[[float], bool],
        waiting: Callable[[float], None],
        warn: Callable[[str], None],
    ) -> None:
        """Open the file, if there is a limit.

        Args:
            path: The shared file.
            per_minute: Requests per minute; None for no limit.
            pause: Sleeps for a number of seconds and returns whether the run was cancelled.
            waiting: Receives the seconds of each wait before it begins.
            warn: Receives one sentence if the file is damaged or cannot be used.
        """
        self._path = path
        self._pause = pause
        self._waiting = waiting
        self._warn = warn
        self._resume_at = 0.0
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self.per_minute: int | None = None
        if per_minute:
            self.limit(per_minute)

    def limit(self, per_minute: int) -> None:
        """Set the number of requests per minute, counted together with all processes that use the file."""
        with self._lock:
            if self._connection is None and not self._closed:
                self._connection = self._open()
            self.per_minute = per_minute

    def hold(self, seconds: float) -> bool:
        """Send nothing for a number of seconds, after a 429.

        Returns:
            Whether no such pause was in progress; several requests in flight may be answered 429 at once.
        """
        with self._lock:
            now = time.monotonic()
            first = now >= self._resume_at
            self._resume_at = max(self._resume_at, now + seconds)
            return first

    def acquire(self) -> None:
        """Wait until one more request may be sent, and count it.

        Raises:
            Cancelled: The run was cancelled or the budget closed during the wait.
        """
        while True:
            wait = self._resume_at - time.monotonic()
            if wait <= 0:
                wait = self._take()
            if wait <= 0:
                return
            self._waiting(wait)
            if self._pause(wait):
                raise Cancelled("cancelled while waiting for the request budget")

    def close(self) -> None:
        """Close the file. Threads that still wait for the budget are cancelled when their wait ends."""
        with self._lock:  # SQLite crashes if another thread uses the connection meanwhile
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _take(self) -> float:
        """Count one request, or return the seconds until one may be sent."""
        with self._lock:
            if self._closed:
                raise Cancelled("cancelled before the request budget allowed another request")
            if self._connection is None or self.per_minute is None:
                return 0.0
            try:
                return _count_request(self._connection, self.per_minute)
            except sqlite3.Error as error:
                self._connection = self._replace(self._connection, error)
                return _count_request(self._connection, self.per_minute)

    def _open(self) -> sqlite3.Connection:
        try:
            return open_database(
                self._path, schema=_SCHEMA, version=1, warn=self._warn, busy_seconds=BUSY_SECONDS, durable=False
            )
        except (sqlite3.Error, OSError) as error:
            return self._open_in_memory(error)

    def _replace(self, connection: sqlite3.Connection, error: sqlite3.Error) -> sqlite3.Connection:
        """Return a connection to an empty file after damage, and to one in memory after any other error."""
        with suppress(sqlite3.Error):
            connection.close()
        if not is_damage(error):
            return self._open_in_memory(error)
        try:
            set_aside(self._path, error, self._warn)
        except OSError as failure:
            return self._open_in_memory(failure)
        return self._open()

    def _open_in_memory(self, error: Exception) -> sqlite3.Connection:
        self._warn(
            f"the request budget {self._path} cannot be used ({error}); "
            "requests of other processes are not counted in this run"
        )
        return open_database(None, schema=_SCHEMA, version=1, warn=self._warn)


def _count_request(connection: sqlite3.Connection, per_minute: int) -> float:
    """Count one request, or return the seconds until the window has capacity for it, at most its length.

    Instants in the future, which a clock that was ahead has left, do not count.
    """
    with transaction(connection):
        now = time.time_ns() // 1_000_000  # after the write lock was acquired, so that it ascends over all processes
        connection.execute(
            "DELETE FROM requests WHERE item_timestamp NOT BETWEEN ? AND ?",
            (now - _WINDOW_MS + 2, now + _WINDOW_MS),  # a wait may end up to 1 ms early by rounding
        )
        sent = [
            instant
            for (instant,) in connection.execute(
                "SELECT item_timestamp FROM requests WHERE item_timestamp <= ? ORDER BY item_timestamp DESC LIMIT ?",
                (now, per_minute),
            )
        ]
        if len(sent) == per_minute:
            return float(sent[-1] + _WINDOW_MS - now) / 1000
        connection.execute("INSERT INTO requests (item_timestamp) VALUES (?)", (now,))
    return 0.0


_CONCURRENCY_LIMIT = threading.BoundedSemaphore(MAX_CONCURRENT_REQUESTS)
"""Shared by all downloads of this process: no more requests than this are in flight."""


@contextmanager
def concurrency_limit(cancelled: Callable[[], bool]) -> Iterator[None]:
    """Keep at most five requests of this process in flight: wait until fewer are, and count as one within the block.

    Raises:
        Cancelled: The run was cancelled during the wait.
    """
    while not _CONCURRENCY_LIMIT.acquire(timeout=0.1):
        if cancelled():
            raise Cancelled("cancelled while waiting to send a request")
    try:
        if cancelled():
            raise Cancelled("cancelled before a request was sent")
        yield
    finally:
        _CONCURRENCY_LIMIT.release()
