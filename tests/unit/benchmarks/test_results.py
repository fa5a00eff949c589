"""Results: statistics over runs, and what the archive stores."""

from __future__ import annotations

from benchmarks.scenarios import ScenarioKind
from tests.support.benchmark_results import result


def test_figures_are_median_best_worst_and_spread() -> None:
    """Of 0.4, 0.3 and 0.8 seconds; the most requests and memory, the least processor time, microseconds a bar."""
    own = result().as_json()["contenders"][0]

    assert (own["median_s"], own["min_s"], own["max_s"], own["spread_s"], own["runs"]) == (0.4, 0.3, 0.8, 0.5, 3)
    assert (own["requests"], own["cache_hits"], own["bytes"]) == (4, 1, 2_000_000)
    assert own["us_per_bar"] == 0.3 / (2 * 5 * 100) * 1e6
    assert own["simulated"] is False


def test_a_contender_that_was_not_run_has_no_figures() -> None:
    """It has the reason instead."""
    assert result().as_json()["contenders"][1] == {
        "name": "lean-cli",
        "median_s": None,
        "not_run": "the LEAN CLI is not installed",
    }


def test_simulated_seconds_are_marked() -> None:
    """With a request budget seconds are simulated, and the result has the minimum number of requests."""
    found = result(kind=ScenarioKind.BUDGET, per_minute=5).as_json()

    assert all(row["simulated"] for row in found["contenders"] if not row.get("not_run"))
    assert found["least_requests"] == 2
