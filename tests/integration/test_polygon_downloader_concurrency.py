"""Requests in flight, cancelled downloads, and plans of downloads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from server.core.cancel import CancelToken
from server.data_download.availability import DayState
from server.data_download.report import DownloadReport
from server.data_download.request import DownloadRequest
from tests.support import faults
from tests.support.faults import Fault
from tests.support.harness import Rig, leftovers
from tests.support.market import Market
from tests.support.patience import PATIENCE
from tests.support.polygon_downloads import DAYS, MARKET, MINUTE, Serve, path_of
from tests.support.polygon_server import Request
from tests.support.reports import counted

# --- at once ---


def hold_until_five_are_under_way() -> Callable[[Request, int], Fault | None]:
    """For `PolygonServer.on_request`: no answer to the first five requests before all five are there."""
    five = threading.Barrier(5)

    def hold(request: Request, n: int) -> Fault | None:
        if n <= 5:
            five.wait(PATIENCE)
        return None

    return hold


def test_at_most_five_requests_are_under_way(polygon_server: Serve, tmp_path: Path) -> None:
    """Whatever the number of windows; and with that many, five are."""
    symbols = [f"S{n}" for n in range(15)]
    market = Market.synthetic(symbols, DAYS, bars_per_day=30)
    server = polygon_server(market, latency=0.03, on_request=hold_until_five_are_under_way())

    report = Rig(tmp_path, server.url).download(symbols, DAYS)

    assert report.complete
    assert server.in_flight_max == 5


def test_two_downloads_in_one_process_share_the_five(polygon_server: Serve, tmp_path: Path) -> None:
    """A server with several jobs does not send more."""
    from concurrent.futures import ThreadPoolExecutor

    symbols = [f"S{n}" for n in range(20)]
    market = Market.synthetic(symbols, DAYS[:1], bars_per_day=30)
    server = polygon_server(market, latency=0.03, on_request=hold_until_five_are_under_way())

    def run(part: int) -> DownloadReport:
        return Rig(tmp_path, server.url).download(symbols[part::2], DAYS[:1])

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(run, range(2)))

    assert all(report.complete for report in reports)
    assert server.in_flight_max == 5


def test_a_cancelled_run_ends_soon_and_keeps_what_is_done(polygon_server: Serve, tmp_path: Path) -> None:
    """In the middle of slow answers: it does not wait for them, nothing is half written, the next run does the rest."""
    cancel = CancelToken()

    def cancel_at_third(request: Request, n: int) -> Fault | None:
        if n == 3:
            cancel.cancel()
        return faults.slow(60) if n >= 3 else None

    symbols = [f"S{n}" for n in range(6)]
    server = polygon_server(Market.synthetic(symbols, DAYS, bars_per_day=30), on_request=cancel_at_third)
    rig = Rig(tmp_path, server.url, pause=None)
    started = time.monotonic()

    report = rig.download(symbols, DAYS, cancel=cancel)

    assert time.monotonic() - started < PATIENCE
    assert report.cancelled
    assert not report.complete
    assert {failure.code for failure in report.failures} == {"cancelled"}
    assert leftovers(rig.data) == []
    server.on_request = None
    again = rig.download(symbols, DAYS)
    assert again.complete
    assert again.days_present == report.days_downloaded


def test_a_run_that_waits_for_its_budget_can_be_cancelled(polygon_server: Serve, tmp_path: Path) -> None:
    """One request a minute, two symbols: the wait is announced and ends at once when asked to."""
    cancel = CancelToken()
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url, pause=None, requests_per_minute=1)
    seen: set[str] = set()

    class Watcher(list[Any]):
        def append(self, event: Any) -> None:
            super().append(event)
            seen.add(event.kind)
            if {"wait", "days"} <= seen:
                cancel.cancel()

    rig.events = Watcher()
    started = time.monotonic()
    report = rig.download(["SPY", "BRK.B"], DAYS, cancel=cancel)

    assert time.monotonic() - started < PATIENCE
    assert counted(report) == (0, 8, 0, 8)
    assert len(server.requests) == 1
    (wait,) = [event for event in rig.events if event.kind == "wait"]
    assert 50 < wait.wait_seconds <= 60.1
    assert "budget" in wait.message


# --- looking ---


def test_a_look_says_what_is_what_and_sends_nothing(polygon_server: Serve, tmp_path: Path) -> None:
    """Present, empty, damaged and missing days, and the requests that would be sent."""
    server = polygon_server(Market.synthetic(["SPY"], DAYS[:3], bars_per_day=30))
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS[:4])
    path_of(rig, DAYS[1]).write_bytes(b"rubbish")
    server.reset()
    request = DownloadRequest(symbols=("SPY",), resolution=MINUTE, start=DAYS[0], end=DAYS[4])

    with rig.downloader() as downloader:
        look = downloader.plan(request)
    plan = rig.open_provider().plan(look.gaps)

    assert look.states["SPY"] == {
        DAYS[0]: DayState.PRESENT,
        DAYS[1]: DayState.DAMAGED,
        DAYS[2]: DayState.PRESENT,
        DAYS[3]: DayState.EMPTY,
        DAYS[4]: DayState.MISSING,
    }
    assert [gap.days for gap in look.gaps] == [(DAYS[1], DAYS[4])]
    assert list(plan) == [
        f"GET {server.url}/v2/aggs/ticker/SPY/range/1/minute/2024-03-05/2024-03-08?adjusted=false&sort=asc&limit=50000"
    ]
    assert server.requests == []
    path_of(rig, DAYS[1]).unlink()


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (date(2024, 6, 4), date(2024, 6, 5), "wholly in the future"),
        (date(1997, 1, 2), date(1997, 1, 3), "1998-01-02"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(tmp_path: Path, start: date, end: date, message: str) -> None:
    """With the bound in the message, and nothing made on disk but the ledger."""
    from server.core.errors import ConfigurationError

    rig = Rig(tmp_path)
    with pytest.raises(ConfigurationError, match=message):
        rig.download("SPY", [start, end])
    assert not (rig.data / "equity").exists()
