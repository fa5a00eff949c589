"""The HTTP API, as a program talks to it: a real server process, a vendor on this machine."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support import faults
from tests.support.faults import Fault
from tests.support.market import Market
from tests.support.patience import PATIENCE
from tests.support.polygon_server import KEY, PolygonServer, Request
from tests.support.served import Served

DAYS = [date(2024, 6, day) for day in (3, 4, 5, 6, 7)]
MARKET = Market.synthetic(["SPY", "AAPL"], DAYS, "minute", bars_per_day=60) | Market.synthetic(
    ["SPY", "AAPL"], DAYS, "daily"
)
BODY = {"symbols": ["SPY"], "resolution": "minute", "start": "2024-06-03", "end": "2024-06-07"}

Serve = Callable[..., PolygonServer]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """``serve(polygon_url, *options)`` gives a running server over tmp_path; it ends with the test."""
    running: list[Served] = []

    def start(polygon_url: str, *options: str, **more: Any) -> Served:
        running.append(Served(tmp_path, polygon_url, *options, **more))
        return running[-1]

    yield start
    for served in running:
        served.stop()


@pytest.fixture
def served(polygon_server: Serve, serve: Callable[..., Served]) -> Served:
    """A server whose vendor has the market."""
    return serve(polygon_server(MARKET).url)


def stream(served: Served, path: str, last: str | None = None) -> list[tuple[str, dict[str, Any]]]:
    """The events of a job until its stream ends: (id, data)."""
    headers = {"Last-Event-ID": last} if last else {}
    found, number = [], ""
    with served.http.get(f"{served.url}{path}/events", headers=headers, stream=True, timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        for line in answer.iter_lines(decode_unicode=True):
            if line == "event: end":
                return found
            if line.startswith("id: "):
                number = line[4:]
            elif line.startswith("data: "):
                found.append((number, json.loads(line[6:])))
    raise AssertionError(f"the stream broke off after {found[-1:]}")


# --- jobs ---


def test_a_backtest_from_post_to_result(served: Served) -> None:
    """202 with an id; its events; at the end phases, the download's report and the engine's result."""
    accepted = served.post("/api/backtests", BODY)
    events = stream(served, accepted["url"])
    job = served.get(accepted["url"])

    assert job["id"] == accepted["id"]
    assert (job["kind"], job["state"]) == ("backtest", "completed")
    assert [phase["name"] for phase in job["result"]["phases"]] == ["data_download", "engine"]
    assert job["result"]["download"]["days_downloaded"] == len(DAYS)
    assert job["result"]["engine"]["engine"] == "smoke"
    assert len(job["result"]["engine"]["equity"]["dates"]) == len(DAYS)
    assert [number for number, _ in events] == [str(number) for number in range(1, len(events) + 1)]
    states = [data["state"] for _, data in events if data["kind"] == "state"]
    assert states == ["queued", "running", "completed"]
    assert sum(data.get("days", 0) for _, data in events if data["kind"] == "days") == len(DAYS)


def test_a_stream_is_taken_up_where_it_broke_off(served: Served) -> None:
    """With Last-Event-ID it goes on with the next event, without a gap and without a repeat."""
    path = served.post("/api/backtests", BODY)["url"]
    whole = stream(served, path)

    assert stream(served, path, last=whole[4][0]) == whole[5:]
    assert stream(served, path, last=whole[-1][0]) == []
    assert stream(served, path, last="no number") == whole


@pytest.mark.parametrize(
    ("more", "stored"),
    [
        ({}, {"engine": "smoke", "fill": True, "allow_damaged": False}),
        ({"fill": False, "allow_damaged": True}, {"engine": "smoke", "fill": False, "allow_damaged": True}),
        ({"engine": "lean-native"}, {"engine": "lean-native", "fill": True, "allow_damaged": False}),
        ({"engine": "lean-docker", "fill": True}, {"engine": "lean-docker", "fill": True, "allow_damaged": False}),
    ],
)
def test_what_a_request_may_say_of_the_engine(served: Served, more: dict[str, Any], stored: dict[str, Any]) -> None:
    """The engine and the data for LEAN are stored with the job, and repeated by a retry."""
    accepted = served.post("/api/backtests", {**BODY, **more})
    again = served.post(f"{accepted['url']}/retry")

    for url in (accepted["url"], again["url"]):
        request = served.ended(url)["request"]
        assert {name: request[name] for name in stored} == stored


def test_a_download_is_a_backtest_without_the_engine(served: Served) -> None:
    """The same shape; a backtest over its days then fetches nothing."""
    download = served.ended(served.post("/api/downloads", BODY)["url"])
    backtest = served.ended(served.post("/api/backtests", BODY)["url"])

    assert (download["kind"], download["state"]) == ("download", "completed")
    assert [phase["name"] for phase in download["result"]["phases"]] == ["data_download"]
    assert backtest["result"]["download"]["api_calls"] == 0
    assert backtest["result"]["download"]["days_present"] == len(DAYS)


def test_jobs_are_listed_newest_first_in_pages(served: Served) -> None:
    """Both kinds together, with the number of all."""
    ids = [served.post(f"/api/{kind}", BODY)["id"] for kind in ("backtests", "downloads", "backtests")]

    page = served.get("/api/backtests", per_page=2)
    assert [job["id"] for job in page["jobs"]] == [ids[2], ids[1]]
    assert (page["total"], page["page"], page["per_page"]) == (3, 1, 2)
    assert [job["id"] for job in served.get("/api/backtests", per_page=2, page=2)["jobs"]] == [ids[0]]


def test_a_job_is_cancelled(polygon_server: Serve, serve: Callable[..., Served]) -> None:
    """While the vendor hangs: it does not wait for the answer."""
    polygon = polygon_server(MARKET, faults=[faults.slow(60)])
    served = serve(polygon.url)
    path = served.post("/api/backtests", BODY)["url"]
    deadline = time.monotonic() + 20
    while not polygon.requests:
        assert time.monotonic() < deadline
        time.sleep(0.01)

    began = time.monotonic()
    assert served.delete(path)["state"] == "cancelled"
    assert time.monotonic() - began < PATIENCE


def test_a_failed_job_says_why_and_can_be_tried_again(polygon_server: Serve, serve: Callable[..., Served]) -> None:
    """The error has a code and a sentence; the retry names what it repeats."""
    polygon = polygon_server(MARKET, faults=[faults.not_entitled()])
    served = serve(polygon.url)
    path = served.post("/api/backtests", BODY)["url"]
    failed = served.ended(path)

    assert failed["state"] == "failed"
    assert "your Polygon plan does not include SPY" in failed["result"]["error"]["message"]

    again = served.ended(served.post(f"{path}/retry")["url"])
    assert (again["state"], again["retry_of"]) == ("completed", failed["id"])


def test_a_restart_keeps_history_and_interrupts_what_ran(polygon_server: Serve, serve: Callable[..., Served]) -> None:
    """After kill -9 the running job is interrupted, the queued ones go on, the finished one is as it was."""

    def second_symbol_hangs(request: Request, n: int) -> Fault | None:
        return faults.slow(60) if "/AAPL/" in request.path else None

    polygon = polygon_server(MARKET, on_request=second_symbol_hangs)
    first = serve(polygon.url)
    done = first.ended(first.post("/api/backtests", BODY)["url"])
    hanging = [first.post("/api/backtests", {**BODY, "symbols": ["AAPL"]}) for _ in range(3)]
    deadline = time.monotonic() + 20
    while [first.get(job["url"])["state"] for job in hanging] != ["running", "running", "queued"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    first.stop(9)
    polygon.on_request = None

    second = serve(polygon.url)
    assert second.get(f"/api/backtests/{done['id']}") == done
    assert [second.get(job["url"])["state"] for job in hanging[:2]] == ["interrupted", "interrupted"]
    assert second.ended(hanging[2]["url"])["state"] == "completed"
    retried = second.ended(second.post(f"{hanging[0]['url']}/retry")["url"])
    assert retried["result"]["download"]["days_present"] == len(DAYS)


# --- what is known of the data ---


def test_coverage_and_bars(served: Served) -> None:
    """Each trading day's state, and a day's bars as they are on disk."""
    served.ended(served.post("/api/downloads", {**BODY, "end": "2024-06-05"})["url"])
    asked = {"symbol": ["SPY", "AAPL"], "resolution": "minute", "start": "2024-06-03", "end": "2024-06-09"}

    coverage = served.get("/api/coverage", **asked)
    assert coverage["symbols"]["SPY"]["counts"] == {"present": 3, "missing": 2}
    assert coverage["symbols"]["SPY"]["days"]["2024-06-06"] == "missing"
    assert coverage["symbols"]["AAPL"]["counts"] == {"missing": 5}
    assert served.get("/api/symbols", resolution="minute") == {"symbols": ["SPY"]}

    bars = served.get("/api/bars/SPY", resolution="minute", start="2024-06-03", end="2024-06-03")
    series = MARKET["SPY", "minute"]
    assert bars["bars_total"] == 60
    assert bars["close"] == pytest.approx(list(series.c[:60]))
    assert bars["time"] == list(series.t[:60])
    assert (bars["mode"], bars["extended_hours"], bars["events"], bars["losses"]) == ("raw", True, [], [])

    assert (
        "mode"
        in served.get("/api/bars/SPY", 422, resolution="minute", start=DAYS[0], end=DAYS[0], mode="back")["error"][
            "message"
        ]
    )


def test_coverage_carries_factor_and_map_files(served: Served) -> None:
    """Events of the range with their ex-dates, counts of the whole file, and each ticker's days."""
    usa = served.folder / "data/equity/usa"
    for folder, text in (
        ("factor_files", "20200102,0.49,0.5,1\n20240604,0.49,0.5,100\n20240611,0.98,1,50\n20501231,1,1,0\n"),
        ("map_files", "20200102,old,P\n20240603,old,P\n20501231,spy,P\n"),
    ):
        (usa / folder).mkdir(parents=True)
        (usa / folder / "spy.csv").write_text(text)
    asked = {"symbol": ["SPY", "AAPL"], "resolution": "minute", "start": "2024-06-03", "end": "2024-06-09"}

    found = served.get("/api/coverage", **asked)["symbols"]

    assert found["SPY"]["factor_file"] == {
        "first_day": "2020-01-02",
        "last_event": "2024-06-12",
        "splits": 1,
        "dividends": 2,
        "events": [{"day": "2024-06-05", "dividend": 50.0, "split": "2:1"}],
        "damaged": None,
    }
    assert found["SPY"]["map_file"] == {
        "tickers": [
            {"ticker": "OLD", "first_day": "2020-01-02", "last_day": "2024-06-03"},
            {"ticker": "SPY", "first_day": "2024-06-04", "last_day": None},
        ],
        "delisted": None,
        "damaged": None,
    }
    assert (found["AAPL"]["factor_file"], found["AAPL"]["map_file"]) == (None, None)
    (usa / "factor_files/spy.csv").write_text("rubbish")
    assert "'rubbish' is not a row" in served.get("/api/coverage", **asked)["symbols"]["SPY"]["factor_file"]["damaged"]


