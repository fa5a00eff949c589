"""The result of a backtest in JSON."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from server.backtest import BacktestRequest, BacktestResult, Phase
from server.core.json import to_json
from server.data_download.errors import ProviderUnavailable
from server.jobs import JobState
from server.lean.series import Resolution


def test_a_result_in_json() -> None:
    """It has the request, the phases and the error, in JSON's own types."""
    result = BacktestResult(
        state=JobState.FAILED,
        project=Path("examples"),
        symbols=("SPY",),
        resolution=Resolution.SECOND,
        start=date(2024, 2, 1),
        end=date(2024, 2, 2),
        phases=(Phase(name="data_download", started_at=datetime(2024, 6, 3, tzinfo=UTC), duration_s=0.12345678),),
        error=ProviderUnavailable("it is down"),
    )

    assert to_json(result) == {
        "state": "failed",
        "project": "examples",
        "symbols": ["SPY"],
        "resolution": "second",
        "start": "2024-02-01",
        "end": "2024-02-02",
        "data_folder": None,
        "phases": [{"name": "data_download", "started_at": "2024-06-03T00:00:00+00:00", "duration_s": 0.123457}],
        "download": None,
        "rounds": [],
        "engine_choice": None,
        "engine": None,
        "error": {"code": "provider_unavailable", "message": "it is down"},
    }


def test_the_result_of_an_unresolved_request_has_no_symbols() -> None:
    """The list is empty, the other values are null."""
    found = to_json(BacktestResult.of(BacktestRequest()))

    assert found["symbols"] == []
    assert [found[name] for name in ("project", "resolution", "start", "end")] == [None] * 4
