"""Which responses the Polygon client caches, and when it uses them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from server.core.errors import BacktestServerError
from server.data_download.errors import BadResponseError
from server.plugins.polygon_provider.windows import CachedRange, Window
from tests.support.polygon_client import DAYS, GOOD, KEY, SERIES, WINDOW, MakeKit, Reply


def test_a_stored_page_is_not_requested_again(kit: MakeKit) -> None:
    """It counts as a hit and not as a request."""
    made = kit()
    first = made.get(store=True)
    second = made.get()

    assert (first.from_cache, second.from_cache) == (False, True)
    assert second.page == first.page
    assert (len(made.vendor.sent), made.count("api_calls"), made.count("cache_hits")) == (1, 1, 1)


def test_a_page_is_stored_only_when_asked(kit: MakeKit) -> None:
    """Later if need be, once all pages have arrived."""
    made = kit()
    fetched = made.get()
    assert not made.get().from_cache

    made.client.store(fetched)
    assert made.get().from_cache


def test_a_refresh_ignores_the_cache_and_replaces_the_entry(kit: MakeKit) -> None:
    """The next request without a refresh finds the new response."""
    made = kit(Reply(), Reply(body=GOOD.replace(b"r1", b"r2")))
    made.get(store=True)
    made.get(Window(series=SERIES, wanted=DAYS, refresh=True), store=True)

    assert made.get().page.request_id == "r2"
    assert len(made.vendor.sent) == 2


@pytest.mark.parametrize(
    "body",
    [GOOD.replace(b"false", b"true"), b"no JSON", gzip.compress(GOOD, mtime=0)[:-9]],
    ids=["adjusted", "no JSON", "cut"],
)
def test_a_rejected_response_is_not_cached(kit: MakeKit, body: bytes) -> None:
    """It is stored when it arrives and evicted when it is rejected."""
    made = kit(*[Reply(body=body)] * (2 if b"true" in body else 1), retry_attempts=1)
    with pytest.raises(BacktestServerError):
        made.get(store=True)

    assert made.cache.cached_keys() == []
    assert not made.get().from_cache


ADJUSTED = Reply(body=GOOD.replace(b"false", b"true"))


def test_a_rejected_response_is_requested_once_more(kit: MakeKit) -> None:
    """Although one attempt is allowed, and not from the cache; the second response counts and is stored."""
    made = kit(ADJUSTED, Reply(), retry_attempts=1)

    assert not made.get(store=True).from_cache
    assert len(made.vendor.sent) == 2
    assert (made.count("api_calls"), made.count("retries"), made.count("cache_hits")) == (2, 1, 0)
    assert made.get().from_cache


def test_a_second_rejected_response_is_an_error(kit: MakeKit) -> None:
    """After exactly two requests, whatever number of attempts is allowed; the error says so."""
    made = kit(*[ADJUSTED] * 3, retry_attempts=8)
    with pytest.raises(BadResponseError, match="a second response was rejected too") as caught:
        made.get(store=True)

    assert (len(made.vendor.sent), caught.value.attempts) == (2, 2)
    assert made.cache.cached_keys() == []


def test_an_outage_after_a_rejected_response_is_retried(kit: MakeKit) -> None:
    """The rejected response is no attempt; a page that is rejected after it is not requested a third time."""
    made = kit(ADJUSTED, Reply(503), Reply(503), retry_attempts=3)
    assert made.get().page.status == "OK"
    assert len(made.vendor.sent) == 4

    made = kit(ADJUSTED, Reply(503), ADJUSTED, Reply(), retry_attempts=3)
    with pytest.raises(BadResponseError):
        made.get()
    assert len(made.vendor.sent) == 3


def test_a_rejected_cached_response_is_evicted_and_requested_once(kit: MakeKit) -> None:
    """The request to the network is the one further request."""
    made = kit(Reply(), ADJUSTED, ADJUSTED)
    made.get(store=True)

    def reject(body: bytes) -> object:
        raise BadResponseError("no")

    with pytest.raises(BadResponseError, match="a second response was rejected too"):
        made.client.get(WINDOW, WINDOW.target, reject)
    assert len(made.vendor.sent) == 2
    assert made.cache.cached_keys() == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_other_statuses_are_not_cached(kit: MakeKit, status: int) -> None:
    """Only complete answers to a request are."""
    made = kit(Reply(status), retry_attempts=1)
    with pytest.raises(BacktestServerError):
        made.get(store=True)

    assert made.cache.cached_keys() == []


def test_a_cached_page_that_is_rejected_is_requested_again(kit: MakeKit) -> None:
    """A cache entry is validated as a new response is."""
    made = kit()
    fetched = made.get(store=True)
    fetched.response._content = GOOD.replace(b"false", b"true")
    made.client.store(fetched)

    assert not made.get(store=True).from_cache
    assert made.get().from_cache


def test_the_key_is_in_no_cache_file(kit: MakeKit, tmp_path: Path) -> None:
    """Neither in the request's headers nor in its address."""
    made = kit()
    made.get(store=True)

    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"/v2/aggs/ticker/SPY" in content
    assert KEY.encode() not in content


def test_the_cached_ranges_are_those_of_the_configured_host(kit: MakeKit) -> None:
    """By series and days; another address of the vendor's is another host."""
    made = kit()
    made.get(store=True)

    assert made.client.cached_ranges() == [
        CachedRange(host="api.polygon.io", series=SERIES, first=DAYS[0], last=DAYS[1])
    ]
    assert kit(api_url="https://api.massive.com").client.cached_ranges() == []
