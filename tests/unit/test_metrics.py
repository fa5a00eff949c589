"""Metrics: what is counted of which event, report and job, and what never becomes a label."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from prometheus_client.parser import text_string_to_metric_families

from server import __version__
from server.core.errors import ConfigurationError
from server.core.events import Event
from server.data_download.report import DownloadReport, Failure
from server.engines.choose import choose_engine
from server.jobs import Job, JobState, JobStore
from server.lean.series import Resolution, Series
from server.observability.baseline import Baseline
from server.observability.metrics import (
    DAY_OUTCOMES,
    DOWNLOAD_OUTCOMES,
    Metrics,
    engine_label,
)
from tests.support.harness import calendar

NOW = datetime(2024, 6, 3, 12, tzinfo=UTC)
DAY = date(2024, 6, 3)
INSTALLED = ("polygon", "lean-cli")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(providers=INSTALLED)


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


def own(metrics: Metrics) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    """The series that are ours, the process's left out."""
    return {name: series for name, series in samples(metrics).items() if name.startswith("backtest_server_")}


def event(**facts: Any) -> Event:
    return Event(**{"kind": "request", "at": NOW, "provider": "polygon", **facts})


def report(**facts: Any) -> DownloadReport:
    counts = dict.fromkeys(("days_requested", "days_present", "days_downloaded", "days_empty", "days_failed"), 0)
    counts |= dict.fromkeys(("api_calls", "http_cache_hits", "retries", "bytes_fetched", "bars"), 0)
    given = {"provider": "polygon", "resolution": Resolution.MINUTE, "symbols": ("SPY",), "start": DAY, "end": DAY}
    return DownloadReport(**{**counts, **given, "started_at": NOW, "finished_at": NOW, "duration_s": 2.0, **facts})


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


def test_an_answer_from_the_cache_is_no_api_call(metrics: Metrics) -> None:
    """What the HTTP cache answers counts as a hit alone."""
    metrics(event(cache_hits=1))

    assert value(metrics, "http_cache_hits_total", provider="polygon") == 1
    assert sum(samples(metrics)["backtest_server_api_calls_total"].values()) == 0


def test_retries_and_waits_are_counted(metrics: Metrics) -> None:
    """Waits for the budget are counted with their seconds; the wait before a retry is none of them."""
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
    """What a download announces is not counted beside what it does."""
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
    """A download's seconds go to how it ended, and to nothing else."""
    metrics.download_finished(report(**facts))
    labels = {"provider": "polygon", "resolution": "minute", "outcome": outcome}

    assert value(metrics, "download_duration_seconds_sum", **labels) == 2.0
    assert value(metrics, "download_duration_seconds_count", **labels) == 1
    assert sum(samples(metrics)["backtest_server_download_duration_seconds_count"].values()) == 1


def test_days_that_no_event_tells_of_are_counted_from_the_report(metrics: Metrics) -> None:
    """Present, failed and not reached days come from the report; downloaded ones were counted as they came."""
    failures = (failure(2, "provider_unavailable"), failure(4, "cancelled"))
    metrics.download_finished(
        report(days_requested=20, days_present=9, days_downloaded=5, days_failed=6, failures=failures, cancelled=True)
    )

    found = {
        outcome: value(metrics, "day_outcomes_total", provider="polygon", resolution="minute", outcome=outcome)
        for outcome in DAY_OUTCOMES
    }
    assert found == {"present": 9, "downloaded": 0, "provisional": 0, "empty": 0, "failed": 2, "cancelled": 4}


# --- the baseline ---

KEPT = """
{"provider": "polygon", "resolution": "minute", "days_downloaded": 10, "days_failed": 0, "duration_s": 1.5,
 "fallback": null, "cancelled": false, "symbols": ["SPY"]}
{"provider": "polygon", "resolution": "minute", "days_downloaded": 110, "days_failed": 0, "duration_s": 6.5,
 "fallback": null, "cancelled": false}
"""


