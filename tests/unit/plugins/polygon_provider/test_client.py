"""The Polygon client: requests, retries, errors and the cache."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from attrs import define, field, frozen
from requests.adapters import HTTPAdapter

from server.core.errors import BacktestServerError, Cancelled
from server.core.events import Event, EventStream
from server.core.secret import Secret
from server.data_download.errors import (
    AuthenticationError,
    BadResponseError,
    PlanLimitError,
    ProviderUnavailable,
    RateLimitError,
    SymbolNotFoundError,
)
from server.lean.series import Resolution, Series
from server.plugins.polygon_provider import budget as budget_module
from server.plugins.polygon_provider.budget import RequestBudget
from server.plugins.polygon_provider.cache import ResponseCache
from server.plugins.polygon_provider.cache_keys import aggregates_key
from server.plugins.polygon_provider.client import PolygonClient
from server.plugins.polygon_provider.config import PolygonConfig
from server.plugins.polygon_provider.responses import read_page
from server.plugins.polygon_provider.session import PolygonSession
from server.plugins.polygon_provider.transport import Transport
from server.plugins.polygon_provider.windows import CachedRange, Window
from tests.support.faults import GATEWAY_PAGE, TOO_MANY
from tests.support.harness import NOW, FakeTime

KEY = "kEy/with+signs"
DAYS = (date(2024, 3, 7), date(2024, 3, 8))
SERIES = Series("SPY", Resolution.MINUTE)
WINDOW = Window(series=SERIES, wanted=DAYS)
GOOD = b'{"status":"OK","adjusted":false,"request_id":"r1","resultsCount":0}'


@frozen
class Reply:
    """A response of the vendor."""

    status: int = 200
    body: bytes = GOOD
    headers: dict[str, str] = field(factory=dict)


class Vendor(HTTPAdapter):
    """Replaces the network: returns these replies in turn, and good ones afterwards."""

    def __init__(self, *replies: Reply | Exception) -> None:
        super().__init__()
        self.replies = list(replies)
        self.sent: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Record the request and return the next reply."""
        self.sent.append(request.copy())
        reply = self.replies.pop(0) if self.replies else Reply()
        if isinstance(reply, Exception):
            raise reply
        raw = urllib3.HTTPResponse(
            io.BytesIO(reply.body), headers=reply.headers, status=reply.status, preload_content=False
        )
        raw._request_url = request.url  # type: ignore[attr-defined]  # which requests-cache copies
        return self.build_response(request, raw)


@define
class Kit:
    """A client with a vendor, a cache, a clock, and the events it reported."""

    client: PolygonClient
    session: PolygonSession
    cache: ResponseCache
    vendor: Vendor
    time: FakeTime
    events: list[Event]
    cancelled: list[bool]

    def get(self, window: Window = WINDOW, **options: Any) -> Any:
        """Fetch a window's first page."""
        return self.client.get(window, window.target, partial(read_page, window=window), **options)

    def count(self, name: str) -> int:
        """The sum of a count over all events."""
        return sum(getattr(event, name) for event in self.events)


MakeKit = Callable[..., Kit]


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeKit]:
    """``kit(Reply(500), …, retry_attempts=3)``: a client whose vendor returns these replies."""
    opened = ExitStack()

    def make(*replies: Reply | Exception, pause: Callable[[float], bool] | None = None, **settings: Any) -> Kit:
        clock = FakeTime()
        monkeypatch.setattr(budget_module, "time", clock)
        config = PolygonConfig(api_key=Secret(KEY), **settings)
        events: list[Event] = []
        cancelled: list[bool] = []
        pause = pause or clock.pause
        budget = RequestBudget(
            tmp_path / "requests.sqlite",
            config.requests_per_minute,
            pause=pause,
            waiting=lambda seconds: None,
            warn=pytest.fail,
        )
        cache = ResponseCache(tmp_path / "http-cache.sqlite", warn=pytest.fail, key_fn=aggregates_key)
        session = PolygonSession(base_url=config.api_url, connections=1)
        for resource in (budget, cache, session):
            opened.enter_context(closing(resource))
        vendor = Vendor(*replies)
        session.mount("https://", vendor)

        stream = EventStream(lambda: NOW, [events.append])

        def is_cancelled() -> bool:
            return bool(cancelled)

        transport = Transport(config, session, budget, events=stream, cancelled=is_cancelled)
        client = PolygonClient(
            config,
            transport,
            cache,
            budget,
            events=stream,
            pause=pause,
            cancelled=is_cancelled,
            wall_clock=clock.time,
        )
        return Kit(client, session, cache, vendor, clock, events, cancelled)

    with opened:
        yield make


# --- what is sent ---


def test_a_request_carries_the_key_in_its_header_only(kit: MakeKit) -> None:
    """The address has none; gzip is asked for."""
    made = kit()
    made.get()

    (request,) = made.vendor.sent
    assert request.url == (
        "https://api.polygon.io/v2/aggs/ticker/SPY/range/1/minute/2024-03-07/2024-03-08"
        "?adjusted=false&sort=asc&limit=50000"
    )
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["Accept-Encoding"] == "gzip"
    assert request.headers["User-Agent"].startswith("backtest-server/")


