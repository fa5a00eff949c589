"""What the source of corporate actions makes of a vendor that misbehaves: all of a list or a documented error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, Cancelled
from server.data_download.errors import (
    AuthenticationError,
    BadResponseError,
    PlanLimitError,
    ProviderUnavailable,
    RateLimitError,
)
from server.lean.series import Resolution
from server.plugins.polygon_provider.connection import reference_cache
from tests.support import faults
from tests.support.faults import Fault
from tests.support.harness import FakeTime, Rig, sessions
from tests.support.market import Market
from tests.support.patience import PATIENCE
from tests.support.polygon_server import KEY, PolygonServer, Request
from tests.support.reference_data import DIVIDENDS, OLD_SPLITS, SPLITS, ReferenceData, elsewhere
from tests.support.reference_source import ReferenceRig
from tests.support.tap import Tap

Serve = Callable[..., PolygonServer]


@pytest.fixture
def data() -> ReferenceData:
    """Three splits in answers of two, and a dividend."""
    made = ReferenceData(page_size=2)
    for year in (2005, 2014, 2020):
        made.split("AAPL", date(year, 6, 9), 1, 2)
    made.dividend("AAPL", date(2014, 2, 6), "3.05")
    made.renamed(("FB", date(2012, 5, 18)), ("META", date(2022, 6, 9)))
    made.listed("AAPL")
    return made


def rig_for(server: PolygonServer, root: Path, clockwork: FakeTime, **config: Any) -> ReferenceRig:
    """A rig with that time, and few tries."""
    return ReferenceRig(root, server.url, pause=clockwork.pause, **{"retry_attempts": 3, **config})


def events_of(rig: ReferenceRig) -> Any:
    """Ask for the events of AAPL."""
    return rig.ask(lambda source: source.events("AAPL"))


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


def results(value: Any) -> Fault:
    """The good answer with other results."""
    return faults.edited(lambda answer: {**answer, "results": value})


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
def test_what_will_not_pass_is_told_at_once(
    polygon_server: Serve,
    tmp_path: Path,
    clockwork: FakeTime,
    data: ReferenceData,
    fault: Fault,
    kind: type[BacktestServerError],
    words: str,
) -> None:
    """Without another try, without the older address, and without the key."""
    server = polygon_server(Market(), reference=data, on_request=only_on(SPLITS, fault))
    rig = rig_for(server, tmp_path, clockwork)
    with pytest.raises(kind) as caught:
        events_of(rig)

    assert words in str(caught.value)
    assert KEY not in str(caught.value)
    assert (len(server.requests), clockwork.waits) == (1, [])
    server.on_request = None
    assert len(events_of(rig).splits) == 3
    assert rig.count("cache_hits") == 0


def test_a_next_page_elsewhere_never_gets_the_key(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, data: ReferenceData
) -> None:
    """The same machine on another port is another host, and is not even connected to."""
    other = polygon_server(Market(), reference=data)
    server = polygon_server(Market(), reference=data, on_request=lambda request, n: elsewhere(other.url))
    with pytest.raises(BadResponseError, match="another host"):
        events_of(rig_for(server, tmp_path, clockwork))

    assert other.requests == []


@pytest.mark.parametrize("path", [DIVIDENDS, OLD_SPLITS, "/v3/reference/splits/", f"{SPLITS}/x"])
def test_a_next_page_of_another_list_is_refused(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, data: ReferenceData, path: str
) -> None:
    """Splits go on with splits."""
    server = polygon_server(Market(), reference=data)
    server.on_request = lambda request, n: faults.edited(
        lambda answer: {**answer, "next_url": f"{server.url}{path}?cursor=YXQ9Mg=="}
    )
    with pytest.raises(BadResponseError, match="about something else"):
        events_of(rig_for(server, tmp_path, clockwork))


def test_pages_without_end_are_given_up(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, data: ReferenceData
) -> None:
    """Whether they go round in a circle or have ever another cursor."""
    server = polygon_server(Market(), reference=data)
    count = iter(range(10_000))

    def again(fixed: bool) -> Fault:
        return faults.edited(
            lambda answer: {
                **answer,
                "next_url": f"{server.url}{SPLITS}?cursor=YXQ9MA==" + ("" if fixed else f"&n={next(count)}"),
            }
        )

    for fixed, words, requests in ((True, "round in a circle", 2), (False, "goes on after 100 pages", 100)):
        server.reset()
        server.on_request = lambda request, n, fixed=fixed: again(fixed)
        with pytest.raises(BadResponseError, match=words):
            events_of(rig_for(server, tmp_path, clockwork))
        assert len(server.requests) == requests


def test_a_cached_page_whose_next_one_is_gone_is_requested_again(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, data: ReferenceData
) -> None:
    """The vendor may have dropped the cursor since the morning."""
    server = polygon_server(Market(), reference=data)
    rig = rig_for(server, tmp_path, clockwork)
    events_of(rig)
    (second_page,) = [server.url + request.target for request in server.requests if "cursor" in request.query]
    with closing(reference_cache(rig.state, warn=pytest.fail)) as cache:
        cached = cache.get(second_page)
        assert cached is not None
        cache.evict(cached)
    server.reset()
    server.on_request = lambda request, n: faults.bad_request("cursor expired") if n == 1 else None

    assert len(events_of(rig).splits) == 3
    assert ["cursor" in request.query for request in server.requests] == [True, False, True]


@pytest.mark.parametrize("refusal", [faults.not_entitled(), faults.plan_timeframe()])
def test_a_plan_without_reference_data_is_told(
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


# --- the budget ---


def test_the_budget_is_that_of_the_downloads(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, data: ReferenceData
) -> None:
    """Five requests a minute by all processes together: the sixth waits, with a notice."""
    days = sessions(date(2024, 3, 4), 2)
    server = polygon_server(Market.synthetic(["SPY"], days, bars_per_day=5), reference=data)
    bars = Rig(tmp_path, server.url, pause=clockwork.pause, requests_per_minute=5)
    rig = rig_for(server, tmp_path, clockwork, requests_per_minute=5)
    assert rig.state == bars.state

    bars.download("SPY", days, Resolution.MINUTE)
    events_of(rig)  # two answers of splits, one of dividends
    rig.ask(lambda source: source.renames("META"))
    assert (len(server.requests), clockwork.waits) == (5, [])

    rig.ask(lambda source: source.listing("AAPL"))
    assert len(server.requests) == 6
    assert 59 < sum(clockwork.waits) < 62
    assert rig.messages("wait")[0] == "the request budget is used up"


def test_answers_from_the_cache_cost_no_budget(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, data: ReferenceData
) -> None:
    """However often they are asked for."""
    server = polygon_server(Market(), reference=data)
    rig = rig_for(server, tmp_path, clockwork, requests_per_minute=5)
    for _ in range(4):
        events_of(rig)

    assert (len(server.requests), clockwork.waits) == (3, [])


def test_a_second_push_back_brings_the_free_plans_budget(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, data: ReferenceData
) -> None:
    """As for bars: five a minute from then on, said once."""
    server = polygon_server(Market(), reference=data, faults=[faults.too_many_requests(1)] * 2)
    rig = rig_for(server, tmp_path, clockwork)
    events_of(rig)

    (notice,) = rig.messages("notice")
    assert "continuing with 5 a minute" in notice


# --- stopping ---


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_a_cancelled_run_waits_for_no_vendor(
    polygon_server: Serve, tmp_path: Path, data: ReferenceData, answered: int
) -> None:
    """Wherever it stands: it ends at once, though the vendor says nothing; what had come whole is kept."""
    tap = Tap()
    tap.close()
    server = polygon_server(Market(), reference=data, on_request=tap)
    rig = ReferenceRig(tmp_path, server.url, pause=None)
    cancel = CancelToken()
    source = rig.open(cancel)
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            source.events("AAPL")
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    if answered:
        tap.let(answered)
    until(lambda: len(server.requests) == answered + 1)
    cancel.cancel()
    thread.join(PATIENCE)

    assert not thread.is_alive()
    assert [type(error) for error in caught] == [Cancelled]
    source.close()
    tap.open()
    again = rig.ask(lambda opened: opened.events("AAPL"))
    assert len(again.splits) == 3
    assert rig.count("cache_hits") == (2 if answered == 2 else 0)


def test_a_wait_for_the_next_minute_is_cut_short(polygon_server: Serve, tmp_path: Path, data: ReferenceData) -> None:
    """After a 429, as in a download."""
    server = polygon_server(Market(), reference=data, on_request=lambda request, n: faults.too_many_requests(60))
    rig = ReferenceRig(tmp_path, server.url, pause=None)
    cancel = CancelToken()
    source = rig.open(cancel)
    threading.Thread(target=lambda: (until(lambda: rig.count("retries") == 1), cancel.cancel())).start()
    begun = time.monotonic()
    with pytest.raises(Cancelled):
        source.events("AAPL")

    assert time.monotonic() - begun < PATIENCE
    assert len(server.requests) == 1
    with pytest.raises(Cancelled):
        source.renames("META")  # and nothing more is sent
    source.close()
    assert len(server.requests) == 1


def test_closing_ends_what_is_under_way(polygon_server: Serve, tmp_path: Path, data: ReferenceData) -> None:
    """Without cancelling whatever else the host does."""
    server = polygon_server(Market(), reference=data, latency=20.0)
    rig = ReferenceRig(tmp_path, server.url, pause=None)
    cancel = CancelToken()
    source = rig.open(cancel)
    threading.Thread(target=lambda: (until(lambda: bool(server.requests)), source.close())).start()
    with pytest.raises(Cancelled):
        source.events("AAPL")

    assert not cancel.cancelled


# --- the key ---

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


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that will be."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
