"""Faults of the vendor and the network: retries, error messages, files left unchanged, and no trace of the API key."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from server.core.json import to_json
from server.data_download.report import DownloadReport
from server.lean.series import Resolution
from tests.support import faults
from tests.support.faults import Fault
from tests.support.harness import FakeTime, Rig, lean_files, leftovers, sessions
from tests.support.market import Market
from tests.support.polygon_server import KEY, PolygonServer
from tests.support.reports import counted, only_failure

Serve = Callable[..., PolygonServer]

DAYS = sessions(date(2024, 3, 4), 3)
MARKET = Market.synthetic(["SPY"], DAYS, bars_per_day=20)
OTHER_KEY = "zQ+9/another key"


def rig_for(server: PolygonServer, root: Path, clockwork: FakeTime, **config: Any) -> Rig:
    """A rig with that time, and few tries."""
    return Rig(root, server.url, pause=clockwork.pause, **{"retry_attempts": 3, **config})


PASSING = {
    "429 with Retry-After": faults.too_many_requests(7),
    "429 without": faults.too_many_requests(),
    "429 with a date": faults.too_many_requests("Wed, 21 Oct 2026 07:28:00 GMT"),
    "429 with nonsense": faults.too_many_requests("nan"),
    "429 with no body": faults.too_many_requests(empty=True),
    "500": faults.server_error(),
    "502 as HTML": faults.bad_gateway(),
    "504 as HTML": faults.gateway_timeout(),
    "200 as HTML": faults.maintenance_page(),
    "a reset": faults.connection_reset(),
    "a cut body": faults.cut_body(0.5),
    "a body cut at once": faults.cut_body(0.0),
    "a cut chunk": faults.cut_body(0.5, chunked=True),
    "half a JSON": faults.bad_json(),
    "no body": Fault(200, body=b""),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
def test_a_passing_fault_is_gone_on_the_next_try(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, fault: Fault
) -> None:
    """One retry, announced with its reason and wait; both requests are counted; the files are LEAN's."""
    server = polygon_server(MARKET, faults=[fault])
    rig = rig_for(server, tmp_path, clockwork)

    report = rig.download("SPY", DAYS)

    assert counted(report) == (0, 3, 0, 0)
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, Resolution.MINUTE)
    assert (len(server.requests), report.api_calls, report.retries) == (2, 2, 1)
    (retry,) = [event for event in rig.events if event.kind == "retry"]
    assert retry.wait_seconds > 0
    assert "Polygon" in retry.message
    assert report.notices == ()
    assert leftovers(rig.data) == []


LASTING = [
    (faults.too_many_requests(1), "rate_limit", ["too many requests", faults.TOO_MANY, "429"]),
    (faults.server_error(), "provider_unavailable", ["internal server error", "500"]),
    (faults.bad_gateway(), "provider_unavailable", ["502 Bad Gateway", "502"]),
    (faults.connection_reset(), "provider_unavailable", ["connection broke"]),
    (faults.cut_body(0.5), "provider_unavailable", ["broke off"]),
    (faults.maintenance_page(), "bad_response", ["it is not JSON", "Welcome to nginx"]),
    (faults.bad_json(), "bad_response", ["it is not JSON"]),
    (Fault(200, body=b""), "bad_response", ["it is empty"]),
]


@pytest.mark.parametrize(("fault", "code", "words"), LASTING, ids=lambda value: value if isinstance(value, str) else "")
def test_a_lasting_fault_is_given_up_after_all_tries(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, fault: Fault, code: str, words: list[str]
) -> None:
    """The reason says what the vendor said and how often it was tried; nothing is written or remembered."""
    server = polygon_server(MARKET, on_request=lambda request, n: fault)
    rig = rig_for(server, tmp_path, clockwork)

    report = rig.download("SPY", DAYS)

    failure = only_failure(report, "SPY", DAYS)
    assert counted(report) == (0, 0, 0, 3)
    assert failure.code == code
    assert failure.allows_fallback
    for word in [*words, "given up after 3 tries"]:
        assert word in failure.error
    assert "\n" not in failure.error
    assert (len(server.requests), report.api_calls, report.retries) == (3, 3, 2)
    assert not (rig.data / "equity").exists()

    server.on_request = None
    assert counted(rig.download("SPY", DAYS)) == (0, 3, 0, 0)