def test_bars_are_thinned_honestly(served: Served) -> None:
    """A point has the first open, highest high, lowest low, last close and all volume of its bars."""
    served.ended(served.post("/api/downloads", BODY)["url"])

    thin = served.get("/api/bars/SPY", resolution="minute", start="2024-06-03", end="2024-06-07", points=30)

    size, series = thin["bars_per_point"], MARKET["SPY", "minute"]
    assert size == 10
    assert len(thin["time"]) == 30
    assert thin["open"][1] == pytest.approx(series.o[10])
    assert thin["high"][1] == pytest.approx(max(series.h[10:20]))
    assert thin["low"][1] == pytest.approx(min(series.l[10:20]))
    assert thin["close"][1] == pytest.approx(series.c[19])
    assert sum(thin["volume"]) == pytest.approx(sum(series.v))


def test_calendar_projects_and_providers(polygon_server: Serve, serve: Callable[..., Served], tmp_path: Path) -> None:
    """What the pages' forms need."""
    project = tmp_path / "projects" / "Mine"
    (project / "config").mkdir(parents=True)
    (project / "main.py").write_text("")
    (project / "config" / "parameters.py").write_text('symbols = ["SPY"]\nstart = "2024-06-03"\nend = "2024-06-07"\n')
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "main.py").write_text("")
    (tmp_path / "projects" / "link").symlink_to(outside)
    served = serve(polygon_server(MARKET).url, "--projects", "projects")

    calendar = served.get("/api/calendar", start="2024-06-01", end="2024-06-09")
    assert calendar["sessions"] == [day.isoformat() for day in DAYS]
    projects = served.get("/api/projects")["projects"]
    assert [(found["name"], found["symbols"]) for found in projects] == [("Mine", ["SPY"])]
    providers = served.get("/api/providers")
    assert providers["chosen"] == "polygon"
    secret = {one["setting"]: one["value"] for one in providers["providers"][-1]["settings"]}
    assert KEY not in json.dumps(providers)
    assert "set" in secret.values()

    job = served.ended(served.post("/api/backtests", {"project": "Mine", "resolution": "daily"})["url"])
    assert (job["state"], job["request"]["project"]) == ("completed", "Mine")
    for name in ("link", "../outside", str(outside), "Mine/../../outside", "nothing"):
        assert served.post("/api/backtests", {"project": name}, status=422)["error"]["code"] == "configuration"


