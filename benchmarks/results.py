"""Results of measured scenarios, and their JSON for the archive."""

from __future__ import annotations

import statistics
from typing import Any

from attrs import frozen

from benchmarks.scenarios import Scenario, ScenarioKind

BARS_PER_RESPONSE = 50_000
"""The maximum number of bars in one response of the vendor."""


@frozen(kw_only=True)
class Sample:
    """One run.

    Attributes:
        seconds: Wall-clock seconds; simulated waits are included.
        cpu_s: Processor seconds.
        peak_mb: Peak memory in megabytes.
        bytes: Bytes of response bodies as sent.
    """

    seconds: float
    cpu_s: float
    peak_mb: float
    requests: int
    bytes: int
    cache_hits: int = 0
    refused: int = 0
    days_twice: int = 0


@frozen(kw_only=True)
class ContenderResult:
    """A contender's runs of a scenario, or the reason why it was not run."""

    name: str
    samples: tuple[Sample, ...] = ()
    not_run: str = ""

    def as_json(self, scenario: Scenario) -> dict[str, Any]:
        """Return the result in JSON's types."""
        if self.not_run:
            return {"name": self.name, "median_s": None, "not_run": self.not_run}
        times = [one.seconds for one in self.samples]
        best = min(times)
        return {
            "name": self.name,
            "median_s": round(statistics.median(times), 4),
            "min_s": round(best, 4),
            "max_s": round(max(times), 4),
            "spread_s": round(max(times) - best, 4),
            "runs": len(times),
            "requests": max(one.requests for one in self.samples),
            "cache_hits": max(one.cache_hits for one in self.samples),
            "bytes": max(one.bytes for one in self.samples),
            "peak_mb": round(max(one.peak_mb for one in self.samples), 1),
            "cpu_s": round(min(one.cpu_s for one in self.samples), 4),
            "bars": scenario.total_bars,
            "us_per_bar": round(best / scenario.total_bars * 1e6, 3),
            "refused": max(one.refused for one in self.samples),
            "days_twice": max(one.days_twice for one in self.samples),
            "simulated": scenario.kind is ScenarioKind.BUDGET,
        }


@frozen(kw_only=True)
class ScenarioResult:
    """A measured scenario.

    Attributes:
        latency: Seconds before each response of the local server; None for the live API.
    """

    scenario: Scenario
    contenders: tuple[ContenderResult, ...]
    latency: float | None

    def contender(self, name: str) -> ContenderResult:
        """Return the result of a contender."""
        return next(one for one in self.contenders if one.name == name)

    def best(self, name: str) -> float:
        """Return the seconds of a contender's best run."""
        return min(one.seconds for one in self.contender(name).samples)

    def as_json(self) -> dict[str, Any]:
        """Return the result in JSON's types, as the archive and the performance page use it."""
        one = self.scenario
        return {
            "name": one.title,
            "id": one.name,
            "kind": one.kind.value,
            "resolution": one.resolution.value,
            "symbols": len(one.symbols),
            "days": one.days,
            "bars": one.total_bars,
            "latency_s": self.latency,
            "extended": one.extended,
            "series": one.series,
            "over": one.over,
            "least_requests": minimum_requests(one) if one.kind is ScenarioKind.BUDGET else None,
            "contenders": [contender.as_json(one) for contender in self.contenders],
        }


def minimum_requests(scenario: Scenario) -> int:
    """Return the lowest possible number of requests: each symbol's bars / `BARS_PER_RESPONSE`, rounded up."""
    return len(scenario.symbols) * -(-scenario.days * scenario.bars // BARS_PER_RESPONSE)
