"""The test server keeps the habits that the vendor documents, and misbehaves on demand."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from tests.support import faults
from tests.support.faults import Fault
from tests.support.market import Market, clock
from tests.support.patience import PATIENCE
from tests.support.polygon_server import KEY, PolygonServer, Request

DAYS = [date(2024, 3, 7), date(2024, 3, 8), date(2024, 3, 11)]  # the clocks change on the 10th
MARKET = Market.synthetic(["SPY", "BRK.B"], DAYS) | Market.synthetic(["SPY"], DAYS, "daily")
WINDOW = "/v2/aggs/ticker/SPY/range/1/minute/2024-03-07/2024-03-11"

Get = Callable[..., requests.Response]


@pytest.fixture
def get() -> Iterator[Get]:
    """Ask a server as our client does."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {KEY}"

        def ask(server: Any, path: str = WINDOW, **changes: Any) -> requests.Response:
            query = {"adjusted": "false", "sort": "asc", "limit": "50000", **changes}
            url = path if path.startswith("http") else server.url + path
            return session.get(url, params={} if "cursor" in url else query, timeout=5, allow_redirects=False)

        yield ask


def test_an_answer_has_the_documented_shape(polygon_server: Callable[..., PolygonServer], get: Get) -> None:
    """Bars ascend, the request id is in body and header, the flag is echoed, gzip is used."""
    response = get(polygon_server(MARKET))
    body = response.json()

    assert (body["status"], body["adjusted"], body["ticker"]) == ("OK", False, "SPY")
    assert body["resultsCount"] == body["queryCount"] == body["count"] == len(body["results"]) == 1170
    assert [bar["t"] for bar in body["results"]] == MARKET["SPY", "minute"].t.tolist()
    assert set(body["results"][0]) == set("vochltn") | {"vw"}
    assert response.headers["X-Request-Id"] == body["request_id"]
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Server"].startswith("nginx")
    assert "next_url" not in body


def test_the_compressed_text_is_the_plain_text(polygon_server: Callable[..., PolygonServer], get: Get) -> None:
    """The pieces that are compressed beforehand make one sound gzip stream."""
    server = polygon_server(MARKET)

    def fetch(encoding: str) -> bytes:
        headers = {"Authorization": f"Bearer {KEY}", "Accept-Encoding": encoding}
        with requests.get(server.url + WINDOW, headers=headers, stream=True, timeout=5) as response:
            return response.raw.read(decode_content=False)

    plain, packed = fetch("identity"), fetch("gzip")

    assert json.loads(gzip.decompress(packed))["results"] == json.loads(plain)["results"]
    assert len(packed) < len(plain) / 3


def test_pages_follow_next_url_to_the_end(polygon_server: Callable[..., PolygonServer], get: Get) -> None:
    """Pages of `limit` bars join to the whole, stay on the host, and keep the flag."""
    server = polygon_server(MARKET)
    body = get(server, limit="500").json()
    times = [bar["t"] for bar in body["results"]]
    while "next_url" in body:
        assert body["next_url"].startswith(server.url)
        body = get(server, body["next_url"]).json()
        assert body["adjusted"] is False
        times += [bar["t"] for bar in body["results"]]

    assert times == MARKET["SPY", "minute"].t.tolist()
    assert [len(server.requests), server.requests[-1].query.keys()] == [3, {"cursor"}]


def test_windows_are_new_york_days_or_milliseconds(polygon_server: Callable[..., PolygonServer], get: Get) -> None:
    """Both ends are inside; a day is New York's, on either side of a change of the clocks."""
    server = polygon_server(MARKET)
    opening = [clock(day, 34_200_000) for day in DAYS]

    one_day = get(server, "/v2/aggs/ticker/SPY/range/1/minute/2024-03-11/2024-03-11").json()
    two_bars = get(server, f"/v2/aggs/ticker/SPY/range/1/minute/{opening[0]}/{opening[0] + 60_000}?sort=asc").json()
    daily = get(server, "/v2/aggs/ticker/SPY/range/1/day/2024-03-08/2024-03-11").json()

    assert (one_day["resultsCount"], one_day["results"][0]["t"]) == (390, opening[2])
    assert opening[2] - opening[1] == (3 * 24 - 1) * 3_600_000
    assert [bar["t"] for bar in two_bars["results"]] == [opening[0], opening[0] + 60_000]
    assert [bar["t"] for bar in daily["results"]] == [clock(day) for day in DAYS[1:]]


def test_what_is_not_there_is_an_answer_without_results(polygon_server: Callable[..., PolygonServer], get: Get) -> None:
    """An unknown ticker, another case of letters and a closed day are 200 and empty."""
    server = polygon_server(MARKET)
    for path in (WINDOW.replace("SPY", "NONE"), WINDOW.replace("SPY", "spy"), WINDOW.replace("-07", "-09")):
        body = get(server, path.replace("2024-03-11", "2024-03-10")).json()

        assert (body["status"], body["resultsCount"]) == ("OK", 0)
        assert "results" not in body