def kept(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_baseline_counts_what_downloads_used_to_take(tmp_path: Path) -> None:
    """Kept reports of two sizes give a second for the download and a twentieth for each day."""
    metrics = Metrics(providers=INSTALLED, baseline=Baseline.read(kept(tmp_path / "kept.jsonl", KEPT)))

    assert value(metrics, "baseline_download_seconds_total", provider="polygon", resolution="minute") == 0
    metrics.download_finished(report(days_requested=20, days_downloaded=20, api_calls=1))
    metrics.download_finished(report(days_requested=5, days_failed=5))
    metrics.download_finished(report(days_requested=5, days_present=5))
    metrics.download_finished(report(resolution=Resolution.DAILY, days_requested=5, days_downloaded=5))

    assert samples(metrics)["backtest_server_baseline_download_seconds_total"] == {
        frozenset({("provider", "polygon"), ("resolution", "minute")}): pytest.approx(2.0)
    }


@pytest.mark.parametrize(
    ("points", "seconds"),
    [
        ([(10, 2.0)], 4.0),
        ([(10, 2.0), (10, 4.0)], 6.0),
        ([(10, 4.0), (30, 2.0)], 3.0),
        ([(10, 1.0), (20, 4.0)], 20 * 90 / 500),
    ],
    ids=["one", "one size", "larger was faster", "less than nothing for the download itself"],
)
def test_no_part_of_a_cost_is_below_zero(tmp_path: Path, points: list[tuple[int, float]], seconds: float) -> None:
    """However the kept downloads lie, a download of twenty days is expected to take a time that makes sense."""
    line = (
        '{{"provider": "polygon", "resolution": "minute", "days_downloaded": {}, "days_failed": 0, "duration_s": {}, '
        '"fallback": null, "cancelled": false}}\n'
    )
    text = "".join(line.format(*point) for point in points)

    found = Baseline.read(kept(tmp_path / "kept.jsonl", text))

    assert found.seconds(report(days_downloaded=20)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("", "holds no download that fetched all it asked for"),
        ("not JSON", "does not hold what backtest-server download --json prints"),
        ('{"provider": "polygon"}', "does not hold what backtest-server download --json prints"),
        (KEPT.replace('"fallback": null', '"fallback": "lean-cli"'), "holds no download"),
        (KEPT.replace('"days_failed": 0', '"days_failed": 1'), "holds no download"),
        (KEPT.replace('"cancelled": false', '"cancelled": true'), "holds no download"),
        (KEPT.replace('"days_downloaded": 1', '"days_downloaded": 0, "bars": 1'), "holds no download"),
    ],
)
def test_a_baseline_that_tells_nothing_is_refused(tmp_path: Path, text: str | None, words: str) -> None:
    """A file that cannot be a measure is an error that names it, not a limit that never alarms."""
    path = tmp_path / "kept.jsonl"
    if text is not None:
        kept(path, text)

    with pytest.raises(ConfigurationError, match=words) as caught:
        Baseline.read(path)

    assert str(path) in str(caught.value)


# --- jobs and engines ---


def test_jobs_are_counted_by_state_when_asked(tmp_path: Path) -> None:
    """Each scrape shows the store as it is then, every state included."""
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
        ({"engine": {"engine": "smoke"}}, "smoke"),
        ({"engine": {"engine": "lean"}}, "lean"),
        ({"engine": {"engine": "of-tomorrow"}}, "other"),
        ({"engine_choice": "LEAN, as asked for"}, "lean"),
        ({"engine_choice": "the smoke test, since LEAN cannot run here: no Docker"}, "smoke"),
        ({"engine_choice": None}, "other"),
    ],
)
@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED])
def test_engines_are_timed(metrics: Metrics, state: JobState, facts: dict[str, Any], engine: str) -> None:
    """The engine's seconds go to the engine and to how the job ended, once, however often the job is shown."""
    for _ in range(3):
        metrics.job_changed(job(state, phases=ENGINE_RAN, **facts))

    assert value(metrics, "engine_duration_seconds_sum", engine=engine, outcome=state.value) == 7.0
    assert sum(samples(metrics)["backtest_server_engine_duration_seconds_count"].values()) == 1


