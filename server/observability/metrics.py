"""Metrics for Prometheus: counts events of downloads and renders the response of `/metrics`.

docs/observability/ describes each metric and how to alert on it. The number of label values is bounded: providers are
the installed ones, HTTP statuses the known ones, and symbols are not labels.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterable
from itertools import product
from typing import get_args

from attrs import frozen
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, Info, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from server import __version__
from server.core.errors import Cancelled
from server.core.events import Event
from server.data_download.report import DownloadReport
from server.jobs import Job, JobState, JobStore
from server.lean.series import Resolution
from server.observability.baseline import Baseline
from server.settings.core import EngineName

PREFIX = "backtest_server_"
OTHER = "other"
"""The label for values that are not known."""

DAY_OUTCOMES = ("present", "downloaded", "provisional", "empty", "failed", "cancelled")
DOWNLOAD_OUTCOMES = ("fetched", "fallback", "present", "failed", "cancelled")
ENGINES = tuple(name for name in get_args(EngineName) if name != "auto")

_STATUSES = frozenset({200, 400, 401, 403, 404, 408, 429, 500, 502, 503, 504})
_DOWNLOAD_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_ENGINE_SECONDS = (0.25, 1, 5, 15, 60, 300, 900, 3600, 10800)
_REMEMBERED_JOBS = 1000


class Metrics:
    """The metrics of one server, in their own registry (an `EventListener`). Thread-safe.

    Series whose labels are known in advance start at zero, so that Prometheus sees their first increase.
    """

    def __init__(
        self, *, providers: Iterable[str] = (), store: JobStore | None = None, baseline: Baseline | None = None
    ) -> None:
        """Create the metrics, all at zero.

        Args:
            providers: The installed providers; any other is counted as ``other``.
            store: The store whose jobs are counted at each scrape.
            baseline: The expected times of downloads.
        """
        self._providers = frozenset(providers)
        self._baseline = baseline
        self._lock = threading.Lock()
        self._counted_jobs: dict[str, None] = {}
        self._registry = CollectorRegistry()
        self._make_download_metrics()
        self._engine_duration = Histogram(
            f"{PREFIX}engine_duration_seconds",
            "Seconds that an engine ran, by how its backtest ended.",
            ["engine", "outcome"],
            buckets=_ENGINE_SECONDS,
            registry=self._registry,
        )
        build = Info(f"{PREFIX}build", "The version that runs, always 1.", registry=self._registry)
        build.info({"version": __version__, "python": platform.python_version()})
        if store is not None:
            self._registry.register(_Jobs(store))
        ProcessCollector(registry=self._registry)
        self._begin_at_zero()

    def _make_download_metrics(self) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(PREFIX + name, meaning, labels, registry=self._registry)

        self._api_calls = counter(
            "api_calls_total", "Requests sent to a provider's API, by the status of the response.", "provider", "code"
        )
        self._cache_hits = counter("http_cache_hits_total", "Requests answered from the HTTP cache.", "provider")
        self._retries = counter("retries_total", "Requests that failed temporarily and were sent again.", "provider")
        self._waits = counter(
            "rate_limit_waits_total", "Number of times a request waited for the request budget.", "provider"
        )
        self._wait_seconds = counter(
            "rate_limit_wait_seconds_total",
            "Seconds that requests waited for the budget, added up over requests.",
            "provider",
        )
        self._bytes = counter(
            "received_bytes_total", "Bytes of responses as received, before decompression.", "provider"
        )
        self._bars = counter("bars_total", "Bars written to the data folder.", "provider", "resolution")
        self._days = counter(
            "day_outcomes_total",
            "Requested symbol-days by outcome.",
            "provider",
            "resolution",
            "outcome",
        )
        self._download_duration = Histogram(
            f"{PREFIX}download_duration_seconds",
            "Seconds that a download took, waits included, by how it ended.",
            ["provider", "resolution", "outcome"],
            buckets=_DOWNLOAD_SECONDS,
            registry=self._registry,
        )
        self._baseline_seconds = counter(
            "baseline_download_seconds_total",
            "Seconds that the downloads with the outcome fetched would have taken by the archived baseline.",
            "provider",
            "resolution",
        )

    def _begin_at_zero(self) -> None:
        resolutions = [resolution.value for resolution in Resolution]
        for provider in sorted(self._providers):
            self._api_calls.labels(provider, "200")
            for counter in (self._cache_hits, self._retries, self._waits, self._wait_seconds, self._bytes):
                counter.labels(provider)
            for resolution in resolutions:
                self._bars.labels(provider, resolution)
                for outcome in DAY_OUTCOMES:
                    self._days.labels(provider, resolution, outcome)
                for outcome in DOWNLOAD_OUTCOMES:
                    self._download_duration.labels(provider, resolution, outcome)
        for provider, known in self._baseline.costs if self._baseline else ():
            self._baseline_seconds.labels(self._provider(provider), known.value)
        for engine, state in product(ENGINES, (state for state in JobState if state.over)):
            self._engine_duration.labels(engine, state.value)

    def __call__(self, event: Event, /) -> None:
        """Count an event."""
        provider = self._provider(event.provider)
        if event.api_calls:
            self._api_calls.labels(provider, status_label(event.status)).inc(event.api_calls)
        if event.cache_hits:
            self._cache_hits.labels(provider).inc(event.cache_hits)
        if event.retries:
            self._retries.labels(provider).inc(event.retries)
        if event.bytes:
            self._bytes.labels(provider).inc(event.bytes)
        if event.kind == "wait" and event.wait_seconds > 0:  # a wait without seconds is for another run
            self._waits.labels(provider).inc()
            self._wait_seconds.labels(provider).inc(event.wait_seconds)
        if event.kind == "days" and event.resolution is not None and event.outcome:
            self._days.labels(provider, event.resolution.value, event.outcome).inc(event.days)
            self._bars.labels(provider, event.resolution.value).inc(event.bars)
        if event.report is not None:
            self.download_finished(event.report)

    def download_finished(self, report: DownloadReport) -> None:
        """Count a download, and its days without an event: present, failed and cancelled."""
        labels = (self._provider(report.provider), report.resolution.value)
        outcome = download_outcome(report)
        self._download_duration.labels(*labels, outcome).observe(report.duration_s)
        self._days.labels(*labels, "present").inc(report.days_present)
        for failure in report.failures:
            end = "cancelled" if failure.code == Cancelled.code else "failed"
            self._days.labels(*labels, end).inc(len(failure.days))
        usual = self._baseline.seconds(report) if self._baseline and outcome == "fetched" else None
        if usual is not None:
            self._baseline_seconds.labels(*labels).inc(usual)

    def job_changed(self, job: Job) -> None:
        """Count the engine's seconds of a job that is over, once however often it is called."""
        if not job.state.over:
            return
        with self._lock:
            if job.id in self._counted_jobs:
                return
            self._counted_jobs[job.id] = None
            if len(self._counted_jobs) > _REMEMBERED_JOBS:
                del self._counted_jobs[next(iter(self._counted_jobs))]
        for phase in job.result.get("phases", ()):
            if phase["name"] == "engine":
                self._engine_duration.labels(engine_label(job), job.state.value).observe(phase["duration_s"])

    def render(self) -> tuple[bytes, str]:
        """Return the body and the content type of the response to Prometheus."""
        return generate_latest(_WithoutCreationTimes(self._registry)), CONTENT_TYPE_LATEST

    def _provider(self, name: str) -> str:
        return name if name in self._providers else OTHER