def test_keys_are_checked(polygon_server: Callable[..., PolygonServer]) -> None:
    """No key and a wrong one are 401 in the vendor's words; a key in a URL is noticed."""
    server = polygon_server(MARKET)
    without = requests.get(server.url + WINDOW, timeout=5)
    wrong = requests.get(server.url + WINDOW, headers={"Authorization": "Bearer other"}, timeout=5)
    assert server.keys_in_urls == []
    in_url = requests.get(server.url + WINDOW, params={"apiKey": KEY}, timeout=5)

    assert [without.status_code, wrong.status_code, in_url.status_code] == [401, 401, 200]
    assert [without.json()["error"], wrong.json()["error"]] == ["API Key was not provided", "Unknown API Key"]
    assert len(server.keys_in_urls) == 1


def test_a_plan_cuts_silently_and_refuses_what_lies_outside(
    polygon_server: Callable[..., PolygonServer], get: Get
) -> None:
    """A range partly before the plan's first day loses its beginning with status 200, one wholly before is 403."""
    server = polygon_server(MARKET, plan_start=DAYS[1], plan_end=DAYS[1], delayed=True)
    cut = get(server).json()
    before = get(server, WINDOW.replace("2024-03-11", "2024-03-07"))
    after = get(server, WINDOW.replace("2024-03-07", "2024-03-11"))

    assert (cut["status"], cut["resultsCount"], cut["results"][0]["t"]) == (
        *("DELAYED", 390),
        clock(DAYS[1], 34_200_000),
    )
    assert [before.status_code, after.status_code] == [403, 403]
    assert "plan doesn't include this data timeframe" in before.json()["message"]


def test_a_budget_answers_429(polygon_server: Callable[..., PolygonServer], get: Get) -> None:
    """More requests than the budget allows are refused until time has passed."""
    server = polygon_server(MARKET, budget=(2, 3600))

    assert [get(server).status_code for _ in range(3)] == [200, 200, 429]
    for request in server.requests:
        request.time -= 3600
    assert get(server).status_code == 200


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (faults.too_many_requests(retry_after=7), 429),
        (faults.too_many_requests(empty=True), 429),
        (faults.server_error(), 500),
        (faults.bad_gateway(), 502),
        (faults.gateway_timeout(), 504),
        (faults.maintenance_page(), 200),
        (faults.unknown_key(), 401),
        (faults.not_entitled(), 403),
        (faults.today_too_early(), 403),
        (faults.ticker_not_found(), 404),
        (faults.bad_request(), 400),
        (faults.redirect("http://other.invalid/"), 302),
        (faults.bad_json(), 200),
        (faults.not_aggregates(), 200),
        (faults.json_list(), 200),
        (faults.status_error(), 200),
    ],
)
def test_a_fault_takes_the_place_of_one_answer(
    polygon_server: Callable[..., PolygonServer], get: Get, fault: Fault, status: int
) -> None:
    """The fault is answered once, on a connection that lives on; the next answer is good."""
    server = polygon_server(MARKET)
    server.faults.append(fault)

    assert get(server).status_code == status
    assert get(server).json()["resultsCount"] == 1170
    assert [request.status for request in server.requests] == [status, 200]


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (faults.delayed(), lambda body: body["status"] == "DELAYED"),
        (faults.adjusted(), lambda body: body["adjusted"] is True),
        (faults.repeated_bars(), lambda body: len(body["results"]) == 1170 + 390),
        (faults.unsorted_bars(), lambda body: body["results"][0]["t"] > body["results"][-1]["t"]),
        (faults.bars_outside_window(), lambda body: len(body["results"]) == 1172),
        (faults.foreign_next_url(), lambda body: body["next_url"].startswith("http://other.invalid/v2/")),
        (faults.fractional_volume(), lambda body: body["results"][0]["v"] % 1 > 0.5),
        (faults.missing_field("c"), lambda body: "c" not in body["results"][1]),
        (faults.null_field("c"), lambda body: body["results"][1]["c"] is None),
        (faults.odd_field("o", "12"), lambda body: body["results"][1]["o"] == "12"),
        (faults.null_results(), lambda body: body["results"] is None),
        (faults.edited(lambda body: {**body, "ticker": "QQQ"}), lambda body: body["ticker"] == "QQQ"),
    ],
)
def test_a_fault_changes_a_good_answer(
    polygon_server: Callable[..., PolygonServer], get: Get, fault: Fault, seen: Callable[[Any], bool]
) -> None:
    """Answers that look right at first sight can be wrong in one thing."""
    response = get(polygon_server(MARKET, on_request=lambda request, n: fault if n == 1 else None))

    assert response.status_code == 200
    assert seen(response.json())


