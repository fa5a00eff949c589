"""The HTTP session: requests-cache on top, requests-ratelimiter below it, so that hits cost no quota."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.utils import get_environ_proxies
from requests_cache import CacheMixin
from requests_cache.backends.base import BaseCache
from requests_cache.backends.sqlite import SQLiteCache
from requests_cache.policy import DEFAULT_IGNORED_PARAMS
from requests_ratelimiter import LimiterMixin

from server import __version__
from server.core.secret import Secret
from server.plugins.polygon_provider.budget import RequestBudget
from server.plugins.polygon_provider.config import is_this_machine

KEEP_FOR = timedelta(days=7)
"""How long answers about bars are kept. What they held is on disk by then; they only serve those that lost it."""


class BearerAuth(AuthBase):
    """Puts the key into the Authorization header of requests to the configured host, and to no other."""

    def __init__(self, key: Secret, base_url: str) -> None:
        self._key = key
        self._host = urlsplit(base_url).netloc

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if urlsplit(request.url or "").netloc == self._host:
            request.headers["Authorization"] = f"Bearer {self._key.reveal()}"
        return request


class PolygonSession(CacheMixin, LimiterMixin, requests.Session):
    """Reads the cache by itself; answers are put there by `keep`, once they arrived whole."""

    def __init__(self, cache: BaseCache, budget: RequestBudget, *, base_url: str, connections: int) -> None:
        super().__init__(
            backend=cache,
            read_only=True,
            key_fn=_key,
            ignored_parameters=(*DEFAULT_IGNORED_PARAMS, "apiKey", "authorization"),
            limiter=budget,
            per_host=False,
            bucket_name="polygon",
            limit_statuses=(),
        )
        self.trust_env = False  # a .netrc must not replace the key; the rest of the environment is honoured here
        self.proxies = {} if is_this_machine(base_url) else get_environ_proxies(base_url)
        self.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        self.headers.update({"Accept-Encoding": "gzip", "User-Agent": f"backtest-server/{__version__}"})
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections, max_retries=0)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Redirects are not followed, so where they lead is not even read."""

    def keep(self, response: requests.Response, keep_for: timedelta = KEEP_FOR) -> None:
        """Keep an answer so long, as it came over the wire, without the key. Nothing is kept where there is no file."""
        if not isinstance(self.cache, SQLiteCache):
            return
        response.request.headers.pop("Authorization", None)
        self.cache.save_response(response, _key(response.request), datetime.now(UTC) + keep_for)

    def kept(self) -> list[str]:
        """The addresses whose answers are kept."""
        return self.cache.addresses() if isinstance(self.cache, _Cache) else []

    def forget(self, response: requests.Response) -> None:
        """Keep an answer no longer."""
        self.cache.delete(_key(response.request))


_TURNS = threading.RLock()
"""Taken by whoever reads or writes a kept answer.

requests-cache lends one connection to all threads. Where one of them waits in it for another connection's
transaction, a second one stands before SQLite's mutex with Python's own lock in its hands, and nobody gets on until
the wait is over, thirty seconds later.
"""


class _Cache(SQLiteCache):
    """Loses an answer rather than a run: what cannot be read or written (a damaged file, a full disk) is not kept.

    A damaged file is removed, so that the next run begins a new one. Once it is closed, nothing is found or kept: a
    cancelled run leaves threads behind, and SQLite crashes where a connection is closed under one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open = True
        super().__init__(path, wal=True, fast_save=True, busy_timeout=30_000)

    def get_response(self, key: str, default: Any = None) -> Any:
        with self._using() as admitted:
            try:
                return super().get_response(key, default) if admitted else default
            except Exception as error:  # a damaged pickle may raise anything
                self._after(error)
                return default

    def save_response(self, *args: Any, **kwargs: Any) -> None:
        with self._using() as admitted:
            try:
                if admitted:
                    super().save_response(*args, **kwargs)
            except sqlite3.Error as error:
                self._after(error)

    def addresses(self) -> list[str]:
        """The addresses whose answers are kept; none where the file cannot be read."""
        with self._using() as admitted:
            try:
                return list(self.responses) if admitted else []
            except sqlite3.Error as error:
                self._after(error)
                return []

    def delete(self, *keys: str, **conditions: Any) -> None:
        with self._using() as admitted:
            try:
                if admitted:
                    super().delete(*keys, **conditions)
            except sqlite3.Error as error:
                self._after(error)

    def close(self) -> None:
        with _TURNS:
            self._open = False
            super().close()  # type: ignore[no-untyped-call]

    @contextmanager
    def _using(self) -> Iterator[bool]:
        with _TURNS:
            yield self._open

    def _after(self, error: Exception) -> None:
        if _is_damage(error):
            _remove(self._path)


def open_cache(path: Path, warn: Callable[[str], None]) -> BaseCache:
    """The cache at this path, or one in memory where it cannot be used; a damaged one is begun anew."""
    for _ in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(path, timeout=30)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("BEGIN IMMEDIATE")
                connection.rollback()
            cache = _Cache(path)
            cache.delete(expired=True, vacuum=False)
        except (sqlite3.DatabaseError, OSError) as error:
            if not _is_damage(error):
                warn(f"the HTTP cache {path} cannot be used ({error}); answers are not kept")
                return BaseCache()
            _remove(path)
        else:
            return cache
    return BaseCache()


def _is_damage(error: Exception) -> bool:
    """Whether the file is at fault, and not the place where it stands or another process that holds it."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, (sqlite3.OperationalError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
    )


def _remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        with suppress(OSError):
            path.with_name(name).unlink(missing_ok=True)


def _key(request: Any, **_: object) -> str:
    """Answers are told apart by their address alone, which holds no key.

    The parameters are put in one order: requests-cache sorts those of a request it kept, and takes an answer with
    a Vary header for another one's where the two addresses differ.
    """
    parts = urlsplit(str(request.url))
    return parts._replace(query=urlencode(sorted(parse_qsl(parts.query, keep_blank_values=True)))).geturl()