def status_label(status: int | None) -> str:
    """Return the label of an HTTP status: itself if it is known, else its class; ``none`` without a response."""
    if status is None:
        return "none"
    if status in _STATUSES:
        return str(status)
    return f"{status // 100}xx" if 100 <= status < 600 else OTHER


def download_outcome(report: DownloadReport) -> str:
    """Return how a download ended.

    Returns:
        ``cancelled``; ``failed`` if days failed; ``fallback`` if the fallback delivered days; ``fetched`` if its own
        provider delivered all missing days; ``present`` if no day was missing.
    """
    if report.cancelled:
        return "cancelled"
    if report.days_failed:
        return "failed"
    if report.fallback:
        return "fallback"
    return "fetched" if report.days_downloaded or report.api_calls or report.http_cache_hits else "present"


def engine_label(job: Job) -> str:
    """Return the label of a job's engine: its name if it is known."""
    name = str(job.result.get("engine_name"))
    return name if name in ENGINES else OTHER


@frozen(eq=False)
class _Jobs(Collector):
    """Counts the jobs by state at each scrape."""

    store: JobStore

    def describe(self) -> Iterable[Metric]:
        """Return the metric without values, so that registering it reads nothing."""
        yield self._family()

    def collect(self) -> Iterable[Metric]:
        """Return the metric with its current values."""
        family, counts = self._family(), self.store.count()
        for state in JobState:
            family.add_metric([state.value], counts.get(state.value, 0))
        yield family

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"{PREFIX}jobs", "Jobs in the history by their state.", labels=["state"])


@frozen(eq=False)
class _WithoutCreationTimes(Collector):
    """A view of a registry without the creation times of series, which would double their number."""

    registry: CollectorRegistry

    def collect(self) -> Iterable[Metric]:
        """Return the metrics without creation times."""
        for metric in self.registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
