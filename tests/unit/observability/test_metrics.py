"""Counts of events, reports and jobs, and the labels of metrics."""

from __future__ import annotations

import threading
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from prometheus_client.parser import text_string_to_metric_families

from server import __version__
from server.core.events import Event
from server.data_download.report import Failure
from server.jobs import Job, JobState, JobStore
from server.lean.series import Resolution, Series
from server.observability.metrics import (
    DAY_OUTCOMES,
    DOWNLOAD_OUTCOMES,
    Metrics,
)
from tests.support.metrics import INSTALLED, NOW, report, samples, value


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(providers=INSTALLED)


def own(metrics: Metrics) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    """The series of the server, without those of the process."""
    return {name: series for name, series in samples(metrics).items() if name.startswith("backtest_server_")}


def event(**facts: Any) -> Event:
    return Event(**{"kind": "request", "at": NOW, "provider": "polygon", **facts})


def failure(days: int, code: str) -> Failure:
    return Failure(
        series=Series("SPY", Resolution.MINUTE),
        days=tuple(date(2024, 6, 3 + number) for number in range(days)),
        error="",
        code=code,
    )


def job(state: JobState = JobState.COMPLETED, identity: str = "one", **result: Any) -> Job:
    facts: dict[str, Any] = {"phases": [{"name": "data_download", "duration_s": 1.0}], "engine": None, **result}
    return Job(
        id=identity,
        kind="backtest",
        state=state,
        request={},
        result=facts,
        retry_of=None,
        created_at=NOW,
        started_at=NOW,
        finished_at=NOW,
    )


ENGINE_RAN = [{"name": "data_download", "duration_s": 1.0}, {"name": "engine", "duration_s": 7.0}]


# --- events ---


@pytest.mark.parametrize(
    ("status", "label"),
    [
        (200, "200"),
        (401, "401"),
        (429, "429"),
        (503, "503"),
        (418, "4xx"),
        (302, "3xx"),
        (599, "5xx"),
        (None, "none"),
        (0, "other"),
        (7000, "other"),
    ],
)
def test_api_calls_are_counted_by_status(metrics: Metrics, status: int | None, label: str) -> None:
    """A usual status is its own label, any other its class; a request without an answer is counted too."""
    metrics(event(api_calls=2, status=status, bytes=100))
    metrics(event(api_calls=1, status=status, bytes=50))

    assert value(metrics, "api_calls_total", provider="polygon", code=label) == 3
    assert value(metrics, "received_bytes_total", provider="polygon") == 150


def test_a_cache_hit_is_no_api_call(metrics: Metrics) -> None:
    """A response from the HTTP cache is counted as a hit only."""
    metrics(event(cache_hits=1))

    assert value(metrics, "http_cache_hits_total", provider="polygon") == 1
    assert sum(samples(metrics)["backtest_server_api_calls_total"].values()) == 0


def test_retries_and_waits_are_counted(metrics: Metrics) -> None:
    """Waits for the budget are counted with their seconds; the wait before a retry is not counted."""
    metrics(event(kind="retry", retries=1, wait_seconds=9.0))
    metrics(event(kind="wait", wait_seconds=12.5))
    metrics(event(kind="wait", wait_seconds=0.5))

    assert value(metrics, "retries_total", provider="polygon") == 1
    assert value(metrics, "rate_limit_waits_total", provider="polygon") == 2
    assert value(metrics, "rate_limit_wait_seconds_total", provider="polygon") == 13


def test_waiting_for_another_run_is_no_rate_limit(metrics: Metrics) -> None:
    """A wait without seconds is for another run's lock, and is not counted."""
    metrics(event(kind="wait", message="another run is fetching SPY; waiting for it"))

    assert value(metrics, "rate_limit_waits_total", provider="polygon") == 0


