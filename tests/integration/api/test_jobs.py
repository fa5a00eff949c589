"""Jobs in the HTTP API, as a program talks to it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import faults
from tests.support.api_market import BODY, DAYS, MARKET, Serve
from tests.support.faults import Fault
from tests.support.patience import PATIENCE
from tests.support.polygon_server import Request
from tests.support.served import Served


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
