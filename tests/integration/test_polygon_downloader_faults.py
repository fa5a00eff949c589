"""What a download makes of a vendor that misbehaves: what is retried, what is told, and nothing wrong on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from server.core.json import to_json
from server.data_download.report import DownloadReport
from server.lean.series import Resolution
from server.plugins.polygon_provider import budget, client
from tests.support import faults
from tests.support.faults import Fault
from tests.support.harness import FakeTime, Rig, lean_csv, lean_decimal, lean_files, leftovers, sessions
from tests.support.market import BarColumns, Market
from tests.support.polygon_server import KEY, PolygonServer, Request

Serve = Callable[..., PolygonServer]

DAYS = sessions(date(2024, 3, 4), 3)
MARKET = Market.synthetic(["SPY"], DAYS, bars_per_day=20)
OTHER_KEY = "zQ+9/another key"


@pytest.fixture
def clockwork(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    """Time that only the provider's own waiting moves, so that an hour's wait takes no time."""
    made = FakeTime()
    monkeypatch.setattr(budget, "time", made)
    return made


def rig_for(server: PolygonServer, root: Path, clockwork: FakeTime, **config: Any) -> Rig:
    """A rig with that time, and few tries."""
    return Rig(root, server.url, pause=clockwork.pause, **{"retry_attempts": 3, **config})


def counted(report: DownloadReport) -> tuple[int, int, int, int]:
    """Present, downloaded, empty, failed."""
    return report.days_present, report.days_downloaded, report.days_empty, report.days_failed


def only_failure(report: DownloadReport) -> Any:
    """The one failure of a report, which stands for all days."""
    (failure,) = report.failures
    assert failure.days == tuple(DAYS)
    assert failure.symbol == "SPY"
    return failure


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

    failure = only_failure(report)
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
    (faults.missing_field("c"), "bad_response", ["not an answer about bars"]),
    (faults.missing_field("t"), "bad_response", ["not an answer about bars"]),
    (faults.null_field("v"), "bad_response", ["not an answer about bars"]),
    (faults.odd_field("o", "12.5"), "bad_response", ["not an answer about bars"]),
    (faults.odd_field("l", -1.0), "bad_response", ["has low -1.0"]),
    (faults.odd_field("t", 10**18), "bad_response", ["outside the days"]),
    (faults.odd_field("t", 10**30), "bad_response", ["outside the days"]),
    (faults.odd_field("v", 10**400), "bad_response", []),
    (faults.odd_field("t", 1709562660001), "bad_response", ["whole minute"]),
]


@pytest.mark.parametrize(("fault", "code", "words"), FINAL, ids=lambda value: value if isinstance(value, str) else "")
def test_what_will_not_pass_is_told_at_once(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, fault: Fault, code: str, words: list[str]
) -> None:
    """One request, no retry, one line with the vendor's words; nothing is written or remembered, cached answers
    included."""
    server = polygon_server(MARKET, on_request=lambda request, n: fault)
    rig = rig_for(server, tmp_path, clockwork)

    report = rig.download("SPY", DAYS)

    failure = only_failure(report)
    assert counted(report) == (0, 0, 0, 3)
    assert failure.code == code
    assert failure.allows_fallback == (code == "bad_response")
    for word in words:
        assert word in failure.error
    assert "\n" not in failure.error
    assert (len(server.requests), report.api_calls, report.retries) == (1, 1, 0)
    assert not (rig.data / "equity").exists()

    server.on_request = None
    assert counted(rig.download("SPY", DAYS)) == (0, 3, 0, 0)
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, Resolution.MINUTE)


def test_a_request_id_is_told_for_the_vendors_support(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime
) -> None:
    """The id of the refused answer stands in the reason."""
    server = polygon_server(MARKET, faults=[faults.plan_timeframe()])
    report = rig_for(server, tmp_path, clockwork).download("SPY", DAYS)

    import hashlib

    (request,) = server.requests
    request_id = hashlib.md5(f"{request.n} {request.target}".encode(), usedforsecurity=False).hexdigest()
    assert f"request id {request_id}" in only_failure(report).error


# --- waiting ---


def test_retry_after_is_honoured(polygon_server: Serve, tmp_path: Path, clockwork: FakeTime) -> None:
    """The wait is the vendor's."""
    server = polygon_server(MARKET, faults=[faults.too_many_requests(17)])

    assert rig_for(server, tmp_path, clockwork).download("SPY", DAYS).complete
    assert 17 <= sum(clockwork.waits) < 18