@pytest.mark.parametrize("outcome", ["downloaded", "provisional", "empty"])
def test_days_are_counted_as_they_come(metrics: Metrics, outcome: str) -> None:
    """Days and bars grow while a download runs, by outcome and resolution."""
    metrics(event(kind="days", resolution=Resolution.SECOND, outcome=outcome, days=3, bars=70_200, symbol="SPY"))

    assert value(metrics, "day_outcomes_total", provider="polygon", resolution="second", outcome=outcome) == 3
    assert value(metrics, "bars_total", provider="polygon", resolution="second") == 70_200


@pytest.mark.parametrize("kind", ["started", "symbol", "notice", "phase", "finished"])
def test_other_events_count_nothing(metrics: Metrics, kind: str) -> None:
    """Events without increments of counted values change no metric."""
    metrics(event(kind=kind, resolution=Resolution.DAILY, days=5, days_present=7, symbol="SPY", message="words"))

    assert own(metrics) == own(Metrics(providers=INSTALLED))


def test_many_threads_lose_no_count(metrics: Metrics) -> None:
    """Events from several threads at once are all counted."""
    many = [
        threading.Thread(target=lambda: [metrics(event(api_calls=1, status=200)) for _ in range(500)]) for _ in range(4)
    ]
    for thread in many:
        thread.start()
    for thread in many:
        thread.join()

    assert value(metrics, "api_calls_total", provider="polygon", code="200") == 2000


# --- reports ---


@pytest.mark.parametrize(
    ("facts", "outcome"),
    [
        ({"days_requested": 2, "days_downloaded": 2, "api_calls": 1}, "fetched"),
        ({"days_requested": 2, "days_empty": 2, "api_calls": 1}, "fetched"),
        ({"days_requested": 2, "days_downloaded": 2}, "fetched"),
        ({"days_requested": 2, "days_downloaded": 2, "fallback": "lean-cli"}, "fallback"),
        ({"days_requested": 2, "days_present": 2}, "present"),
        ({"days_requested": 2, "days_present": 1, "days_empty": 1}, "present"),
        ({"days_requested": 2, "days_failed": 2, "failures": (failure(2, "provider_unavailable"),)}, "failed"),
        ({"days_requested": 2, "days_failed": 2, "fallback": "lean-cli"}, "failed"),
        ({"days_requested": 2, "days_failed": 2, "cancelled": True}, "cancelled"),
    ],
)
def test_downloads_are_timed_by_outcome(metrics: Metrics, facts: dict[str, Any], outcome: str) -> None:
    """The seconds of a download are counted for its outcome only."""
    metrics.download_finished(report(**facts))
    labels = {"provider": "polygon", "resolution": "minute", "outcome": outcome}

    assert value(metrics, "download_duration_seconds_sum", **labels) == 2.0
    assert value(metrics, "download_duration_seconds_count", **labels) == 1
    assert sum(samples(metrics)["backtest_server_download_duration_seconds_count"].values()) == 1


def test_days_without_an_event_are_counted_from_the_report(metrics: Metrics) -> None:
    """Present, failed and cancelled days are counted from the report; downloaded ones from events."""
    failures = (failure(2, "provider_unavailable"), failure(4, "cancelled"))
    metrics.download_finished(
        report(days_requested=20, days_present=9, days_downloaded=5, days_failed=6, failures=failures, cancelled=True)
    )

    found = {
        outcome: value(metrics, "day_outcomes_total", provider="polygon", resolution="minute", outcome=outcome)
        for outcome in DAY_OUTCOMES
    }
    assert found == {"present": 9, "downloaded": 0, "provisional": 0, "empty": 0, "failed": 2, "cancelled": 4}


# --- jobs and engines ---


def test_jobs_are_counted_by_state_when_asked(tmp_path: Path) -> None:
    """Each scrape shows the current store, with every state."""
    store = JobStore(None, lambda: NOW)
    metrics = Metrics(providers=INSTALLED, store=store)
    first = store.create("backtest", {})
    store.create("backtest", {})
    store.update(first.id, JobState.RUNNING, {})

    found = {state.value: value(metrics, "jobs", state=state.value) for state in JobState}

    assert found == {**dict.fromkeys(found, 0), "running": 1, "queued": 1}
    store.close()


