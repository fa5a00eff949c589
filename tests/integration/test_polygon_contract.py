"""The provider polygon keeps the contract."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from server.plugins.polygon_provider.windows import TIMESPANS
from tests.support import faults
from tests.support.harness import Rig, sessions
from tests.support.market import Market
from tests.support.polygon_server import KEY, PolygonServer
from tests.support.provider_contract import ProviderContract, Subject

DAYS = sessions(date(2024, 3, 7), 4)


class TestPolygon(ProviderContract):
    """Against the local server, at every resolution that it offers."""

    @pytest.fixture
    def subject(self, tmp_path: Path, polygon_server: Callable[..., PolygonServer]) -> Subject:
        market = Market()
        for resolution in TIMESPANS:
            market |= Market.synthetic(["SPY"], DAYS, resolution, bars_per_day=30)
        server = polygon_server(market)
        rig = Rig(tmp_path, server.url, pause=None, retry_attempts=2)
        return Subject(
            open=rig.open_provider,
            symbol="SPY",
            days=tuple(DAYS),
            resolutions=tuple(TIMESPANS),
            without="NONE",
            secret=KEY,
            slow=lambda: setattr(server, "latency", 60.0),
            broken=lambda: setattr(server, "on_request", lambda request, n: faults.plan_timeframe()),
            contacts=lambda: len(server.requests),
        )
