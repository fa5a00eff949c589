"""Tickers without any bar: those that the vendor lists are empty, others are failures."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from server.core.cancel import CancelToken
from tests.support import faults
from tests.support.faults import Fault
from tests.support.harness import FakeTime, Rig, sessions
from tests.support.market import Market
from tests.support.polygon_downloads import DAYS, MARKET, MINUTE, Serve
from tests.support.polygon_server import PolygonServer, Request
from tests.support.reference_data import ReferenceData, listing
from tests.support.reports import counted, only_failure

DETAILS, LIST = "/v3/reference/tickers/SPYY", "/v3/reference/tickers"


def reference_paths(server: PolygonServer) -> list[str]:
    """The paths of the requests for reference data."""
    return [request.path for request in server.requests if "/reference/" in request.path]


def test_an_unknown_ticker_fails_on_every_run(polygon_server: Serve, tmp_path: Path) -> None:
    """Never empty: its days are missing, and the other symbol's are written."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)

    report = rig.download(["SPY", "SPYY"], DAYS)

    assert counted(report) == (0, 8, 0, 8)
    failure = only_failure(report, "SPYY", DAYS)
    assert failure.code == "symbol_not_found"
    assert not failure.allows_fallback
    assert "Polygon does not know SPYY" in failure.error
    assert "check the symbol" in failure.error
    assert report.notices == ()
    assert reference_paths(server) == [DETAILS, LIST]
    assert server.requests[-1].query["active"] == "false"

    for _ in range(2):
        assert counted(rig.download(["SPY", "SPYY"], DAYS)) == (8, 0, 0, 8)


@pytest.mark.parametrize("delisted", [None, "2020-05-04"])
def test_a_listed_ticker_without_bars_is_empty(polygon_server: Serve, tmp_path: Path, delisted: str | None) -> None:
    """Active or not; a notice says that there is nothing at all."""
    data = ReferenceData()
    data.listed("SPYY", delisted=delisted)
    server = polygon_server(MARKET, reference=data)
    rig = Rig(tmp_path, server.url)

    report = rig.download(["SPY", "SPYY"], DAYS)

    assert counted(report) == (0, 8, 8, 0)
    (notice,) = report.notices
    assert "no bars at all for SPYY on the 8 trading days requested" in notice
    assert reference_paths(server) == [DETAILS, LIST] if delisted else [DETAILS]
    assert not (rig.data / "equity" / "usa" / "minute" / "spyy").exists()
    assert rig.download(["SPY", "SPYY"], DAYS).api_calls == 0


def test_a_ticker_is_looked_up_once(polygon_server: Serve, tmp_path: Path) -> None:
    """After all of its windows, of which there are several."""
    long = sessions(date(2023, 9, 1), 120)
    server = polygon_server(Market(), reference=listing("SPYY"))
    rig = Rig(tmp_path, server.url)

    assert counted(rig.download("SPYY", long)) == (0, 0, 120, 0)
    assert len(server.requests) > 3
    assert reference_paths(server) == [DETAILS]
    assert "/reference/" in server.requests[-1].path


def test_a_ticker_with_bars_on_one_day_is_not_looked_up(polygon_server: Serve, tmp_path: Path) -> None:
    """Its other windows are empty."""
    long = sessions(date(2023, 9, 1), 120)
    server = polygon_server(Market.synthetic(["SPYY"], long[-1:], "minute", bars_per_day=5), reference=ReferenceData())
    rig = Rig(tmp_path, server.url)

    assert counted(rig.download("SPYY", long)) == (0, 1, 119, 0)
    assert reference_paths(server) == []


def test_a_plan_without_reference_data_leaves_it_open(polygon_server: Serve, tmp_path: Path) -> None:
    """Then the days are empty, as the answer about bars says, with a notice."""
    data = ReferenceData(refused={DETAILS: faults.not_entitled()})
    rig = Rig(tmp_path, polygon_server(MARKET, reference=data).url)

    report = rig.download("SPYY", DAYS)

    assert counted(report) == (0, 0, 8, 0)
    assert "whether Polygon knows SPYY, of which it has no bars, cannot be checked" in report.notices[0]


def test_a_server_without_a_list_of_tickers_does_not_know_it(polygon_server: Serve, tmp_path: Path) -> None:
    """Both are answered with 404."""
    data = ReferenceData(refused={LIST: faults.ticker_not_found()})
    rig = Rig(tmp_path, polygon_server(MARKET, reference=data).url)

    assert only_failure(rig.download("SPYY", DAYS), "SPYY", DAYS).code == "symbol_not_found"


OUTAGES = [
    (faults.server_error(), "provider_unavailable", 3),
    (faults.too_many_requests(1), "rate_limit", 3),
    (faults.edited(lambda answer: {**answer, "results": {"ticker": "QQQ"}}), "bad_response", 2),
]


@pytest.mark.parametrize(("fault", "code", "requests"), OUTAGES, ids=[code for _, code, _ in OUTAGES])
def test_an_outage_of_the_reference_fails_the_days(
    polygon_server: Serve, tmp_path: Path, clockwork: FakeTime, fault: Fault, code: str, requests: int
) -> None:
    """With its reason; the next run requests them again, and finds out."""

    def on_request(request: Request, n: int) -> Fault | None:
        return fault if request.path == DETAILS else None

    server = polygon_server(MARKET, reference=listing("SPYY"), on_request=on_request)
    rig = Rig(tmp_path, server.url, pause=clockwork.pause, retry_attempts=3)

    failure = only_failure(rig.download("SPYY", DAYS), "SPYY", DAYS)

    assert failure.code == code
    assert reference_paths(server) == [DETAILS] * requests
    server.on_request = None
    assert counted(rig.download("SPYY", DAYS)) == (0, 0, 8, 0)


def test_a_cancelled_lookup_records_nothing(polygon_server: Serve, tmp_path: Path) -> None:
    """The days are neither empty nor unknown."""
    cancel = CancelToken()

    def on_request(request: Request, n: int) -> Fault | None:
        if request.path == DETAILS:
            cancel.cancel()
        return None

    server = polygon_server(MARKET, reference=listing("SPYY"), on_request=on_request)
    rig = Rig(tmp_path, server.url)

    report = rig.download("SPYY", DAYS, cancel=cancel)

    assert (report.days_empty, report.days_failed, report.cancelled) == (0, 8, True)
    assert counted(rig.download("SPYY", DAYS, MINUTE)) == (0, 0, 8, 0)


def test_a_wrong_key_is_one_request(polygon_server: Serve, tmp_path: Path) -> None:
    """It ends the run before any ticker is looked up."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url, key="another", max_concurrent_requests=1)

    assert only_failure(rig.download("SPYY", DAYS), "SPYY", DAYS).code == "authentication"
    assert reference_paths(server) == []
