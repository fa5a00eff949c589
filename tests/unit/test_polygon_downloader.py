"""The Polygon client: what it sends, when it tries again and for how long, and what it says in the end."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from attrs import define, field, frozen
from requests.adapters import HTTPAdapter
from requests_cache.backends.base import BaseCache

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
from server.plugins.polygon_provider.budget import RequestBudget, in_flight
from server.plugins.polygon_provider.client import PolygonClient
from server.plugins.polygon_provider.config import PolygonConfig
from server.plugins.polygon_provider.responses import read_page
from server.plugins.polygon_provider.session import BearerAuth, PolygonSession, open_cache
from server.plugins.polygon_provider.windows import Window
from tests.support.faults import GATEWAY_PAGE, TOO_MANY
from tests.support.harness import NOW, FakeTime, Rig, gap

KEY = "kEy/with+signs"
DAYS = (date(2024, 3, 7), date(2024, 3, 8))
WINDOW = Window(series=Series("SPY", Resolution.MINUTE), wanted=DAYS)
GOOD = b'{"status":"OK","adjusted":false,"request_id":"r1","resultsCount":0}'


@frozen
class Reply:
    """An answer of the vendor's."""

    status: int = 200
    body: bytes = GOOD
    headers: dict[str, str] = field(factory=dict)


class Vendor(HTTPAdapter):
    """Takes the place of the network: gives these replies in turn, and good ones afterwards."""

    def __init__(self, *replies: Reply | Exception) -> None:
        super().__init__()
        self.replies = list(replies)
        self.sent: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Note the request and answer it."""
        self.sent.append(request.copy())
        reply = self.replies.pop(0) if self.replies else Reply()
        if isinstance(reply, Exception):
            raise reply
        raw = urllib3.HTTPResponse(
            io.BytesIO(reply.body), headers=reply.headers, status=reply.status, preload_content=False
        )
        return self.build_response(request, raw)


@define
class Kit:
    """A client with a vendor, a clock, and what it emitted."""

    client: PolygonClient
    session: PolygonSession
    vendor: Vendor
    time: FakeTime
    events: list[Event]
    cancelled: list[bool]

    def get(self, window: Window = WINDOW) -> Any:
        """Ask for a window's first page."""
        return self.client.get(window, window.target, partial(read_page, window=window))

    def count(self, name: str) -> int:
        """The sum of a number that was emitted."""
        return sum(getattr(event, name) for event in self.events)


MakeKit = Callable[..., Kit]


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeKit]:
    """``kit(Reply(500), …, retry_attempts=3)``: a client whose vendor answers so."""
    open_sessions: list[Any] = []

    def make(*replies: Reply | Exception, pause: Callable[[float], bool] | None = None, **settings: Any) -> Kit:
        clock = FakeTime()
        monkeypatch.setattr(budget_module, "time", clock)
        config = PolygonConfig(api_key=Secret(KEY), **settings)
        events: list[Event] = []
        pause = pause or clock.pause
        budget = RequestBudget(
            tmp_path / "requests.sqlite", config.requests_per_minute, pause=pause, waiting=lambda seconds: None
        )
        session = PolygonSession(BaseCache(), budget, base_url=config.api_url, connections=1)
        vendor = Vendor(*replies)
        session.mount("https://", vendor)
        cancelled: list[bool] = []
        client = PolygonClient(
            config,
            session,
            budget,
            events=EventStream(lambda: NOW, [events.append]),
            pause=pause,
            cancelled=lambda: bool(cancelled),
            wall_clock=clock.time,
        )
        open_sessions.extend((session, budget))
        return Kit(client, session, vendor, clock, events, cancelled)

    yield make
    for opened in open_sessions:
        opened.close()


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


@pytest.mark.parametrize(
    "url", ["https://other.example/x", "http://api.polygon.io.evil.example/", "https://api.polygon.io:444/"]
)
def test_the_key_goes_to_the_configured_host_only(url: str) -> None:
    """Any other request is left without it."""
    request = requests.Request("GET", url, auth=BearerAuth(Secret(KEY), "https://api.polygon.io")).prepare()

    assert "Authorization" not in request.headers


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


# --- settings ---


@pytest.mark.parametrize(
    "url",
    ["http://api.polygon.io", "ftp://x", "api.polygon.io", "https://", "https://a/b", "https://a?b", "https://k@a", ""],
)
def test_addresses_that_would_give_the_key_away_are_refused(url: str) -> None:
    """Only https, except on this machine, and nothing behind the host."""
    with pytest.raises(ValueError, match="must be"):
        PolygonConfig(api_url=url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:5", "https://proxy.example:8443"]
)
def test_addresses_that_will_do(url: str) -> None:
    """This machine without encryption, any other host with it."""
    assert PolygonConfig(api_url=url).api_url == url


