"""The HTTP session: requests-cache on top, requests-ratelimiter below it, so that hits cost no quota."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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
from server.data_download.secret import Secret
from server.plugins.polygon_provider.budget import RequestBudget

KEEP_FOR = timedelta(days=7)
"""How long an answer is kept. What it held is on disk as LEAN's files by then; it only serves those that lost them."""


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
    """Reads the cache by itself; answers are put there by `keep`, once they were read whole and checked."""

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
        self.proxies = get_environ_proxies(base_url)
        self.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        self.headers.update({"Accept-Encoding": "gzip", "User-Agent": f"backtest-server/{__version__}"})
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections, max_retries=0)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def keep(self, response: requests.Response) -> None:
        """Keep an answer, as it came over the wire, without the key. Nothing is kept where there is no file."""
        if not isinstance(self.cache, SQLiteCache):
            return
        response.request.headers.pop("Authorization", None)
        self.cache.save_response(response, _key(response.request), datetime.now(UTC) + KEEP_FOR)


def open_cache(path: Path, warn: Callable[[str], None]) -> BaseCache:
    """The cache at this path, or one in memory where it cannot be used; a damaged one is begun anew."""
    for _ in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(path, timeout=30)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("BEGIN IMMEDIATE")
                connection.rollback()
            cache = SQLiteCache(path, wal=True, busy_timeout=30_000)
            cache.delete(expired=True, vacuum=False)
        except sqlite3.OperationalError as error:
            warn(f"the HTTP cache {path} cannot be used ({error}); answers are not kept")
            return BaseCache()
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
        else:
            return cache
    return BaseCache()


def _key(request: Any, **_: object) -> str:
    """Answers are told apart by their address alone: it holds no key, and the parameters come in one order."""
    return str(request.url)