def test_a_wait_beyond_all_patience_ends_the_run_at_once(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime
) -> None:
    """Retry-After of a day, with five symbols under way: nobody waits for it."""
    symbols = ["A", "B", "C", "D", "E", "F", "G"]
    server = polygon_server(MARKET, on_request=lambda request, n: faults.too_many_requests(86_400))

    report = rig_for(server, tmp_path, clockwork).download(symbols, DAYS)

    assert counted(report) == (0, 0, 0, 21)
    assert {failure.code for failure in report.failures} == {"rate_limit"}
    assert sum(clockwork.waits) < 60


def test_who_is_pushed_back_twice_slows_down(polygon_server: Serve, tmp_path: Path, clockwork: FakeTime) -> None:
    """Without a budget set, two refusals make the run go on with the free plan's five a minute, and say so."""
    symbols = [f"S{n}" for n in range(12)]
    again = iter([faults.too_many_requests(1)] * 2)
    server = polygon_server(MARKET, on_request=lambda request, n: next(again, None))
    rig = rig_for(server, tmp_path, clockwork, max_concurrent_requests=1, retry_attempts=8)

    report = rig.download(symbols, DAYS)

    assert counted(report) == (0, 0, 36, 0)
    assert any("5 a minute" in notice for notice in report.notices)
    assert any("budget of requests" in message for message in rig.messages("wait"))
    assert sum(clockwork.waits) > 60


def test_a_slow_answer_is_waited_for(polygon_server: Serve, tmp_path: Path, clockwork: FakeTime) -> None:
    """Late and in small pieces, but whole."""
    server = polygon_server(MARKET, faults=[faults.slow(0.2)])
    rig = rig_for(server, tmp_path, clockwork)

    assert rig.download("SPY", DAYS).complete
    server.faults.append(faults.trickling(0.2))
    assert rig.download("SPY", sessions(date(2024, 2, 1), 3)).complete


