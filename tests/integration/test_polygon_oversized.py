"""Responses that are too large or have too many pages: rejected once, within bounded memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from server.data_download.errors import BadResponseError
from server.plugins.polygon_provider.connection import aggregates_cache
from tests.support import download_process, faults
from tests.support.faults import Fault
from tests.support.harness import Rig, lose_files, sessions
from tests.support.hostile_server import Behaviour, HostileServer, answering, flooding
from tests.support.market import Market
from tests.support.polygon_server import PolygonServer, Request
from tests.support.reference_source import ReferenceRig, events_of
from tests.support.reports import only_failure

Serve = Callable[..., PolygonServer]

DAYS = sessions(date(2024, 3, 4), 1)
SYMBOLS = ["A", "B", "C", "D", "E"]
MOST_MEMORY = 700 * 1024
"""KiB."""

LIMIT = 256 << 20


def gzip_of(beginning: bytes, spaces: int, end: bytes = b"") -> bytes:
    """A gzip of a beginning, a number of spaces, and an end."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    parts = [packer.compress(beginning)]
    block = b" " * (1 << 20)
    parts += [packer.compress(block) for _ in range(spaces >> 20)]
    parts += [packer.compress(block[: spaces & ((1 << 20) - 1)]), packer.compress(end)]
    return b"".join([*parts, packer.flush()])


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A megabyte of gzip that unpacks to a gigabyte of valid JSON."""
    return gzip_of(b'{"status":"OK","adjusted":false', 1 << 30, b"}")


def download(server: HostileServer, root: Path, symbols: list[str]) -> dict[str, Any]:
    """The report of a download in a process of its own."""
    process = download_process.start(
        root=root, url=server.url, symbols=symbols, start=DAYS[0], end=DAYS[-1], retry_attempts=3
    )
    return download_process.finish(process)


def assert_rejected(report: dict[str, Any], symbols: list[str]) -> None:
    """Each day failed for the size, after one request each and without much memory."""
    assert [failure["symbol"] for failure in report["failures"]] == symbols
    for failure in report["failures"]:
        assert f"{failure['symbol']} minute {DAYS[0]} cannot be used: it is larger than 256 MB" in failure["error"]
    assert (report["api_calls"], report["retries"]) == (len(symbols), 0)
    assert report["memory"] < MOST_MEMORY


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "429 Too Many Requests", "500 Internal Server Error"])
def test_a_gzip_bomb_is_rejected(tmp_path: Path, bomb: bytes, status: str) -> None:
    """With any status, five at once: no retry, and no memory for what it unpacks to."""
    with HostileServer(answering(status, bomb, "Content-Encoding: gzip")) as server:
        assert_rejected(download(server, tmp_path, SYMBOLS), SYMBOLS)


def test_a_gzip_bomb_is_rejected_in_worker_processes(tmp_path: Path, bomb: bytes) -> None:
    """With enough windows that worker processes decode them."""
    symbols = [f"S{n}" for n in range(10, 30)]
    with HostileServer(answering("200 OK", bomb, "Content-Encoding: gzip")) as server:
        assert_rejected(download(server, tmp_path, symbols), symbols)


ENDLESS = {
    "without length": flooding(b"HTTP/1.1 200 OK\r\n\r\n", b" " * (1 << 16)),
    "in chunks": flooding(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    ),
    "of an error": flooding(b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b" " * (1 << 16)),
}


@pytest.mark.parametrize("behaviour", ENDLESS.values(), ids=ENDLESS.keys())
def test_an_endless_body_is_rejected(tmp_path: Path, behaviour: Behaviour) -> None:
    """Five at once: each is read up to the limit, and the connection is closed."""
    with HostileServer(behaviour) as server:
        assert_rejected(download(server, tmp_path, SYMBOLS), SYMBOLS)
        assert server.wait_for(closed=5)


@pytest.mark.parametrize("packed", [False, True])
def test_large_bodies_are_in_memory_one_at_a_time(tmp_path: Path, packed: bool) -> None:
    """Five at once that are not JSON, below the limit: each is tried three times, as a small one is."""
    body = gzip_of(b"<html>", 200 << 20) if packed else b"<html>" + b" " * (200 << 20)
    with HostileServer(answering("200 OK", body)) as server:
        report = download(server, tmp_path, SYMBOLS)

    assert ["it is not JSON but '<html>'" in failure["error"] for failure in report["failures"]] == [True] * 5
    assert (report["api_calls"], report["retries"]) == (15, 10)
    assert report["memory"] < MOST_MEMORY


def test_millions_of_records_are_rejected(tmp_path: Path) -> None:
    """A body below the limit, of records that would take ten times its memory."""
    record = b'{"v":1,"o":1,"c":1,"h":1,"l":1,"t":1},'
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    blocks = [packer.compress(record * 10_000) for _ in range(200_000_000 // len(record) // 10_000)]
    body = packer.compress(b'{"status":"OK","results":[') + b"".join(blocks) + packer.flush()
    with HostileServer(answering("200 OK", body)) as server:
        report = download(server, tmp_path, ["SPY"])

    (failure,) = report["failures"]
    assert "more than 100,000 records" in failure["error"]
    assert report["api_calls"] == 1
    assert report["memory"] < MOST_MEMORY


def test_the_largest_body_is_accepted(tmp_path: Path) -> None:
    """Exactly 256 MB of valid JSON; one byte more is rejected."""
    head, tail = b'{"status":"OK","ticker":"SPY","adjusted":false,"results":[', b"]}"
    # 2024-03-04 09:30 in New York
    bar = b'{"v":1,"o":1,"c":1,"h":1,"l":1,"t":1709562600000}'
    spaces = LIMIT - len(head + bar + tail)
    with HostileServer(answering("200 OK", gzip_of(head + bar, spaces, tail))) as server:
        assert download(server, tmp_path / "a", ["SPY"])["days_downloaded"] == 1
    with HostileServer(answering("200 OK", gzip_of(head + bar, spaces + 1, tail))) as server:
        assert_rejected(download(server, tmp_path / "b", ["SPY"]), ["SPY"])


def test_corporate_actions_have_the_same_limit(tmp_path: Path, bomb: bytes) -> None:
    """The list of splits is requested once."""
    with HostileServer(answering("200 OK", bomb, "Content-Encoding: gzip")) as server:
        with pytest.raises(BadResponseError, match="the splits of AAPL cannot be used: it is larger than 256 MB"):
            events_of(ReferenceRig(tmp_path, server.url))
        assert server.wait_for(accepted=1, closed=1)


def test_a_bomb_in_the_cache_is_replaced(tmp_path: Path, bomb: bytes) -> None:
    """A cached body that is too large is evicted, and the window requested."""
    market = Market.synthetic(["SPY"], DAYS, bars_per_day=5)
    with PolygonServer(market) as server:
        rig = Rig(tmp_path, server.url)
        assert rig.download("SPY", DAYS).complete
        with closing(aggregates_cache(rig.state, warn=pytest.fail)) as cache:
            cached = cache.get(server.url + server.requests[0].target)
            assert cached is not None
            cached._content = bomb
            cache.store(cached, timedelta(days=1))
        lose_files(rig)
        report = rig.download("SPY", DAYS)

    assert report.complete
    assert (report.http_cache_hits, report.api_calls) == (1, 1)


def test_windows_without_a_last_page_are_given_up(polygon_server: Serve, tmp_path: Path) -> None:
    """After 100 pages, once, naming what was requested; another symbol is not concerned."""
    count = iter(range(10_000))

    def endless(answer: dict[str, Any]) -> dict[str, Any]:
        path = f"/v2/aggs/ticker/SPY/range/1/minute/{DAYS[0]}/{DAYS[0]}"
        return {**answer, "next_url": f"{server.url}{path}?adjusted=false&cursor={next(count)}"}

    def behave(request: Request, n: int) -> Fault | None:
        return faults.edited(endless) if "/SPY/" in request.path else None

    server = polygon_server(Market.synthetic(["SPY", "QQQ"], DAYS, bars_per_day=5), on_request=behave)
    rig = Rig(tmp_path, server.url)

    report = rig.download(["SPY", "QQQ"], DAYS)

    failure = only_failure(report, "SPY", DAYS)
    assert failure.code == "bad_response"
    assert f"SPY minute {DAYS[0]} cannot be used: it goes on after 100 pages" in failure.error
    assert sum("/SPY/" in request.path for request in server.requests) == 100
    assert (report.days_downloaded, report.retries) == (1, 0)