@pytest.mark.parametrize(
    ("facts", "engine"),
    [
        ({"engine_name": "smoke", "engine": {"engine": "smoke"}}, "smoke"),
        ({"engine_name": "lean"}, "lean"),
        ({"engine_name": "smoke", "engine_choice": "LEAN is not installed"}, "smoke"),
        ({"engine_name": "of-tomorrow"}, "other"),
        ({"engine_name": None}, "other"),
        ({}, "other"),
    ],
)
@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED])
def test_engines_are_timed(metrics: Metrics, state: JobState, facts: dict[str, Any], engine: str) -> None:
    """The engine's seconds are counted once for the engine and the outcome, with repeated calls."""
    for _ in range(3):
        metrics.job_changed(job(state, phases=ENGINE_RAN, **facts))

    assert value(metrics, "engine_duration_seconds_sum", engine=engine, outcome=state.value) == 7.0
    assert sum(samples(metrics)["backtest_server_engine_duration_seconds_count"].values()) == 1


def test_jobs_without_an_engine_phase_time_no_engine(metrics: Metrics) -> None:
    """A job that still runs, or that ended with its download, is not counted."""
    metrics.job_changed(job(JobState.RUNNING, phases=ENGINE_RAN))
    metrics.job_changed(job(JobState.FAILED))
    metrics.job_changed(evolve(job(JobState.CANCELLED), result={}))

    assert sum(samples(metrics)["backtest_server_engine_duration_seconds_count"].values()) == 0


def test_each_of_many_jobs_is_counted(metrics: Metrics) -> None:
    """Each job is counted, in any number."""
    for number in range(1500):
        metrics.job_changed(job(identity=str(number), phases=ENGINE_RAN, engine_name="smoke"))

    assert value(metrics, "engine_duration_seconds_count", engine="smoke", outcome="completed") == 1500


# --- labels ---


def test_labels_are_bounded(metrics: Metrics) -> None:
    """Values of events, reports and jobs do not add series without bound, and no symbol is a label."""
    for number in range(300):
        name = f"provider-{number}"
        metrics(event(provider=name, symbol=f"SYM{number}", api_calls=1, status=100 + number, bytes=1, cache_hits=1))
        metrics(event(provider=name, kind="days", resolution=Resolution.DAILY, outcome="empty", days=1))
        metrics.download_finished(report(provider=name, symbols=(f"SYM{number}",)))
        metrics.job_changed(job(identity=str(number), phases=ENGINE_RAN, engine_name=name))
    found = samples(metrics)

    assert not any("SYM" in label for series in found.values() for labels in series for _, label in labels)
    labels = {label for series in found.values() for labels in series for name, label in labels if name == "provider"}
    assert labels == {*INSTALLED, "other"}
    assert sum(map(len, own(metrics).values())) < 1000


def test_series_begin_at_zero(metrics: Metrics) -> None:
    """Series with known labels exist before the first event, so that their first increase is visible."""
    found = samples(metrics)

    for outcome in DOWNLOAD_OUTCOMES:
        labels = {"provider": "lean-cli", "resolution": "second", "outcome": outcome}
        assert found["backtest_server_download_duration_seconds_count"][frozenset(labels.items())] == 0
    for name in ("retries", "http_cache_hits", "rate_limit_waits", "rate_limit_wait_seconds", "received_bytes"):
        assert len(found[f"backtest_server_{name}_total"]) == len(INSTALLED)


def test_two_servers_share_nothing() -> None:
    """Two `Metrics` of one process have separate counts."""
    one, other = Metrics(providers=INSTALLED), Metrics(providers=INSTALLED)
    one(event(cache_hits=4))

    assert value(other, "http_cache_hits_total", provider="polygon") == 0


def test_answer_is_prometheus_text(metrics: Metrics) -> None:
    """The response parses, has the version and a description of each metric, and no creation times."""
    body, content_type = metrics.render()
    families = list(text_string_to_metric_families(body.decode()))

    assert content_type.startswith("text/plain; version=")
    assert all(family.documentation for family in families)
    assert f'version="{__version__}"' in body.decode()
    assert b"_created" not in body