def put(values: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """Change an answer's head."""
    return {**answer, **values}


FINAL = [
    (faults.unknown_key(), "authentication", ["does not accept your API key", faults.UNKNOWN_KEY, "401"]),
    (faults.no_key(), "authentication", ["does not accept your API key", faults.NO_KEY, "401"]),
    (faults.plan_timeframe(), "plan_limit", ["plan does not include SPY minute 2024-03-04", faults.PLAN_TIMEFRAME]),
    (faults.not_entitled(), "plan_limit", [faults.NOT_ENTITLED, "403"]),
    (faults.ticker_not_found(), "symbol_not_found", ["check the symbol", "Ticker not found.", "404"]),
    (faults.bad_request(), "bad_response", ["did not understand", "could not parse", "400"]),
    (faults.not_aggregates(), "bad_response", ["it is not an answer about bars"]),
    (faults.json_list(), "bad_response", ["it is not an answer about bars"]),
    (faults.status_error(), "bad_response", ["its status is ERROR: something went wrong"]),
    (faults.redirect("https://elsewhere.example/v2/aggs"), "bad_response", ["elsewhere.example", "polygon-api-url"]),
    (faults.redirect("/login"), "bad_response", ["another page"]),
    (faults.redirect("http://[bad"), "bad_response", ["another page"]),
    (faults.foreign_next_url(), "bad_response", ["another host (other.invalid)", "your key is not sent"]),
    (faults.foreign_next_url("http://[bad"), "bad_response", ["its next page"]),
    (faults.adjusted(), "bad_response", ["adjusted for splits"]),
    (faults.edited(partial(put, {"adjusted": None})), "bad_response", ["no word on whether prices are adjusted"]),
    (faults.unsorted_bars(), "bad_response", ["out of order"]),
    (faults.bars_outside_window(), "bad_response", ["bars outside the days"]),
    (faults.odd_field("t", 10**18), "bad_response", ["outside the days"]),
    (faults.odd_field("t", 10**30), "bad_response", ["outside the days"]),
    (faults.odd_field("t", 10**400), "bad_response", ["outside the days"]),
    (faults.edited(partial(put, {"ticker": "spy"})), "bad_response", ["it is about spy"]),
    (faults.edited(partial(put, {"ticker": ""})), "bad_response", ["it is about no ticker"]),
    (faults.edited(partial(put, {"ticker": 5})), "bad_response", ["not an answer about bars"]),
    (faults.edited(partial(put, {"resultsCount": 61})), "bad_response", ["resultsCount is 61, but it has 60 bars"]),
    (faults.edited(partial(put, {"count": 0})), "bad_response", ["count is 0, but it has 60 bars"]),
    (faults.edited(partial(put, {"results": []})), "bad_response", ["resultsCount is 60, but it has 0 bars"]),
    (faults.edited(partial(put, {"results": {"c": 1}})), "bad_response", ["not an answer about bars"]),
]


@pytest.mark.parametrize(("fault", "code", "words"), FINAL, ids=lambda value: value if isinstance(value, str) else "")
def test_what_will_not_pass_is_reported_at_once(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, fault: Fault, code: str, words: list[str]
) -> None:
    """One line with the vendor's words; nothing is written or remembered, cached answers included. A refusal is one
    request; an answer that is rejected is requested once more, whatever the number of tries."""
    server = polygon_server(MARKET, on_request=lambda request, n: fault)
    rig = rig_for(server, tmp_path, clockwork, retry_attempts=1)

    report = rig.download("SPY", DAYS)

    failure = only_failure(report, "SPY", DAYS)
    assert counted(report) == (0, 0, 0, 3)
    assert failure.code == code
    assert failure.allows_fallback == (code == "bad_response")
    for word in words:
        assert word in failure.error
    assert "\n" not in failure.error
    sent = 1 if server.requests[0].status != 200 else 2
    assert (len(server.requests), report.api_calls, report.retries) == (sent, sent, sent - 1)
    assert clockwork.waits == []
    assert not (rig.data / "equity").exists()

    server.on_request = None
    assert counted(rig.download("SPY", DAYS)) == (0, 3, 0, 0)
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, Resolution.MINUTE)


