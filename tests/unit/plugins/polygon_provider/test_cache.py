"""The HTTP cache: entries, expiry, old and damaged files, faults that count as misses."""

from __future__ import annotations

import gzip
import io
import pickle
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests_cache import CachedSession

from server.plugins.polygon_provider import cache as cache_module
from server.plugins.polygon_provider.cache import ResponseCache

URL = "https://api.polygon.io/v2/aggs/ticker/SPY/range/1/minute/2024-03-07/2024-03-08?sort=asc"
BODY = gzip.compress(b'{"status":"OK"}' * 100)
DAY = timedelta(days=1)

OpenCache = Callable[..., ResponseCache]


class Network(HTTPAdapter):
    """Replaces the network: every response has this body."""

    def __init__(self, body: bytes = BODY) -> None:
        super().__init__()
        self.body = body

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Return a response."""
        headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding, Origin"}
        raw = urllib3.HTTPResponse(io.BytesIO(self.body), headers=headers, status=200, preload_content=False)
        raw._request_url = request.url  # type: ignore[attr-defined]  # which requests-cache copies
        return self.build_response(request, raw)


def response_to(url: str = URL, body: bytes = BODY) -> requests.Response:
    """A response whose body was received and not decompressed."""
    with requests.Session() as session:
        session.mount("https://", Network(body))
        response = session.get(url, stream=True, headers={"Authorization": "Bearer k3y"})
        response._content = response.raw.read(decode_content=False)
        response._content_consumed = True  # type: ignore[attr-defined]
        return response


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The cache's file."""
    return tmp_path / "state" / "http-cache.sqlite"


@pytest.fixture
def open_cache(path: Path) -> Iterator[OpenCache]:
    """``open_cache()``: the cache over the file; no warning is expected."""
    with ExitStack() as opened:

        def make(warn: Callable[[str], None] = pytest.fail, **options: Any) -> ResponseCache:
            return opened.enter_context(closing(ResponseCache(path, warn=warn, **options)))

        yield make


def content(cache: ResponseCache, url: str = URL) -> bytes | None:
    """The body of a cached response."""
    found = cache.get(url)
    return None if found is None else found.content


# --- entries ---


def test_a_body_comes_back_as_it_was_received(open_cache: OpenCache) -> None:
    """Compressed, with its status, also in another process; a ``Vary`` header makes no difference."""
    open_cache().store(response_to(), DAY)
    found = open_cache().get(URL)

    assert found is not None
    assert (found.status_code, found.content) == (200, BODY)


def test_an_entry_is_found_by_its_key(open_cache: OpenCache) -> None:
    """By default the whole address counts; with a key function, what it yields."""
    plain = open_cache()
    plain.store(response_to(), DAY)
    assert content(plain, f"{URL}&cursor=2") is None

    keyed = open_cache(key_fn=lambda request, **_: request.url.partition("?")[0])
    keyed.store(response_to(), DAY)
    assert content(keyed, f"{URL}&cursor=2") == BODY
    assert URL.partition("?")[0] in keyed.cached_keys()


def test_an_evicted_entry_is_gone(open_cache: OpenCache) -> None:
    """Whether the response is new or from the cache; an unknown one is no error."""
    cache = open_cache()
    cache.evict(response_to())
    cache.store(response_to(), DAY)
    found = cache.get(URL)
    assert found is not None
    cache.evict(found)

    assert content(cache) is None
    assert cache.cached_keys() == []


def test_an_expired_entry_is_not_found_and_removed_at_the_next_opening(open_cache: OpenCache) -> None:
    """Others stay."""
    cache = open_cache()
    cache.store(response_to(), timedelta(seconds=-5))
    cache.store(response_to(f"{URL}&other"), DAY)
    assert content(cache) is None
    assert len(cache.cached_keys()) == 2

    again = open_cache()
    assert len(again.cached_keys()) == 1
    assert content(again, f"{URL}&other") == BODY