@pytest.mark.parametrize("url", ["https://api.massive.com", "https://api.massive.com/"])
def test_the_vendors_address_is_a_setting(kit: MakeKit, url: str) -> None:
    """With or without a slash at its end."""
    made = kit(api_url=url)
    made.get()

    assert made.vendor.sent[0].url is not None
    assert made.vendor.sent[0].url.startswith("https://api.massive.com/v2/aggs/")


def test_a_netrc_does_not_replace_the_key(kit: MakeKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does anything else of the user's environment."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.polygon.io login someone password else")
    monkeypatch.setenv("NETRC", str(netrc))
    made = kit()
    made.get()
    monkeypatch.delenv("NETRC")

    assert made.vendor.sent[0].headers["Authorization"] == f"Bearer {KEY}"


def test_the_key_is_in_no_repr(kit: MakeKit) -> None:
    """Of the settings, the client and what it fetched."""
    made = kit()

    for thing in (made.client, made.get(), made.session, PolygonConfig(api_key=Secret(KEY))):
        assert KEY not in repr(thing)


# --- trying again ---


def test_the_waits_double_up_to_half_a_minute(kit: MakeKit) -> None:
    """With jitter between the half and the whole, and at most eight tries."""
    made = kit(*[Reply(500)] * 8, retry_seconds=1000.0)
    with pytest.raises(ProviderUnavailable, match="given up after 8 tries") as caught:
        made.get()

    most = [0.5, 1, 2, 4, 8, 16, 30]
    assert len(made.time.waits) == 7
    for waited, longest in zip(made.time.waits, most, strict=True):
        assert longest / 2 <= waited <= longest
    assert (len(made.vendor.sent), caught.value.attempts, caught.value.status) == (8, 8, 500)
    assert made.count("api_calls") == 8
    assert made.count("retries") == 7


def test_the_time_for_one_request_is_bounded(kit: MakeKit) -> None:
    """A wait that would reach beyond it is not begun."""
    made = kit(*[Reply(429, headers={"Retry-After": "20"})] * 8, retry_seconds=19.0)
    with pytest.raises(RateLimitError):
        made.get()

    assert (len(made.vendor.sent), made.time.waits) == (1, [])


def test_a_429_waits_into_the_next_minute(kit: MakeKit) -> None:
    """The vendor counts by the minute and says nothing about when: with some jitter, so that not all come at once."""
    made = kit(Reply(429, json.dumps({"status": "ERROR", "error": TOO_MANY}).encode()))
    made.time._wall = 1_700_000_000.0 - 1_700_000_000.0 % 60 + 41
    made.get()

    assert 19.2 <= sum(made.time.waits) <= 21


@pytest.mark.parametrize(("header", "wait"), [("7", 7), ("0", 0.1), ("2.5", 2.5)])
def test_retry_after_is_taken_at_its_word(kit: MakeKit, header: str, wait: float) -> None:
    """But never less than a tenth of a second."""
    made = kit(Reply(429, b"", {"Retry-After": header}))
    made.get()

    assert sum(made.time.waits) == pytest.approx(wait, abs=0.1)


@pytest.mark.parametrize("header", ["Wed, 21 Oct 2026 07:28:00 GMT", "nan", "inf", "-5", "1e9", "soon", ""])
def test_a_retry_after_that_says_nothing_is_passed_over(kit: MakeKit, header: str) -> None:
    """The wait is to the next minute then."""
    made = kit(Reply(429, b"", {"Retry-After": header}))
    made.get()

    assert 0.2 <= sum(made.time.waits) <= 62.1


def test_a_second_push_back_brings_the_free_plans_budget(kit: MakeKit) -> None:
    """Five a minute from then on, said once."""
    made = kit(*[Reply(429, b"", {"Retry-After": "1"})] * 3)
    made.get()
    before = made.time.time()
    for _ in range(6):
        made.get()

    assert [event.kind for event in made.events].count("notice") == 1
    assert made.time.time() - before > 50


NOT_SENT = urllib3.exceptions.NewConnectionError(None, "refused")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "tries", "calls", "words"),
    [
        (requests.ConnectionError(urllib3.exceptions.MaxRetryError(None, "/", NOT_SENT)), 4, 0, "no connection"),  # type: ignore[arg-type]
        (requests.ConnectTimeout(urllib3.exceptions.ConnectTimeoutError("slow")), 4, 0, "no connection within 5 s"),
        (requests.ReadTimeout(urllib3.exceptions.ReadTimeoutError(None, "/", "slow")), 8, 8, "no answer within 30 s"),  # type: ignore[arg-type]
        (
            requests.ConnectionError(urllib3.exceptions.ProtocolError("x", ConnectionResetError(104, "reset"))),
            8,
            8,
            "broke",
        ),
        (requests.exceptions.SSLError(urllib3.exceptions.SSLError("bad certificate")), 8, 8, "certificate"),
        (requests.exceptions.ChunkedEncodingError("cut"), 8, 8, "broke"),
        (ConnectionResetError(104, "reset"), 8, 8, "broke"),
    ],
)
def test_broken_connections_are_tried_again(kit: MakeKit, error: Exception, tries: int, calls: int, words: str) -> None:
    """A host that cannot be reached is given up sooner, and counts as no request; the reason is in words."""
    made = kit(*[error] * 8, retry_seconds=1000.0)
    with pytest.raises(ProviderUnavailable, match=words) as caught:
        made.get()

    assert (len(made.vendor.sent), made.count("api_calls")) == (tries, calls)
    assert "https://api.polygon.io" in str(caught.value)
    assert f"given up after {tries} tries" in str(caught.value)


