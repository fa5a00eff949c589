"""What is promised of the speed, with the real API and the user's key: `minutes-cold`, over the last settled days."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.bench.contenders import CONTENDERS, OWN, WIRE, choose_contenders
from server.bench.measure import Bench, Live
from server.bench.scenarios import choose, load_scenarios
from server.lean.series import NEW_YORK
from server.plugins.polygon_provider.config import PolygonConfig
from server.settings import load_settings
from server.trading_calendar import USEquityTradingCalendar

pytestmark = [pytest.mark.live, pytest.mark.timeout(3600)]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def live() -> Live:
    """The real API, as the settings know it."""
    settings = load_settings(environ=os.environ, cwd=Path.cwd())
    config: PolygonConfig = settings.provider_config("polygon", PolygonConfig)
    if not config.api_key:
        pytest.fail("there is no key: set POLYGON_API_KEY to measure with the real API")
    today = datetime.now(UTC).astimezone(NEW_YORK).date()
    return Live(url=config.api_url, key=config.api_key.reveal(), today=today, lean_config=settings.lean_config)


def test_it_is_ahead_of_every_other_way(live: Live, scratch: Path) -> None:
    """It is ahead of all that write files, by 4 times of the vendor's client and 8 of LEAN's request pattern."""
    (scenario,) = choose(
        load_scenarios(ROOT / "benchmarks" / "scenarios.toml", ROOT, CONTENDERS), ["minutes-cold"], False
    )
    bench = Bench(home=scratch, calendar=USEquityTradingCalendar.load(live.today), runs=3, live=live)

    result = bench.measure(scenario, choose_contenders(()))

    slower = {row.name: result.best(row.name) for row in result.rows if row.samples and row.name not in (OWN, WIRE)}
    assert all(seconds > result.best(OWN) for seconds in slower.values()), slower
    assert slower["massive"] >= 4 * result.best(OWN)
    assert slower["lean-request-pattern"] >= 8 * result.best(OWN)
