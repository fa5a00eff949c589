"""Performance assertions with the real API and the user's key: `minutes-cold`, over the last settled days."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.contenders import CONTENDERS, OWN, WIRE, choose_contenders
from benchmarks.measure import Benchmark, LiveApi
from benchmarks.scenarios import choose_scenarios, load_scenarios
from server.lean.series import NEW_YORK
from server.plugins.polygon_provider.config import PolygonConfig
from server.settings import load_settings
from server.trading_calendar import USEquityTradingCalendar

pytestmark = [pytest.mark.live, pytest.mark.timeout(3600)]


@pytest.fixture
def live() -> LiveApi:
    """The real API, as the settings know it."""
    settings = load_settings(environ=os.environ, cwd=Path.cwd())
    config: PolygonConfig = settings.provider_config("polygon", PolygonConfig)
    if not config.api_key:
        pytest.fail("there is no key: set POLYGON_API_KEY to measure with the real API")
    today = datetime.now(UTC).astimezone(NEW_YORK).date()
    return LiveApi(url=config.api_url, key=config.api_key.reveal(), today=today, lean_config=settings.lean_config)


def test_it_is_faster_than_every_other_contender(live: LiveApi, scratch: Path) -> None:
    """It is faster than every other contender: 4 times the vendor's client, 8 times LEAN's request pattern."""
    (scenario,) = choose_scenarios(load_scenarios(CONTENDERS), ["minutes-cold"], False)
    benchmark = Benchmark(home=scratch, calendar=USEquityTradingCalendar.load(live.today), runs=3, live=live)

    result = benchmark.measure(scenario, choose_contenders(()))

    slower = {
        one.name: result.best(one.name) for one in result.contenders if one.samples and one.name not in (OWN, WIRE)
    }
    assert all(seconds > result.best(OWN) for seconds in slower.values()), slower
    assert slower["massive"] >= 4 * result.best(OWN)
    assert slower["lean-request-pattern"] >= 8 * result.best(OWN)