def test_a_garbled_answer_is_tried_three_times(kit: MakeKit) -> None:
    """HTML with status 200, or JSON that breaks off."""
    made = kit(*[Reply(body=b'{"status":"OK","resu')] * 8)
    with pytest.raises(BadResponseError, match="given up after 3 tries"):
        made.get()


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (401, b'{"status":"ERROR","request_id":"r","error":"Unknown API Key"}', AuthenticationError, "Unknown API Key"),
        (403, b'{"status":"NOT_AUTHORIZED","request_id":"r","message":"Your plan"}', PlanLimitError, "Your plan"),
        (
            404,
            b'{"status":"NOT_FOUND","request_id":"r","message":"Ticker not found."}',
            SymbolNotFoundError,
            "not found",
        ),
        (400, b'{"status":"ERROR","request_id":"r","error":"bad from"}', BadResponseError, "bad from"),
        (418, b'{"request_id":"r"}', BadResponseError, "418"),
        (302, b'{"request_id":"r"}', BadResponseError, "302"),
    ],
)
def test_refusals_are_not_tried_again(
    kit: MakeKit, status: int, body: bytes, error: type[BacktestServerError], words: str
) -> None:
    """At once, with the vendor's words, the status and the request id; and what was asked for as facts."""
    made = kit(*[Reply(status, body)] * 3)
    with pytest.raises(error, match=words) as caught:
        made.get()

    found = caught.value
    assert (len(made.vendor.sent), made.time.waits) == (1, [])
    assert (found.symbol, found.resolution, found.days) == ("SPY", Resolution.MINUTE, DAYS)
    assert (found.status, found.request_id) == (status, "r")
    assert f"(status {status}, request id r)" in str(found)


def test_a_plan_refusal_names_the_days(kit: MakeKit) -> None:
    """One day by itself, several with their number."""
    refused = Reply(403, b'{"message":"no"}')
    for window, words in (
        (WINDOW, "SPY minute 2024-03-07 to 2024-03-08 (2 trading days)"),
        (Window(series=Series("SPY", Resolution.DAILY), wanted=DAYS[:1]), "SPY daily 2024-03-07;"),
    ):
        with pytest.raises(PlanLimitError) as caught:
            kit(refused).get(window)
        assert words in str(caught.value)


def test_an_html_page_is_told_by_its_title(kit: MakeKit) -> None:
    """Not by its markup."""
    made = kit(*[Reply(502, GATEWAY_PAGE.format("502 Bad Gateway").encode())] * 8, retry_attempts=2)
    with pytest.raises(ProviderUnavailable) as caught:
        made.get()

    assert '"502 Bad Gateway"' in str(caught.value)
    assert "<" not in str(caught.value)


@pytest.mark.parametrize("form", [KEY, KEY.upper(), "kEy%2Fwith%2Bsigns", "key%2fwith%2bsigns"])
@pytest.mark.parametrize("status", [200, 401, 403, 500])
def test_a_key_in_the_vendors_words_is_masked(kit: MakeKit, form: str, status: int) -> None:
    """In any case of letters and as it stands in an address; also in the event of a retry."""
    body = json.dumps({"status": "ERROR", "error": f"bad key {form}!", "request_id": form}).encode()
    made = kit(*[Reply(status, body)] * 8, retry_attempts=2)
    with pytest.raises(BacktestServerError) as caught:
        made.get()

    shown = f"{caught.value} {caught.value.request_id} {made.events}"
    assert form not in shown
    assert "bad key **********!" in shown


# --- stopping ---


def test_a_wait_that_is_cancelled_ends_the_try(kit: MakeKit) -> None:
    """Nothing more is sent."""
    made = kit(Reply(500), pause=lambda seconds: True)
    with pytest.raises(Cancelled):
        made.get()

    assert len(made.vendor.sent) == 1


def test_a_cancelled_run_reads_no_further(kit: MakeKit) -> None:
    """Even if the answer has begun."""
    made = kit()
    made.cancelled.append(True)

    with pytest.raises(Cancelled):
        made.get()


def test_a_cancelled_run_reads_no_cached_response(kit: MakeKit) -> None:
    """Threads that a cancelled run left behind end without another request."""
    made = kit()
    made.get(store=True)
    made.cancelled.append(True)

    with pytest.raises(Cancelled):
        made.get()
    assert made.count("cache_hits") == 0


# --- the cache ---


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
    made = kit(Reply(body=body), retry_attempts=1)
    with pytest.raises(BacktestServerError):
        made.get(store=True)

    assert made.cache.cached_keys() == []
    assert not made.get().from_cache


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
