"""A small scenario, and results of it, for tests of runs, statistics, tables and files."""

from __future__ import annotations

from datetime import date
from typing import Any

from benchmarks.results import ContenderResult, Sample, ScenarioResult
from benchmarks.scenarios import Scenario, ScenarioKind
from server.lean.series import Resolution


def scenario(**changes: Any) -> Scenario:
    settings = {
        "name": "small",
        "kind": ScenarioKind.COLD,
        "symbols": ("AAPL", "SPY"),
        "resolution": Resolution.MINUTE,
        "first": date(2024, 1, 2),
        "days": 5,
        "bars": 100,
    }
    return Scenario(**(settings | changes))


def sample(seconds: float, **changes: Any) -> Sample:
    settings = {"cpu_s": 0.5, "peak_mb": 80.0, "requests": 4, "bytes": 2_000_000, "cache_hits": 0}
    return Sample(seconds=seconds, **(settings | changes))


def result(**changes: Any) -> ScenarioResult:
    contenders = (
        ContenderResult(name="polygon", samples=(sample(0.4, requests=3, cache_hits=1), sample(0.3), sample(0.8))),
        ContenderResult(name="lean-cli", not_run="the LEAN CLI is not installed"),
        ContenderResult(name="massive", samples=(sample(1.2), sample(1.5))),
        ContenderResult(name="wire", samples=(sample(0.2), sample(0.25))),
    )
    return ScenarioResult(scenario=scenario(**changes), contenders=contenders, latency=0.05)
