"""BacktestManager: what it refuses, what a job stores, and how jobs end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve

from server.backtest import BacktestRequest
from server.backtest_server import BacktestManager
from server.core.cancel import CancelToken
from server.core.errors import ConfigurationError
from server.core.events import EventListener, EventStream
from server.core.json import from_json
from server.core.secret import Secret
from server.data_download.errors import ProviderUnavailable
from server.data_download.request import DownloadRequest
from server.jobs import JobState
from server.jobs.queue import MAX_RUNNING
from server.lean.series import Resolution

OWN = {"symbols": ("SPY",), "resolution": Resolution.SECOND, "start": date(2024, 2, 1), "end": date(2024, 2, 2)}
NOW = datetime(2024, 6, 3, tzinfo=UTC)


class NoWorkspace:
    """A workspace with a stream of events only: reading any other attribute fails the test."""

    def events(self, *listeners: EventListener) -> EventStream:
        """The stream."""
        return EventStream(lambda: NOW, listeners)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was read")


def chosen(engine: str, provider: str) -> SimpleNamespace:
    """Settings with this engine and this provider."""
    return SimpleNamespace(
        engine=engine,
        chosen_provider=SimpleNamespace(name=provider),
        lean_config=None,
        data_folder=Path("data"),
    )


class Workspace:
    """A workspace whose downloads are what a test says, with the engine and the provider of its settings."""

    def __init__(self, download: Callable[[DownloadRequest], object]) -> None:
        self.settings = chosen("smoke", "polygon")
        self.calendar = None
        self._download = download

    def clock(self) -> datetime:
        """The instant of all tests."""
        return NOW

    def events(self, *listeners: EventListener) -> EventStream:
        """The stream."""
        return EventStream(self.clock, listeners)

    def secrets(self) -> list[Secret]:
        """No secrets."""
        return []

    def downloader(self, **_: object) -> Any:
        """A downloader whose download is the test's."""
        return SimpleNamespace(download=lambda request, cancel: self._download(request))


def manager(workspace: object = None) -> BacktestManager:
    """A manager; without a workspace it may read nothing from it."""
    found: Any = workspace or NoWorkspace()
    return BacktestManager(found, environ={})


def test_a_bad_request_is_a_failed_result() -> None:
    """`run` raises nothing of ours, touches nothing, and gives the error."""
    found = manager()

    result = found.run(BacktestRequest())

    assert result.state is JobState.FAILED
    assert isinstance(result.error, ConfigurationError)
    assert (result.phases, result.download, result.engine_result) == ((), None, None)
    found.close()


def test_a_bad_request_is_not_queued() -> None:
    """`submit` refuses it there and then."""
    found = manager()

    with pytest.raises(ConfigurationError):
        found.submit(BacktestRequest())
    found.close()


def test_a_backtest_that_is_cancelled_before_it_begins_does_nothing() -> None:
    """Not even the first phase is entered."""
    cancel = CancelToken()
    cancel.cancel()
    found = manager()

    result = found.run(BacktestRequest(**OWN), cancel)

    assert result.state is JobState.CANCELLED
    assert result.phases == ()
    found.close()


@pytest.mark.parametrize("method", ["status", "cancel", "retry"])
def test_an_unknown_job(method: str) -> None:
    """It is a KeyError."""
    found = manager(Workspace(lambda request: None))

    with pytest.raises(KeyError):
        getattr(found, method)("nothing")
    found.close()


# --- what a job stores ---


def down(request: DownloadRequest) -> None:
    """A download that fails."""
    raise ProviderUnavailable("it is down")