def test_an_entry_of_the_future_is_not_found(open_cache: OpenCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that was ahead stored it, when other days counted as past."""
    with closing(open_cache()) as cache:
        cache.store(response_to(), 7 * DAY)
        assert content(cache) == BODY

        for back, expected in ((timedelta(hours=1), None), (timedelta(0), BODY)):
            monkeypatch.setattr(cache_module, "datetime", clock_behind(back))
            assert content(cache) == expected


def clock_behind(back: timedelta) -> type[datetime]:
    """The class datetime with a clock that is behind."""

    class Behind(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) - back

    return Behind


def test_no_authorization_is_stored(open_cache: OpenCache, path: Path) -> None:
    """The request's headers are stored without the API key."""
    cache = open_cache()
    cache.store(response_to(), DAY)

    assert b"k3y" not in b"".join(file.read_bytes() for file in path.parent.iterdir())


# --- pickle ---


class Bomb:
    """An object whose unpickling creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def old_cache(path: Path) -> None:
    """A cache file as requests-cache writes it by default, with pickled responses."""
    path.parent.mkdir()
    with CachedSession(str(path), backend="sqlite") as session:
        session.mount("https://", Network())
        session.get(URL)
        (key,) = session.cache.responses
        session.cache.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        (value,) = connection.execute("SELECT value FROM responses").fetchone()
        assert value.startswith(b"\x80")  # the first byte of a pickle
        connection.execute(
            "UPDATE responses SET value = ? WHERE key = ?", (pickle.dumps(Bomb(path.parent / "ran")), key)
        )


def test_the_bomb_works(tmp_path: Path) -> None:
    """Else the next tests prove nothing."""
    pickle.loads(pickle.dumps(Bomb(tmp_path / "ran")))

    assert (tmp_path / "ran").exists()


def test_an_old_cache_is_discarded_without_unpickling(open_cache: OpenCache, path: Path) -> None:
    """A user who can write into a data folder runs no code in the process that opens it."""
    old_cache(path)
    cache = open_cache()
    assert cache.cached_keys() == []
    assert content(cache) is None
    cache.store(response_to(), DAY)

    assert content(cache) == BODY
    assert not (path.parent / "ran").exists()


def test_a_pickle_in_a_current_file_is_a_miss(open_cache: OpenCache, path: Path) -> None:
    """The version of a file does not make its content trusted."""
    cache = open_cache()
    cache.store(response_to(), DAY)
    with closing(sqlite3.connect(path)) as connection, connection:
        bomb = pickle.dumps(Bomb(path.parent / "ran"))
        assert connection.execute("UPDATE responses SET value = ?", (bomb,)).rowcount == 1

    assert content(cache) is None
    assert content(open_cache()) is None
    assert not (path.parent / "ran").exists()


# --- faults ---


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xc1",
        b"\x80",
        b"\xa1x",
        b"\x93\x01\x02\x03",
        b"\x81\xabstatus_code\xa1x",
        b"\x81\xa8_content\xa1x",
        b"\x81\xa7headers\x01",
        b"\x81\xa7expires\xa3now",
        "text",
        None,
        7,
    ],
)
def test_an_entry_that_cannot_be_read_is_a_miss(
    open_cache: OpenCache, path: Path, value: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without a word on the terminal; the next response replaces it."""
    cache = open_cache()
    cache.store(response_to(), DAY)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE responses SET value = ?", (value,))

    found = content(cache)
    assert found is None or found == b"x"
    cache.store(response_to(), DAY)
    assert content(cache) == BODY
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("damage", [b"this is not a database" * 300, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_replaced(open_cache: OpenCache, path: Path, damage: bytes) -> None:
    """With a warning that names it."""
    path.parent.mkdir()
    path.write_bytes(damage)
    warned: list[str] = []
    cache = open_cache(warned.append)
    cache.store(response_to(), DAY)

    assert content(cache) == BODY
    (message,) = warned
    assert str(path) in message
    assert [file.read_bytes() for file in path.parent.glob("http-cache.sqlite.damaged-*")] == [damage]


def test_damage_during_a_run_ends_the_cache_and_not_the_run(open_cache: OpenCache, path: Path) -> None:
    """Nothing is found or stored from then on; the next run has a sound file."""
    warned: list[str] = []
    cache = open_cache(warned.append)
    cache.store(response_to(), DAY)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.write_bytes(path.read_bytes()[:100] + b"\xa5" * (path.stat().st_size - 100))
    cache.store(response_to(f"{URL}&other"), DAY)
    cache.store(response_to(), DAY)

    assert content(cache) is None
    assert cache.cached_keys() == []
    (message,) = warned
    assert "damaged" in message
    again = open_cache()
    again.store(response_to(), DAY)
    assert content(again) == BODY


def test_a_folder_that_cannot_be_used_is_reported(open_cache: OpenCache, path: Path) -> None:
    """The run goes on without a cache."""
    path.parent.write_bytes(b"a file")
    warned: list[str] = []
    cache = open_cache(warned.append)
    cache.store(response_to(), DAY)
    cache.evict(response_to())

    assert content(cache) is None
    assert cache.cached_keys() == []
    (message,) = warned
    assert "responses are not cached" in message
    assert str(path) in message


def test_a_closed_cache_neither_finds_nor_stores(open_cache: OpenCache) -> None:
    """Threads that a cancelled run left behind do no harm."""
    cache = open_cache()
    cache.store(response_to(), DAY)
    cache.close()
    cache.store(response_to(f"{URL}&other"), DAY)
    cache.evict(response_to())
    cache.close()

    assert content(cache) is None
    assert cache.cached_keys() == []
    assert len(open_cache().cached_keys()) == 1


def test_threads_share_one_cache_until_it_is_closed(open_cache: OpenCache) -> None:
    """Each of them finds what it stored; none fails when the cache is closed under it."""
    cache = open_cache()
    failures: list[BaseException] = []
    stored = threading.Barrier(9)

    def run(number: int) -> None:
        try:
            urls = [f"{URL}&n={number}-{entry}" for entry in range(10)]
            for url in urls:
                cache.store(response_to(url), DAY)
            assert [content(cache, url) for url in urls] == [BODY] * 10
            stored.wait(20)
            for url in urls:
                assert content(cache, url) in (BODY, None)
                cache.store(response_to(url), DAY)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    stored.wait(20)
    cache.close()
    for thread in threads:
        thread.join(20)

    assert failures == []