@pytest.mark.parametrize("key", ["two words", "line\nend", "tab\t", "schlüssel", "ключ", "nul\0"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    """Without showing it."""
    with pytest.raises(ValueError, match="copy it again") as caught:
        PolygonConfig(api_key=Secret(key))
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_concurrent_requests": 0},
        {"max_concurrent_requests": 6},
        {"requests_per_minute": 0},
        {"retry_attempts": 0},
        {"retry_seconds": -1.0},
    ],
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    """At most five requests at once; nothing negative."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PolygonConfig(**wrong)


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


@pytest.mark.parametrize(("told", "wait"), [("7", 7), ("0", 0.1), ("2.5", 2.5)])
def test_retry_after_is_taken_at_its_word(kit: MakeKit, told: str, wait: float) -> None:
    """But never less than a tenth of a second."""
    made = kit(Reply(429, b"", {"Retry-After": told}))
    made.get()

    assert sum(made.time.waits) == pytest.approx(wait, abs=0.1)


@pytest.mark.parametrize("told", ["Wed, 21 Oct 2026 07:28:00 GMT", "nan", "inf", "-5", "1e9", "soon", ""])
def test_a_retry_after_that_says_nothing_is_passed_over(kit: MakeKit, told: str) -> None:
    """The wait is to the next minute then."""
    made = kit(Reply(429, b"", {"Retry-After": told}))
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
    """In any case of letters and as it stands in an address; also in what is told of a retry."""
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


def test_a_place_on_the_wire_is_given_back(kit: MakeKit) -> None:
    """After errors too: a sixth request is not locked out."""
    made = kit(*[Reply(403)] * 7)
    for _ in range(7):
        with pytest.raises(PlanLimitError):
            made.get()
    with ExitStack() as places:
        for _ in range(5):
            places.enter_context(in_flight(lambda: False))
        with pytest.raises(Cancelled):
            places.enter_context(in_flight(lambda: True))


# --- the budget ---


def budget_of(path: Path, clock: FakeTime, per_minute: int | None) -> RequestBudget:
    """A budget with that clock."""
    return RequestBudget(path, per_minute, pause=clock.pause, waiting=lambda seconds: None)


@pytest.mark.parametrize("per_minute", [1, 5, 60])
def test_a_budget_is_kept_over_any_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, per_minute: int) -> None:
    """In no sixty seconds more than that many; and no request waits longer than it must."""
    clock = FakeTime()
    monkeypatch.setattr(budget_module, "time", clock)
    budget = budget_of(tmp_path / "requests.sqlite", clock, per_minute)
    sent = []
    for _ in range(3 * per_minute + 1):
        budget.try_acquire("polygon")
        sent.append(clock.monotonic())
    budget.close()

    assert all(late - early >= 60 for early, late in zip(sent, sent[per_minute:], strict=False))
    assert sent[-1] < 3 * 61


def test_a_budget_is_shared_by_all_that_use_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second finds it used up."""
    clock = FakeTime()
    monkeypatch.setattr(budget_module, "time", clock)
    one, other = (budget_of(tmp_path / "requests.sqlite", clock, 2) for _ in range(2))
    one.try_acquire("polygon")
    other.try_acquire("polygon")
    assert clock.waits == []

    other.try_acquire("polygon")
    assert 60 <= sum(clock.waits) < 62
    one.close()
    other.close()


def test_without_a_budget_nothing_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no file is made."""
    clock = FakeTime()
    monkeypatch.setattr(budget_module, "time", clock)
    budget = budget_of(tmp_path / "requests.sqlite", clock, None)
    for _ in range(100):
        budget.try_acquire("polygon")
    budget.close()

    assert clock.waits == []
    assert list(tmp_path.iterdir()) == []


def test_a_budget_that_is_closed_gives_nothing(tmp_path: Path) -> None:
    """Threads that a cancelled run left behind end by an error of ours."""
    budget = RequestBudget(tmp_path / "requests.sqlite", 5, pause=lambda seconds: False, waiting=lambda seconds: None)
    budget.close()

    with pytest.raises(Cancelled):
        budget.try_acquire("polygon")


# --- the cache ---


@pytest.mark.parametrize("content", [b"rubbish" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_cache_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    """Without a word."""
    path = tmp_path / "http-cache.sqlite"
    path.write_bytes(content)
    told: list[str] = []
    open_cache(path, told.append).close()

    assert told == []
    assert path.read_bytes() != content


def test_a_place_that_cannot_be_used_is_told_of(tmp_path: Path) -> None:
    """The run goes on without a cache."""
    (tmp_path / "file").write_bytes(b"")
    told: list[str] = []
    cache = open_cache(tmp_path / "file" / "http-cache.sqlite", told.append)
    cache.close()

    (message,) = told
    assert "answers are not kept" in message
    assert str(tmp_path / "file") in message


def test_a_closed_cache_neither_finds_nor_keeps(kit: MakeKit, tmp_path: Path) -> None:
    """Threads that a cancelled run left behind do no harm."""
    response = kit().get().response
    cache = open_cache(tmp_path / "http-cache.sqlite", pytest.fail)
    later = datetime.now(UTC) + timedelta(days=1)
    cache.save_response(response, "key", later)
    cache.close()

    cache.save_response(response, "other", later)
    assert cache.get_response("key") is None


# --- the plan ---


def test_a_plan_names_each_request_and_sends_nothing(tmp_path: Path) -> None:
    """Without a key, and without a file made."""
    rig = Rig(tmp_path, "https://api.polygon.io", key="", requests_per_minute=5)
    plan = rig.open_provider().plan([gap("SPY", DAYS), gap("AAPL", DAYS[:1], Resolution.DAILY)])

    assert list(plan) == [
        "GET https://api.polygon.io/v2/aggs/ticker/SPY/range/1/minute/2024-03-07/2024-03-08"
        "?adjusted=false&sort=asc&limit=50000",
        "GET https://api.polygon.io/v2/aggs/ticker/AAPL/range/1/day/2024-03-07/2024-03-07"
        "?adjusted=false&sort=asc&limit=50000",
    ]
    assert list(tmp_path.iterdir()) == []
    assert not re.search("key", "".join(plan), re.IGNORECASE)
