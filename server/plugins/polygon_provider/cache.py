"""The HTTP cache: responses in SQLite by requests-cache, without pickle; a fault of the cache is a cache miss."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import requests
from requests_cache.backends.sqlite import SQLiteCache
from requests_cache.cache_keys import create_key
from requests_cache.models.response import CachedResponse
from requests_cache.serializers import CattrStage, SerializerPipeline, Stage

from server.core.sqlite import is_damage, open_database, set_aside, transaction

KeyFunction = Callable[..., str]
"""requests-cache's key function: takes the prepared request as ``request``."""

_FORMAT_VERSION = 1
"""Schema version of the file. Files without one hold pickled responses and are emptied."""

_BUSY_SECONDS = 30.0
_MSGPACK = SerializerPipeline(
    [CattrStage(), Stage(dumps=msgspec.msgpack.encode, loads=msgspec.msgpack.decode)], name="msgpack", is_binary=True
)
"""MessagePack stores a body as it is, and reading it yields data only: writing to the file does not run code."""

logging.getLogger("requests_cache").addHandler(logging.NullHandler())  # else it prints damaged entries on stderr


class ResponseCache:
    """Responses by key, until they expire.

    It asks requests-cache's backend explicitly. A `CachedSession` would read SQLite in the middle of a request, where
    its errors look like those of the network, and would send a request for a cached response whose ``Vary``
    header does not match.

    Safe to use from several threads. An entry that cannot be read, a full disk or a locked file is a cache miss. A
    damaged file is renamed, and the rest of the run does without a cache. After `close`, nothing is found or stored:
    threads that a cancelled run left behind may still call it.
    """

    def __init__(self, path: Path, *, warn: Callable[[str], None], key_fn: KeyFunction = create_key) -> None:
        """Open the file and remove what has expired.

        Args:
            path: The file. One with pickled responses is emptied without reading them.
            warn: Receives one sentence if the file is damaged or cannot be used.
            key_fn: Yields the key of a request.
        """
        self._path = path
        self._warn = warn
        self._key_fn = key_fn
        # One thread at a time uses the backend's connection. Where a thread waits in it for another connection's
        # transaction, a second one would wait for SQLite's mutex without releasing the GIL, which the first one needs.
        self._lock = threading.RLock()
        self._backend: SQLiteCache | None = None
        self._backend = self._open()

    def get(self, url: str) -> requests.Response | None:
        """Return the cached response to a GET request, its content as it was received; None if it is not cached."""
        key = self._key_fn(request=requests.Request("GET", url).prepare())
        with self._guarded(Exception) as backend:  # decoding a damaged entry may raise any of them
            response = backend.get_response(key) if backend is not None else None
            if isinstance(response, CachedResponse) and _is_valid(response) and isinstance(response.content, bytes):
                return response
        return None

    def store(self, response: requests.Response, expire_after: timedelta) -> None:
        """Store a response whose content was read, without the API key of its request."""
        response.request.headers.pop("Authorization", None)
        key = self._key_fn(request=response.request)
        with self._guarded(sqlite3.Error, OSError) as backend:
            if backend is not None:
                backend.save_response(response, key, datetime.now(UTC) + expire_after)

    def evict(self, response: requests.Response) -> None:
        """Remove a response."""
        key = self._key_fn(request=response.request)
        with self._guarded(sqlite3.Error, OSError) as backend:
            if backend is not None:
                backend.delete(key)

    def cached_keys(self) -> list[str]:
        """Return the keys of all responses."""
        with self._guarded(sqlite3.Error, OSError) as backend:
            if backend is not None:
                return list(backend.responses)
        return []

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._backend is not None:
                self._backend.close()  # type: ignore[no-untyped-call]
                self._backend = None

    @contextmanager
    def _guarded(self, *errors: type[Exception]) -> Iterator[SQLiteCache | None]:
        """Give one thread the backend, None if it is closed; suppress these errors."""
        with self._lock:
            try:
                yield self._backend
            except errors as error:
                if is_damage(error):
                    self._discard(error)

    def _discard(self, error: Exception) -> None:
        with suppress(sqlite3.Error):
            self.close()
        with suppress(OSError):
            set_aside(self._path, error, self._warn)

    def _open(self) -> SQLiteCache | None:
        for _ in range(2):
            try:
                return self._connect()
            except (sqlite3.Error, OSError) as error:
                if is_damage(error):  # in a part of the file that the check at opening does not read
                    self._discard(error)
                else:
                    self._warn(f"the HTTP cache {self._path} cannot be used ({error}); responses are not cached")
                    break
        return None

    def _connect(self) -> SQLiteCache:
        with (
            closing(
                open_database(
                    self._path,
                    schema="",
                    version=_FORMAT_VERSION,
                    migrate=_drop_tables,
                    warn=self._warn,
                    busy_seconds=_BUSY_SECONDS,
                    durable=False,
                )
            ) as connection,
            transaction(connection),
        ):
            pass  # the backend would wait for the write lock without end
        backend = SQLiteCache(
            self._path, serializer=_MSGPACK, wal=True, fast_save=True, busy_timeout=int(_BUSY_SECONDS * 1000)
        )
        backend.delete(expired=True, vacuum=False)
        return backend


def _is_valid(response: CachedResponse) -> bool:
    """Return whether a response has not expired; one of the future, which a clock that was ahead left, has."""
    return not response.is_expired and response.created_at <= datetime.now(UTC)


def _drop_tables(connection: sqlite3.Connection, version: int) -> None:
    connection.execute("DROP TABLE IF EXISTS responses")
    connection.execute("DROP TABLE IF EXISTS redirects")