def test_engines_are_known_by_the_words_of_their_choice(tmp_path: Path) -> None:
    """Why an engine was chosen names the engine, as the choice words it today."""
    for program in ("lean", "docker"):
        (tmp_path / program).write_text("", encoding="utf-8")
        (tmp_path / program).chmod(0o755)
    (tmp_path / "lean.json").write_text("{}", encoding="utf-8")
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.py").write_text("", encoding="utf-8")

    for wanted, there, engine in (
        ("smoke", True, "smoke"),
        ("auto", False, "smoke"),
        ("auto", True, "lean"),
        ("lean", True, "lean"),
    ):
        chosen, why = choose_engine(
            wanted,
            project=project,
            calendar=calendar(),
            clock=lambda: NOW,
            environ={"PATH": str(tmp_path)},
            docker_problem=lambda path, there=there: None if there else "Docker does not answer",
        )
        assert (chosen.name, engine_label(job(JobState.FAILED, engine_choice=why))) == (engine, engine), why


def test_jobs_without_an_engine_phase_time_no_engine(metrics: Metrics) -> None:
    """A job that runs still, or that ended with its download, says nothing of an engine."""
    metrics.job_changed(job(JobState.RUNNING, phases=ENGINE_RAN))
    metrics.job_changed(job(JobState.FAILED))
    metrics.job_changed(evolve(job(JobState.CANCELLED), result={}))

    assert sum(samples(metrics)["backtest_server_engine_duration_seconds_count"].values()) == 0


def test_many_jobs_are_counted_without_being_kept(metrics: Metrics) -> None:
    """However many jobs end, each is counted, and only the last thousand are remembered."""
    for number in range(1500):
        metrics.job_changed(job(identity=str(number), phases=ENGINE_RAN, engine={"engine": "smoke"}))

    assert value(metrics, "engine_duration_seconds_count", engine="smoke", outcome="completed") == 1500
    assert len(metrics._told) == 1000


# --- labels ---


def test_labels_are_bounded(metrics: Metrics) -> None:
    """Whatever events, reports and jobs bring, the number of series stays, and no symbol is a label."""
    for number in range(300):
        name = f"provider-{number}"
        metrics(event(provider=name, symbol=f"SYM{number}", api_calls=1, status=100 + number, bytes=1, cache_hits=1))
        metrics(event(provider=name, kind="days", resolution=Resolution.DAILY, outcome="empty", days=1))
        metrics.download_finished(report(provider=name, symbols=(f"SYM{number}",)))
        metrics.job_changed(job(identity=str(number), phases=ENGINE_RAN, engine={"engine": name}))
    found = samples(metrics)

    assert not any("SYM" in label for series in found.values() for labels in series for _, label in labels)
    labels = {label for series in found.values() for labels in series for name, label in labels if name == "provider"}
    assert labels == {*INSTALLED, "other"}
    assert sum(map(len, own(metrics).values())) < 1000


def test_series_begin_at_zero(metrics: Metrics) -> None:
    """What can be known beforehand is there before anything happened, so that its first increase is seen."""
    found = samples(metrics)

    for outcome in DOWNLOAD_OUTCOMES:
        labels = {"provider": "lean-cli", "resolution": "second", "outcome": outcome}
        assert found["backtest_server_download_duration_seconds_count"][frozenset(labels.items())] == 0
    for name in ("retries", "http_cache_hits", "rate_limit_waits", "rate_limit_wait_seconds", "received_bytes"):
        assert len(found[f"backtest_server_{name}_total"]) == len(INSTALLED)


def test_two_servers_share_nothing() -> None:
    """Metrics of one process do not see each other's counts."""
    one, other = Metrics(providers=INSTALLED), Metrics(providers=INSTALLED)
    one(event(cache_hits=4))

    assert value(other, "http_cache_hits_total", provider="polygon") == 0


def test_answer_is_prometheus_text(metrics: Metrics) -> None:
    """The answer parses, names the version, explains each metric, and leaves out when series were made."""
    body, content_type = metrics.render()
    families = list(text_string_to_metric_families(body.decode()))

    assert content_type.startswith("text/plain; version=")
    assert all(family.documentation for family in families)
    assert f'version="{__version__}"' in body.decode()
    assert b"_created" not in body
