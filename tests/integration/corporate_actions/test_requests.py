"""Which requests of a symbol's corporate actions are in flight together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from tests.support import faults
from tests.support.corporate_rig import CorporateRig, at
from tests.support.faults import Fault
from tests.support.harness import calendar
from tests.support.market import Market
from tests.support.polygon_server import PolygonServer, Request
from tests.support.reference_data import DIVIDENDS, SPLITS, ReferenceData

DAYS = calendar().trading_days(date(2020, 8, 3), date(2020, 9, 18))
LISTING, RENAMES = "/v3/reference/tickers/AAPL", "/vX/reference/tickers/AAPL/events"


@pytest.fixture
def server(polygon_server: Callable[..., PolygonServer]) -> PolygonServer:
    """Apple's split of 2020 and the daily bars around it."""
    data = ReferenceData()
    data.split("AAPL", date(2020, 8, 31), old=1, new=4)
    data.listed("AAPL", exchange="XNAS", since=DAYS[0])
    return polygon_server(Market.synthetic(["AAPL"], DAYS, "daily"), reference=data)


def paths(server: PolygonServer) -> list[str]:
    """The requested paths without those of bars."""
    return [request.path for request in server.requests if not request.window]


def test_listing_splits_and_dividends_are_in_flight_together(tmp_path: Path, server: PolygonServer) -> None:
    """After the ticker changes, each of the three is answered only when all have arrived; none is sent twice."""
    together = threading.Barrier(3)

    def hold(request: Request, n: int) -> None:
        if request.path in (LISTING, SPLITS, DIVIDENDS) and "date" not in request.query:
            together.wait(30)

    server.on_request = hold

    result = CorporateRig(tmp_path, server.url, at("2020-09-21")).build("AAPL")

    assert result.failures == {}
    assert result.outcomes[0].files.factor_file == "written"
    assert paths(server)[0] == RENAMES
    assert sorted(paths(server)[1:]) == sorted([LISTING, SPLITS, DIVIDENDS])


def test_a_refused_key_costs_one_request(tmp_path: Path, server: PolygonServer) -> None:
    """Nothing else is sent once the ticker changes were refused."""

    def refuse(request: Request, n: int) -> Fault:
        return faults.unknown_key()

    server.on_request = refuse

    result = CorporateRig(tmp_path, server.url, at("2020-09-21")).build("AAPL")

    assert list(result.failures) == ["AAPL"]
    assert paths(server) == [RENAMES]