def test_an_answer_that_never_ends_is_given_up(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that comes a few bytes at a time is not waited for beyond the limit, and counts as a request."""
    monkeypatch.setattr(client, "_BODY_SECONDS", 0.3)
    server = polygon_server(MARKET, faults=[faults.trickling(20)])
    rig = rig_for(server, tmp_path, clockwork)

    report = rig.download("SPY", DAYS)

    assert report.complete
    assert (report.api_calls, report.retries) == (2, 1)
    assert "took longer than" in rig.messages("retry")[0]
    assert report.duration_s < 3


def test_a_server_that_says_nothing_is_given_up(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No first byte within the limit: tried again, and told as what it was."""
    monkeypatch.setattr(client, "_READ_SECONDS", 0.2)
    server = polygon_server(MARKET, faults=[faults.slow(5)])
    rig = rig_for(server, tmp_path, clockwork)

    assert rig.download("SPY", DAYS).complete
    assert "no answer within" in rig.messages("retry")[0]


def test_a_dead_host(tmp_path: Path, clockwork: FakeTime) -> None:
    """Nobody listens: told with the address, no request counted, nothing written."""
    rig = Rig(tmp_path, "http://127.0.0.1:9", pause=clockwork.pause)

    report = rig.download("SPY", DAYS)

    failure = only_failure(report)
    assert failure.code == "provider_unavailable"
    assert "http://127.0.0.1:9" in failure.error
    assert "check the network" in failure.error
    assert report.api_calls == 0
    assert not (rig.data / "equity").exists()


def test_no_key_sends_nothing(polygon_server: Serve, tmp_path: Path) -> None:
    """The message says where to put one."""
    server = polygon_server(MARKET)
    report = Rig(tmp_path, server.url, key="").download("SPY", DAYS)

    assert only_failure(report).code == "authentication"
    assert "POLYGON_API_KEY" in only_failure(report).error
    assert server.requests == []


# --- one window fails, the others do not ---


def by_symbol(wrong: dict[str, Fault], request: Request, n: int) -> Fault | None:
    """A fault for some symbols."""
    return wrong.get((request.window or ("", "", "", ""))[0])


def test_a_refusal_of_one_symbol_leaves_the_others_alone(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime
) -> None:
    """Plan, unknown and garbled symbols each have their own reason; the rest is written."""
    market = Market.synthetic(["SPY", "AAPL"], DAYS, bars_per_day=20)
    wrong = {"A": faults.not_entitled(), "B": faults.ticker_not_found(), "C": faults.unsorted_bars()}
    market |= Market.synthetic(["C"], DAYS, bars_per_day=20)
    server = polygon_server(market, on_request=partial(by_symbol, wrong))
    rig = rig_for(server, tmp_path, clockwork)

    report = rig.download(["SPY", "A", "B", "C", "AAPL"], DAYS)

    assert counted(report) == (0, 6, 0, 9)
    assert {failure.symbol: failure.code for failure in report.failures} == {
        "A": "plan_limit",
        "B": "symbol_not_found",
        "C": "bad_response",
    }
    assert rig.csv() == {
        name: content
        for symbol in ("SPY", "AAPL")
        for name, content in lean_files(market, symbol, DAYS, Resolution.MINUTE).items()
    }


def test_a_wrong_key_ends_the_run(polygon_server: Serve, tmp_path: Path, clockwork: FakeTime) -> None:
    """Twenty symbols are not asked for with a key that was refused."""
    server = polygon_server(MARKET, key="the right one")
    report = rig_for(server, tmp_path, clockwork).download([f"S{n}" for n in range(20)], DAYS)

    assert counted(report) == (0, 0, 0, 60)
    assert {failure.code for failure in report.failures} == {"authentication"}
    assert len(server.requests) <= 7


# --- numbers ---


@pytest.mark.parametrize("resolution", [Resolution.MINUTE, Resolution.DAILY])
@pytest.mark.parametrize("scientific", [False, True])
def test_fractional_volumes_are_written_whole(
    polygon_server: Serve, tmp_path: Path, resolution: Resolution, scientific: bool
) -> None:
    """Plain or in scientific notation, with up to six digits behind the point."""
    market = Market.synthetic(
        ["SPY"], DAYS, resolution, bars_per_day=20, fractional_volume=True, decimals=4, scientific=scientific
    )
    rig = Rig(tmp_path, polygon_server(market).url)

    assert rig.download("SPY", DAYS, resolution).complete
    assert rig.csv() == lean_files(market, "SPY", DAYS, resolution)
    assert any(b"." in row.rsplit(b",", 1)[1] for row in b"\n".join(rig.csv().values()).split(b"\n"))


@pytest.mark.parametrize(
    "fault",
    [faults.scientific_volume(), faults.repeated_bars(), faults.delayed()],
    ids=["scientific", "repeated", "delayed"],
)
def test_habits_of_the_vendor_change_nothing(polygon_server: Serve, tmp_path: Path, fault: Fault) -> None:
    """The same files come out."""
    rig = Rig(tmp_path, polygon_server(MARKET, faults=[fault]).url)

    assert rig.download("SPY", DAYS).complete
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, Resolution.MINUTE)


def test_an_added_fraction_of_a_share(polygon_server: Serve, tmp_path: Path) -> None:
    """Each volume is the sum that the vendor's double shows, to 15 digits."""
    rig = Rig(tmp_path, polygon_server(MARKET, faults=[faults.fractional_volume(0.525697)]).url)
    assert rig.download("SPY", DAYS).complete

    whole = MARKET["SPY", "minute"]
    more = BarColumns(t=whole.t, o=whole.o, h=whole.h, l=whole.l, c=whole.c, v=whole.v + 0.525697)
    assert list(rig.csv().values()) == [lean_csv(more, day) for day in DAYS]
    assert lean_decimal(float(whole.v[0]) + 0.525697).endswith(".525697")


