"""The verdict on a smoke test."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from attrs import evolve

from server.backtest.verdict import smoke_verdict
from server.data_download.findings import Doubt
from server.engines.base import EngineResult
from server.engines.missing_data import MissingFile

AT = datetime(2024, 6, 3, tzinfo=UTC)
RESULT = EngineResult(
    engine="smoke", summary=(), statistics={}, bars=0, days=0, started_at=AT, finished_at=AT, duration_s=0.0
)
FILE = "equity/usa/daily/spy.zip"
CORRUPT = MissingFile(path=FILE, series=None, days=(), kind="trade", reason="corrupt")
DOUBT = Doubt(symbol="MO", day=date(2008, 3, 31), kind="price_change", message="it fell")


@pytest.mark.parametrize(
    ("changes", "known_empty", "expected"),
    [
        ({}, (), "complete: every file that the request needs was read"),
        ({"failed_data_requests": (FILE,)}, (FILE,), "complete: every file that the request needs was read"),
        ({"failed_data_requests": (FILE,)}, (), f"gaps: 1 file missing ({FILE})"),
        ({"missing": (CORRUPT,)}, (), f"untrusted: 1 file that LEAN does not read whole ({FILE})"),
        ({"doubts": (DOUBT,)}, (), "untrusted: doubts about its data (MO 2008-03-31: it fell)"),
        ({"doubts": (evolve(DOUBT, accepted=True),)}, (), "complete: every file that the request needs was read"),
    ],
)
def test_verdicts(changes: dict[str, Any], known_empty: tuple[str, ...], expected: str) -> None:
    """Files that do not exist since their days have no bars do not count, nor do accepted doubts."""
    assert smoke_verdict(evolve(RESULT, **changes), known_empty) == expected
