"""Responses about corporate actions that fail: retried or reported, never with the key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from server.core.errors import BacktestServerError
from server.data_download.errors import (
    AuthenticationError,
    BadResponseError,
    PlanLimitError,
    ProviderUnavailable,
    RateLimitError,
)
from tests.support import faults
from tests.support.faults import Fault
from tests.support.harness import FakeTime
from tests.support.market import Market
from tests.support.polygon_server import KEY, Request
from tests.support.reference_data import OLD_SPLITS, SPLITS, ReferenceData, elsewhere
from tests.support.reference_source import Serve, events_of, results, rig_for


def only_on(path: str, fault: Fault) -> Callable[[Request, int], Fault | None]:
    """This fault wherever this path is asked for."""
    return lambda request, n: fault if request.path == path else None


PASSING = {
    "429 with Retry-After": faults.too_many_requests(7),
    "429 without": faults.too_many_requests(),
    "500": faults.server_error(),
    "504 as HTML": faults.gateway_timeout(),
    "200 as HTML": faults.maintenance_page(),
    "a reset": faults.connection_reset(),
    "a cut body": faults.cut_body(0.5),
    "half a JSON": faults.bad_json(),
    "no body": Fault(200, body=b""),
    "nesting without end": Fault(200, body=b'{"status":"OK","more":' + b"[" * 100_000),
}


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
def test_a_passing_fault_is_gone_on_the_next_try(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, data: ReferenceData, fault: Fault, page: int
) -> None:
    """On the first page and on the second: one retry, announced with its reason, and the list is whole."""
    server = polygon_server(Market(), reference=data, faults=[None] * page + [fault])
    rig = rig_for(server, tmp_path, clockwork)

    events = events_of(rig)

    assert [split.ex_date.year for split in events.splits] == [2005, 2014, 2020]
    assert (len(server.requests), rig.count("api_calls"), rig.count("retries")) == (4, 4, 1)
    assert sum(clockwork.waits) > 0
    assert "Polygon" in rig.messages("retry")[0]


LASTING: list[tuple[Fault, type[BacktestServerError], str]] = [
    (faults.too_many_requests(1), RateLimitError, "too many requests to the splits of AAPL"),
    (faults.server_error(), ProviderUnavailable, "internal server error"),
    (faults.connection_reset(), ProviderUnavailable, "connection broke"),
    (faults.maintenance_page(), BadResponseError, "it is not JSON but 'Welcome to nginx!'"),
    (faults.bad_json(), BadResponseError, "answer about the splits of AAPL cannot be used: it is not JSON"),
]


@pytest.mark.parametrize(("fault", "kind", "words"), LASTING)
def test_a_lasting_fault_is_given_up_after_all_tries(
    polygon_server: Serve,
    tmp_path: Path,
    clockwork: FakeTime,
    data: ReferenceData,
    fault: Fault,
    kind: type[BacktestServerError],
    words: str,
) -> None:
    """The error says what the vendor said and how often it was tried; nothing is kept of it."""
    server = polygon_server(Market(), reference=data, on_request=lambda request, n: fault)
    rig = rig_for(server, tmp_path, clockwork)
    with pytest.raises(kind) as caught:
        events_of(rig)

    assert words in str(caught.value)
    assert "given up after 3 tries" in str(caught.value)
    assert (caught.value.symbol, caught.value.attempts, len(server.requests)) == ("AAPL", 3, 3)

    server.on_request = None
    assert len(events_of(rig).splits) == 3


FINAL: list[tuple[Fault, type[BacktestServerError], str]] = [
    (faults.unknown_key(), AuthenticationError, "does not accept your API key"),
    (faults.bad_request(), BadResponseError, "did not understand the request for the splits of AAPL"),
    (faults.status_error("went wrong"), BadResponseError, "its status is ERROR: went wrong"),
    (faults.json_list(), BadResponseError, "it is not an answer about splits"),
    (faults.not_aggregates(), BadResponseError, "it is not an answer about splits"),
    (results("none"), BadResponseError, "it is not an answer about splits"),
    (results([{"execution_date": "2020-08-31"}]), BadResponseError, "it is not an answer about splits"),
    (results([{"ticker": "AAPL", "split_from": "x"}]), BadResponseError, "it is not an answer about splits"),
    (results([{"ticker": "MSFT"}]), BadResponseError, "it is about MSFT"),
    (elsewhere("https://other.example"), BadResponseError, "another host (other.example)"),
    (faults.redirect("https://other.example/"), BadResponseError, "where your key is not sent"),
]


@pytest.mark.parametrize(("fault", "kind", "words"), FINAL)
def test_what_will_not_pass_is_reported_at_once(
    polygon_server: Serve,
    tmp_path: Path,
    clockwork: FakeTime,
    data: ReferenceData,
    fault: Fault,
    kind: type[BacktestServerError],
    words: str,
) -> None:
    """Without the older address, and without the key; an answer that is rejected is requested once more."""
    server = polygon_server(Market(), reference=data, on_request=only_on(SPLITS, fault))
    rig = rig_for(server, tmp_path, clockwork)
    with pytest.raises(kind) as caught:
        events_of(rig)

    assert words in str(caught.value)
    assert KEY not in str(caught.value)
    once = server.requests[0].status != 200 or "another host" in words
    assert (len(server.requests), clockwork.waits) == (1 if once else 2, [])
    server.on_request = None
    assert len(events_of(rig).splits) == 3
    assert rig.count("cache_hits") == 0


@pytest.mark.parametrize("refusal", [faults.not_entitled(), faults.plan_timeframe()])
def test_a_plan_without_reference_data_is_reported(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, data: ReferenceData, refusal: Fault
) -> None:
    """Of lists both addresses are asked; then the vendor's words, and that the plan does not include it."""
    server = polygon_server(Market(), reference=data, on_request=lambda request, n: refusal)
    rig = rig_for(server, tmp_path, clockwork)
    for ask, about in (
        (lambda source: source.events("AAPL"), "the splits of AAPL"),
        (lambda source: source.renames("AAPL"), "the ticker changes of AAPL"),
        (lambda source: source.listing("AAPL"), "the ticker details of AAPL"),
    ):
        with pytest.raises(PlanLimitError) as caught:
            rig.ask(ask)
        assert f"your Polygon plan does not include {about}; change the plan; it says:" in str(caught.value)
        assert caught.value.status == 403

    assert [request.path for request in server.requests][:2] == [SPLITS, OLD_SPLITS]
    assert len(server.requests) == 4
    assert rig.messages("notice") == []


