"""Results of LEAN as a job stores them."""

from __future__ import annotations

from typing import Any

from tests.support.rendered_pages import result


def missing(path: str, days: list[str], kind: str = "trade") -> dict[str, Any]:
    """A missing file of AAPL's minutes."""
    series = {"ticker": "AAPL", "resolution": "minute", "data_type": kind}
    return {"path": path, "series": series, "days": days, "kind": kind, "reason": "not found"}


MISSING = [
    missing("equity/usa/minute/aapl/20240103_trade.zip", ["2024-01-03"]),
    missing("equity/usa/minute/aapl/20240104_trade.zip", ["2024-01-04"]),
    missing("equity/usa/minute/aapl/20240103_quote.zip", ["2024-01-03"], "quote"),
]

ANALYSIS = [
    {
        "name": "SignificanceAnalysis",
        "issue": "The p-value is above 0.05.",
        "sample": {"pValue": 0.19856314714266848},
        "solutions": ["Try adjusting the trading rules.", "Try another universe."],
    }
]

ROUNDS = [
    {
        "number": 1,
        "missing": 14,
        "state": "completed",
        "fetched": [
            {"ticker": "SPY", "resolution": "hour", "data_type": "trade", "days": ["2024-01-02", "2024-01-31"]},
            {"ticker": "MSFT", "resolution": "minute", "data_type": "trade", "days": ["2024-01-02"]},
        ],
    },
    {"number": 2, "missing": 0, "state": "completed", "fetched": []},
]


def lean_result(*, rounds: list[dict[str, Any]] | None = None, **engine: Any) -> dict[str, Any]:
    """The result of a completed backtest in LEAN; `engine` changes what the engine gave."""
    own = {"engine": "lean-native", "verdict": "complete: LEAN got every file", "missing": [], "analysis": []}
    found = result(engine={**result()["engine"], "failed_data_requests": [], **own, **engine})
    return found if rounds is None else {**found, "rounds": rounds}