def test_a_request_id_is_shown_for_the_vendors_support(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime
) -> None:
    """The reason has the id of the refused request."""
    server = polygon_server(MARKET, faults=[faults.plan_timeframe()])
    report = rig_for(server, tmp_path, clockwork).download("SPY", DAYS)

    import hashlib

    (request,) = server.requests
    request_id = hashlib.md5(f"{request.n} {request.target}".encode(), usedforsecurity=False).hexdigest()
    assert f"request id {request_id}" in only_failure(report, "SPY", DAYS).error


# --- the key ---


def everything(rig: Rig, report: DownloadReport) -> bytes:
    """All bytes that a run left behind: files, databases, report, events."""
    files = b"".join(path.read_bytes() for path in rig.data.rglob("*") if path.is_file())
    messages = json.dumps(to_json(report)) + repr(report) + repr(rig.events) + repr(rig.config)
    return files + messages.encode()


@pytest.mark.parametrize("fault", [None, *(fault for fault, _, _ in FINAL), *PASSING.values()])
def test_the_key_is_left_nowhere(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, fault: Fault | None
) -> None:
    """Not in any file, database, report, event or URL, whatever goes wrong."""
    server = polygon_server(MARKET, faults=[fault])
    rig = rig_for(server, tmp_path, clockwork)
    report = rig.download("SPY", DAYS)
    rig.download("SPY", DAYS)

    assert KEY.encode() not in everything(rig, report)
    assert server.keys_in_urls == []
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


ECHOES = {
    "401": Fault(401, error={"status": "ERROR", "error": f"Unknown API Key {KEY}"}),
    "403": Fault(403, error={"status": "NOT_AUTHORIZED", "message": f"key {KEY.upper()} has no plan"}),
    "200": faults.status_error(f"what is this {KEY}?"),
    "HTML": Fault(200, body=f"<title>hello {KEY}</title>".encode(), body_type="text/html"),
    "500": Fault(500, body=f"stack trace: {KEY}\nat line 2".encode(), body_type="text/plain"),
    "next_url": faults.foreign_next_url(f"https://{KEY}@example.com"),
    "redirect": faults.redirect(f"https://{KEY}@{KEY}.example/?apiKey={KEY}"),
    "request id": Fault(403, body=json.dumps({"message": "no", "request_id": KEY}).encode()),
}


@pytest.mark.parametrize("fault", ECHOES.values(), ids=ECHOES.keys())
def test_a_vendor_that_repeats_the_key_is_masked(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, fault: Fault
) -> None:
    """The vendor's words are reported without the key, in any case of letters, in one line."""
    server = polygon_server(MARKET, on_request=lambda request, n: fault)
    rig = rig_for(server, tmp_path, clockwork)

    report = rig.download("SPY", DAYS)

    assert KEY.encode() not in everything(rig, report).lower()
    assert "\n" not in only_failure(report, "SPY", DAYS).error


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_never_gets_the_key(polygon_server: Serve, tmp_path: Path, status: int) -> None:
    """Another host is not even connected to."""
    other = polygon_server(MARKET)
    server = polygon_server(MARKET, faults=[faults.redirect(f"{other.url}/v2/aggs", status)])

    report = Rig(tmp_path, server.url).download("SPY", DAYS)

    assert only_failure(report, "SPY", DAYS).code == "bad_response"
    assert other.requests == []


def test_a_next_page_elsewhere_never_gets_the_key(polygon_server: Serve, tmp_path: Path) -> None:
    """The same machine on another port is another host."""
    other = polygon_server(MARKET)
    server = polygon_server(MARKET, faults=[faults.foreign_next_url(other.url)] * 2)

    report = Rig(tmp_path, server.url).download("SPY", DAYS)

    assert only_failure(report, "SPY", DAYS).code == "bad_response"
    assert other.requests == []
    assert rig_is_empty(tmp_path)


def rig_is_empty(root: Path) -> bool:
    """Whether nothing was written below equity."""
    return not (root / "data" / "equity").exists()