def test_health(served: Served) -> None:
    """It says what it looked at."""
    assert served.get("/health")["ok"] is True


# --- bad requests ---


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/api/backtests", {}, 422, "configuration"),
        ("/api/backtests", {**BODY, "symbols": ["../../x"]}, 422, "invalid_request"),
        ("/api/backtests", {**BODY, "symbols": ["SPY", "Ibm"]}, 422, "invalid_request"),
        ("/api/downloads", {**BODY, "symbols": ["BRK-B"]}, 422, "invalid_request"),
        ("/api/backtests", {**BODY, "symbols": []}, 422, "invalid_request"),
        ("/api/backtests", {**BODY, "start": "2024-06-31"}, 422, "invalid_request"),
        ("/api/backtests", {**BODY, "start": "2024-06-08"}, 422, "configuration"),
        ("/api/backtests", {**BODY, "resolution": "week"}, 422, "invalid_request"),
        ("/api/backtests", {**BODY, "provider": "unknown"}, 422, "configuration"),
        ("/api/backtests", {**BODY, "engine": "zipline"}, 422, "invalid_request"),
        ("/api/backtests", {**BODY, "fill": "no"}, 422, "invalid_request"),
        ("/api/backtests", {**BODY, "allow_damaged": 1}, 422, "invalid_request"),
        ("/api/backtests", {**BODY, "fill": None}, 422, "invalid_request"),
        ("/api/downloads", {**BODY, "fill": True}, 422, "invalid_request"),
        ("/api/backtests", {**BODY, "surprise": 1}, 422, "invalid_request"),
        ("/api/downloads", {"symbols": ["SPY"]}, 422, "invalid_request"),
        ("/api/backtests/0123456789ab/retry", {}, 404, "not_found"),
        ("/api/nothing", {}, 404, "not_found"),
        ("/health", {}, 405, "method_not_allowed"),
    ],
)
def test_bad_requests(served: Served, path: str, body: Any, status: int, code: str) -> None:
    """Each gets a stable code and a sentence."""
    error = served.post(path, body, status=status)["error"]

    assert error["code"] == code
    assert error["message"]