def test_null_results_are_none(polygon_server: Serve, tmp_path: Path) -> None:
    """As if there were no results at all."""
    rig = Rig(tmp_path, polygon_server(MARKET, faults=[faults.null_results()]).url)

    assert counted(rig.download("SPY", DAYS)) == (0, 0, 3, 0)


# --- pages ---


def test_pages_are_followed_to_the_end(polygon_server: Serve, tmp_path: Path) -> None:
    """A session of seconds that does not fit one answer is written whole."""
    market = Market.synthetic(["SPY"], DAYS[:1], "second", bars_per_day=57_600)
    server = polygon_server(market)
    rig = Rig(tmp_path, server.url)

    report = rig.download("SPY", DAYS[:1], Resolution.SECOND)

    assert (report.api_calls, report.bars) == (2, 57_600)
    assert rig.csv() == lean_files(market, "SPY", DAYS[:1], Resolution.SECOND)


def test_a_second_page_that_forgets_to_be_unadjusted_is_refused(polygon_server: Serve, tmp_path: Path) -> None:
    """Better no day than one whose second half has other prices."""
    market = Market.synthetic(["SPY"], DAYS[:1], "second", bars_per_day=57_600)
    rig = Rig(tmp_path, polygon_server(market, cursor_keeps_adjusted=False).url)

    report = rig.download("SPY", DAYS[:1], Resolution.SECOND)

    assert report.days_failed == 1
    assert "adjusted for splits" in report.failures[0].error
    assert rig.csv() == {}


def circle(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer whose next page is a page that was there already."""
    path = f"/v2/aggs/ticker/SPY/range/1/minute/{DAYS[0]}/{DAYS[-1]}?adjusted=false&sort=asc&limit=50000"
    return {**answer, "next_url": SERVER_URL[0] + path}


SERVER_URL: list[str] = []


@pytest.fixture
def _server_url() -> Iterator[None]:
    yield
    SERVER_URL.clear()


@pytest.mark.usefixtures("_server_url")
def test_pages_that_go_round_in_a_circle_end(polygon_server: Serve, tmp_path: Path) -> None:
    """A next page that was read already is refused."""
    server = polygon_server(MARKET, on_request=lambda request, n: faults.edited(circle))
    SERVER_URL.append(server.url)

    report = Rig(tmp_path, server.url).download("SPY", DAYS)

    assert "circle" in only_failure(report).error
    assert len(server.requests) == 1


# --- the key ---


def everything(rig: Rig, report: DownloadReport) -> bytes:
    """All bytes that a run left behind: files, databases, report, events."""
    files = b"".join(path.read_bytes() for path in rig.data.rglob("*") if path.is_file())
    told = json.dumps(to_json(report)) + repr(report) + repr(rig.events) + repr(rig.config)
    return files + told.encode()


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
    """The vendor's words are told without the key, in any case of letters, in one line."""
    server = polygon_server(MARKET, on_request=lambda request, n: fault)
    rig = rig_for(server, tmp_path, clockwork)

    report = rig.download("SPY", DAYS)

    assert KEY.encode() not in everything(rig, report).lower()
    assert "\n" not in only_failure(report).error


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_never_gets_the_key(polygon_server: Serve, tmp_path: Path, status: int) -> None:
    """Another host is not even connected to."""
    other = polygon_server(MARKET)
    server = polygon_server(MARKET, faults=[faults.redirect(f"{other.url}/v2/aggs", status)])

    report = Rig(tmp_path, server.url).download("SPY", DAYS)

    assert only_failure(report).code == "bad_response"
    assert other.requests == []


def test_a_next_page_elsewhere_never_gets_the_key(polygon_server: Serve, tmp_path: Path) -> None:
    """The same machine on another port is another host."""
    other = polygon_server(MARKET)
    server = polygon_server(MARKET, faults=[faults.foreign_next_url(other.url)])

    report = Rig(tmp_path, server.url).download("SPY", DAYS)

    assert only_failure(report).code == "bad_response"
    assert other.requests == []
    assert rig_is_empty(tmp_path)


def rig_is_empty(root: Path) -> bool:
    """Whether nothing was written below equity."""
    return not (root / "data" / "equity").exists()