def write_project(folder: Path, symbol: str) -> Path:
    """A LEAN project of one symbol."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    (folder / "main.py").touch()
    text = f'symbols = ["{symbol}"]\nresolution = "daily"\nstart = "2024-01-03"\nend = "2024-01-10"\n'
    (folder / "config" / "parameters.py").write_text(text)
    return folder


def test_a_job_stores_the_resolved_request(tmp_path: Path) -> None:
    """Symbols, resolution and days of the project, engine and provider of the settings."""
    found = manager(Workspace(down))
    project = write_project(tmp_path / "Mine", "AAPL")

    job = found.status(found.submit(BacktestRequest(project=project)))

    assert job.request == {
        "project": str(project),
        "symbols": ["AAPL"],
        "resolution": "daily",
        "start": "2024-01-03",
        "end": "2024-01-10",
        "engine": "smoke",
        "provider": "polygon",
        "only_data": False,
        "allow_damaged": False,
        "fill": True,
    }
    found.close()


def test_a_download_stores_no_engine() -> None:
    """It runs none."""
    found = manager(Workspace(down))

    job = found.status(found.submit(BacktestRequest(**OWN, only_data=True)))

    assert (job.kind, job.request["engine"], job.request["provider"]) == ("download", None, "polygon")
    found.close()


def test_values_of_the_request_override_the_settings() -> None:
    """Engine and provider are stored as given."""
    found = manager(Workspace(down))

    job = found.status(found.submit(BacktestRequest(**OWN, engine="lean", provider="other")))

    assert (job.request["engine"], job.request["provider"]) == ("lean", "other")
    found.close()


def test_a_retry_runs_the_same_backtest(tmp_path: Path) -> None:
    """Although the project's parameters and the settings have changed since."""
    downloads: list[DownloadRequest] = []

    def download(request: DownloadRequest) -> None:
        downloads.append(request)
        down(request)

    workspace = Workspace(download)
    found = manager(workspace)
    project = write_project(tmp_path / "Mine", "AAPL")
    first = found.jobs.wait(found.submit(BacktestRequest(project=project)), 10)

    write_project(project, "MSFT")
    workspace.settings = chosen("lean", "other")
    second = found.jobs.wait(found.retry(first.id), 10)
    project.rename(tmp_path / "moved")
    third = found.jobs.wait(found.retry(second.id), 10)

    assert first.request == second.request == third.request
    assert (second.retry_of, third.retry_of) == (first.id, second.id)
    assert [request.symbols for request in downloads] == [("AAPL",)] * 3
    found.close()


def test_a_request_that_an_earlier_version_stored_is_resolved_by_its_retry(tmp_path: Path) -> None:
    """Earlier versions stored the request as it was given."""
    found = manager(Workspace(down))
    project = write_project(tmp_path / "Mine", "AAPL")
    names = ("symbols", "resolution", "start", "end", "engine", "provider")
    earlier = {"project": str(project), **dict.fromkeys(names), "only_data": False}
    job = found.jobs.store.create("backtest", earlier)

    retry = found.status(found.retry(job.id))

    resolved = BacktestRequest(
        project=project,
        symbols=("AAPL",),
        resolution=Resolution.DAILY,
        start=date(2024, 1, 3),
        end=date(2024, 1, 10),
        engine="smoke",
        provider="polygon",
    )
    assert from_json(retry.request, BacktestRequest) == resolved
    assert from_json(job.request, BacktestRequest) == evolve(
        resolved, symbols=None, resolution=None, start=None, end=None, engine=None, provider=None
    )
    found.close()


# --- how jobs end ---


def test_a_job_that_fails_unexpectedly_has_failed() -> None:
    """It does not remain running."""

    def fails(request: DownloadRequest) -> None:
        raise ZeroDivisionError

    found = manager(Workspace(fails))
    job = found.jobs.wait(found.submit(BacktestRequest(**OWN, only_data=True)), 10)

    assert job.state is JobState.FAILED
    assert "ended unexpectedly (ZeroDivisionError)" in job.result["error"]["message"]
    found.close()


def test_a_queued_job_is_cancelled_at_once() -> None:
    """It does not wait for the running jobs."""
    begun, go_on = threading.Semaphore(0), threading.Event()

    def waits(request: DownloadRequest) -> None:
        begun.release()
        go_on.wait(10)
        down(request)

    found = manager(Workspace(waits))
    jobs = [found.submit(BacktestRequest(**OWN, only_data=True)) for _ in range(MAX_RUNNING + 1)]
    for _ in range(MAX_RUNNING):
        assert begun.acquire(timeout=10)
    assert found.status(jobs[-1]).state is JobState.QUEUED

    found.cancel(jobs[-1])

    assert found.status(jobs[-1]).state is JobState.CANCELLED
    assert [found.status(job).state for job in jobs[:-1]] == [JobState.RUNNING] * MAX_RUNNING
    go_on.set()
    found.close()
