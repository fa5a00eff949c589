"""The Polygon provider before it sends anything."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from server.lean.series import Resolution
from tests.support.harness import Rig, gap

DAYS = (date(2024, 3, 7), date(2024, 3, 8))


def test_a_plan_names_each_request_and_sends_nothing(tmp_path: Path) -> None:
    """Without a key, and without a file made."""
    rig = Rig(tmp_path, "https://api.polygon.io", key="", requests_per_minute=5)
    plan = rig.open_provider().plan([gap("SPY", DAYS), gap("AAPL", DAYS[:1], Resolution.DAILY)])

    assert list(plan) == [
        "GET https://api.polygon.io/v2/aggs/ticker/SPY/range/1/minute/2024-03-07/2024-03-08"
        "?adjusted=false&sort=asc&limit=50000",
        "GET https://api.polygon.io/v2/aggs/ticker/AAPL/range/1/day/2024-03-07/2024-03-07"
        "?adjusted=false&sort=asc&limit=50000",
    ]
    assert list(tmp_path.iterdir()) == []
    assert not re.search("key", "".join(plan), re.IGNORECASE)
