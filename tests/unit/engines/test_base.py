"""The result of an engine with what is known about its symbols."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from server.data_download.findings import Doubt, Findings
from server.engines.base import NOT_TRUSTED, EngineResult, Equity

DAY = date(2017, 1, 12)
NOW = datetime(2024, 2, 1, 12, tzinfo=UTC)


def result(*doubts: Doubt) -> EngineResult:
    """A result with these doubts of the engine."""
    return EngineResult(
        engine="smoke",
        summary=(),
        statistics={},
        equity=Equity(),
        bars=0,
        days=0,
        failed_data_requests=(),
        started_at=NOW,
        finished_at=NOW,
        duration_s=0.0,
        doubts=doubts,
    )


def doubt(symbol: str = "T") -> Doubt:
    """A change of the close that no event explains."""
    return Doubt(symbol=symbol, day=DAY, kind="price_change", message="it fell")


@pytest.mark.parametrize("accepted", [True, False])
def test_doubts_of_the_engine_are_accepted_like_others(accepted: bool) -> None:
    """The engine sees changes of the close that no check of the data saw."""
    setting = {("T", DAY), ("MO", DAY)} if accepted else set()

    found = result(doubt("T")).with_findings(Findings(doubts=(doubt("MO"),)), setting)

    assert [one.accepted for one in found.doubts] == [accepted, accepted]
    assert any(line.startswith(NOT_TRUSTED) for line in found.summary) is not accepted