def test_details_without_results_are_no_answer(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, data: ReferenceData
) -> None:
    """Unlike 404 they do not say that there is no such ticker."""
    server = polygon_server(Market(), reference=data, on_request=lambda request, n: results(None))
    with pytest.raises(BadResponseError, match="ticker details of AAPL cannot be used: it has no results"):
        rig_for(server, tmp_path, clockwork).ask(lambda source: source.listing("AAPL"))


ECHOES = {
    "401": Fault(401, error={"status": "ERROR", "error": f"Unknown API Key {KEY}"}),
    "403": Fault(403, error={"status": "NOT_AUTHORIZED", "message": f"key {KEY.upper()} has no plan"}),
    "200": faults.status_error(f"what is this {KEY}?"),
    "ticker": results([{"ticker": KEY}]),
    "HTML": Fault(200, body=f"<title>hello {KEY}</title>".encode(), body_type="text/html"),
    "next_url": elsewhere(f"https://{KEY}@{KEY}.example"),
    "redirect": faults.redirect(f"https://{KEY}.example/?apiKey={KEY}"),
    "request id": replace(faults.bad_request(KEY), body=None),
}


@pytest.mark.parametrize("fault", ECHOES.values(), ids=ECHOES.keys())
def test_a_vendor_that_repeats_the_key_is_masked(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, data: ReferenceData, fault: Fault
) -> None:
    """In the error, in the messages, and in every file, in any case of letters."""
    server = polygon_server(Market(), reference=data, on_request=lambda request, n: fault)
    rig = rig_for(server, tmp_path, clockwork)
    with pytest.raises(BacktestServerError) as caught:
        events_of(rig)

    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in files.lower()
    assert KEY not in f"{caught.value} {caught.value.request_id} {rig.events}".lower()
    assert "\n" not in str(caught.value)
