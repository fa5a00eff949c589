"""Reads exported metrics, and makes reports to count."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from server.data_download.report import DownloadReport
from server.lean.series import Resolution
from server.observability.metrics import Metrics

INSTALLED = ("polygon", "lean-cli")
NOW = datetime(2024, 6, 3, 12, tzinfo=UTC)
DAY = date(2024, 6, 3)


def samples(metrics: Metrics) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    """Each series that is exported, by name and labels."""
    body, _ = metrics.render()
    found: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One series; None where it is not exported."""
    return samples(metrics).get(f"backtest_server_{name}", {}).get(frozenset(labels.items()))


def report(**facts: Any) -> DownloadReport:
    """A report with zero counts, except for these facts."""
    counts = dict.fromkeys(("days_requested", "days_present", "days_downloaded", "days_empty", "days_failed"), 0)
    counts |= dict.fromkeys(("api_calls", "http_cache_hits", "retries", "bytes_fetched", "bars"), 0)
    given = {"provider": "polygon", "resolution": Resolution.MINUTE, "symbols": ("SPY",), "start": DAY, "end": DAY}
    return DownloadReport(**{**counts, **given, "started_at": NOW, "finished_at": NOW, "duration_s": 2.0, **facts})