def test_volumes_can_be_scientific(polygon_server: Callable[..., PolygonServer], get: Get) -> None:
    """The text has an exponent, the number is the same."""
    days = ("/v2/aggs/ticker/SPY/range/1/day/2024-03-07/2024-03-11", MARKET["SPY", "day"].v.tolist())
    by_fault = get(polygon_server(MARKET, faults=[faults.scientific_volume()]), days[0])
    spy = MARKET["SPY", "day"]
    bar = {"t": int(spy.t[0]), "o": 1.5, "h": 2.0, "l": 1.0, "c": 1.25, "v": 70661926.525697}
    by_market = get(polygon_server(Market.of({("SPY", "daily"): [bar]}, scientific=True)), days[0])

    assert [row["v"] for row in by_fault.json()["results"]] == days[1]
    assert '"v":7.0661926525697e+07,' in by_market.text
    assert by_market.json()["results"] == [bar]


def test_connections_break(polygon_server: Callable[..., PolygonServer], get: Get) -> None:
    """A reset and bodies cut short reach the client as errors of the connection."""
    server = polygon_server(MARKET)
    server.faults += [faults.connection_reset(), faults.cut_body(), faults.cut_body(chunked=True)]

    with pytest.raises(requests.ConnectionError, match=r"reset|aborted"):
        get(server)
    for _ in range(2):
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            get(server)
    assert get(server).status_code == 200


def test_answers_can_be_late(polygon_server: Callable[..., PolygonServer], get: Get) -> None:
    """Latency, late headers and a trickling body take their time."""
    server = polygon_server(MARKET, latency=0.05, faults=[None, faults.slow(0.2), faults.trickling(0.2)])
    took = []
    for _ in range(3):
        began = time.monotonic()
        assert get(server).json()["resultsCount"] == 1170
        took.append(time.monotonic() - began)

    assert took[0] >= 0.05
    assert min(took[1:]) >= 0.25


def test_requests_at_once_are_counted(polygon_server: Callable[..., PolygonServer], get: Get) -> None:
    """`in_flight_max` is the most that waited for an answer at one time."""
    four = threading.Barrier(4)

    def wait_for_four(request: Request, n: int) -> Fault | None:
        four.wait(PATIENCE)
        return None

    server = polygon_server(MARKET, on_request=wait_for_four)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: get(server), range(8)))

    assert server.in_flight_max == 4
    assert server.bytes_sent > 8 * 10_000


def test_it_ends_at_once_whatever_is_under_way() -> None:
    """Idle connections and answers that are waited for do not hold up the end."""
    with PolygonServer(MARKET, latency=30) as server:
        idle = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
        failed: list[Exception] = []

        def ask() -> None:
            try:
                requests.get(server.url + WINDOW, headers={"Authorization": f"Bearer {KEY}"}, timeout=20)
            except requests.RequestException as error:
                failed.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        while not server.requests:
            time.sleep(0.01)
        began = time.monotonic()
    took = time.monotonic() - began
    asking.join(5)
    idle.close()

    assert took < PATIENCE
    assert len(failed) == 1


def test_it_can_be_a_process_of_its_own(get: Get) -> None:
    """The same answers and the same records, from another process."""
    with PolygonServer(MARKET, faults=[faults.repeated_bars()]).in_subprocess() as server:
        assert len(get(server).json()["results"]) == 1560
        assert get(server).json()["resultsCount"] == 1170
        assert [request.status for request in server.requests] == [200, 200]
        assert server.counters().keys_in_urls == []
        server.reset()
        assert server.requests == []


def test_made_up_bars_are_plausible_and_repeatable() -> None:
    """The same arguments give the same bars; highs and lows enclose opens and closes."""
    again = Market.synthetic(["SPY"], DAYS)["SPY", "minute"]
    sparse = Market.synthetic(["SPY"], DAYS, bars_per_day=960, density=0.5, seed=1)["SPY", "minute"]

    assert np.array_equal(again.c, MARKET["SPY", "minute"].c)
    for series in (again, sparse):
        assert (series.h >= np.maximum(series.o, series.c)).all()
        assert (series.l <= np.minimum(series.o, series.c)).all()
        assert (series.l > 0).all()
    assert 1200 < len(sparse.t) < 1700
    assert sparse.t[0] < clock(DAYS[0], 15_000_000)


def test_leans_samples_become_bars(
    lean_sample_data: Path, polygon_server: Callable[..., PolygonServer], get: Get
) -> None:
    """Rows of LEAN's zips are served as the vendor would have sent them."""
    market = Market.from_lean_folder(lean_sample_data, "SPY", resolutions=["daily", "minute"])
    path = "/v2/aggs/ticker/SPY/range/1/{}/2013-10-07/2013-10-07"
    server = polygon_server(market)
    minutes = get(server, path.format("minute")).json()["results"]
    day = get(server, path.format("day")).json()["results"]

    assert minutes[0]["t"] == clock(date(2013, 10, 7), 14_400_000)
    assert [bar["t"] for bar in day] == [clock(date(2013, 10, 7))]
    assert day[0]["c"] == 167.42