def test_a_body_that_is_no_json(served: Served) -> None:
    """400, in the same form."""
    answer = served.http.post(f"{served.url}/api/backtests", data=b"{", headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "not_json")


# --- who may come in ---


def test_foreign_names_origins_and_large_bodies_stay_out(served: Served) -> None:
    """Another Host, another page's origin, and bodies over the limit."""
    url = f"{served.url}/api/backtests"
    host = served.http.get(url, headers={"Host": "rebound.example"})
    origin = served.http.post(url, json=BODY, headers={"Origin": "https://evil.example"})
    site = served.http.post(url, json=BODY, headers={"Sec-Fetch-Site": "cross-site"})
    large = served.http.post(url, data=b"[" + b" " * 70_000 + b"]", headers={"Content-Type": "application/json"})

    assert [answer.status_code for answer in (host, origin, site, large)] == [421, 403, 403, 413]
    assert served.http.post(url, json=BODY, headers={"Origin": served.url}).status_code == 202


def test_every_answer_has_the_security_headers(served: Served) -> None:
    """Also errors."""
    for path in ("/health", "/api/nothing", "/api/providers"):
        headers = served.http.get(served.url + path).headers
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_token_keeps_others_out(polygon_server: Serve, serve: Callable[..., Served]) -> None:
    """Without it nothing but the health and the login page answers."""
    served = serve(polygon_server(MARKET).url, environ={"BACKTEST_SERVER_TOKEN": "let-me-in-please"})

    assert served.http.get(f"{served.url}/api/backtests").status_code == 401
    assert served.http.get(f"{served.url}/metrics").status_code == 401
    assert served.http.get(f"{served.url}/health").status_code == 200
    wrong = served.http.get(f"{served.url}/api/backtests", headers={"Authorization": "Bearer let-me-in-pleas"})
    assert wrong.status_code == 401
    right = served.http.get(f"{served.url}/api/backtests", headers={"Authorization": "Bearer let-me-in-please"})
    assert right.status_code == 200
    assert "let-me-in" not in right.text + str(right.headers) + "\n".join(served.errors)


def test_another_address_needs_a_token(tmp_path: Path) -> None:
    """Else the server refuses to start, and says what to do."""
    with pytest.raises(RuntimeError, match="BACKTEST_SERVER_TOKEN"):
        Served(tmp_path, "http://127.0.0.1:9", "--host", "0.0.0.0")


def test_one_server_for_each_data_folder(served: Served, tmp_path: Path) -> None:
    """A second one says so and ends."""
    with pytest.raises(RuntimeError, match="another server runs on this data folder"):
        Served(tmp_path, "http://127.0.0.1:9")


def test_a_port_in_use(tmp_path: Path) -> None:
    """One line, and the server ends."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RuntimeError, match="cannot be listened on"):
            Served(tmp_path, "http://127.0.0.1:9", "--port", str(taken.getsockname()[1]))


def test_the_server_ends(polygon_server: Serve, serve: Callable[..., Served]) -> None:
    """SIGTERM ends it though a job runs and a stream is open; the job is interrupted."""
    polygon = polygon_server(MARKET, faults=[faults.slow(60)])
    served = serve(polygon.url)
    path = served.post("/api/backtests", BODY)["url"]
    with requests.get(f"{served.url}{path}/events", stream=True, timeout=30) as open_stream:
        next(open_stream.iter_lines())
        served.stop()

    assert serve(polygon.url).get(path)["state"] == "interrupted"
