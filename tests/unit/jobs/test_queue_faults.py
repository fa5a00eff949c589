"""Jobs whose work, store or watchers fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import BusyError, DiskFullError
from server.jobs import Job, JobQueue, JobState, JobStore
from server.jobs.queue import JobHandle

WAIT = 10.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    """A store in a file."""
    found = JobStore(tmp_path / "jobs.sqlite", lambda: datetime(2024, 6, 3, tzinfo=UTC))
    yield found
    found.close()


class BreaksWhenStopped:
    """Work that raises when it is cancelled, as iterating over a set does that another thread changes."""

    def __init__(self) -> None:
        self.began = threading.Event()

    def __call__(self, job: Job, handle: JobHandle) -> tuple[JobState, Mapping[str, Any]]:
        handle.update({"half": True})
        self.began.set()
        assert handle.cancel.wait(WAIT)
        raise RuntimeError("Set changed size during iteration")


def test_work_that_breaks_when_it_is_cancelled_is_cancelled(store: JobStore) -> None:
    """Its result so far is kept."""
    work = BreaksWhenStopped()
    queue = JobQueue(store, work)
    job = queue.submit("backtest", {})
    assert work.began.wait(WAIT)

    queue.cancel(job.id)

    found = queue.wait(job.id, WAIT)
    assert found.state is JobState.CANCELLED
    assert found.result["half"]
    assert found.result["error"]["code"] == "cancelled"
    queue.close()


def test_work_that_breaks_when_the_queue_closes_is_interrupted(store: JobStore) -> None:
    """As it would be without breaking."""
    work = BreaksWhenStopped()
    queue = JobQueue(store, work)
    job = queue.submit("backtest", {})
    assert work.began.wait(WAIT)

    queue.close(WAIT)

    assert store.get(job.id).state is JobState.INTERRUPTED


class FailsOnce:
    """Takes the place of a method of the store: raises the first time it is called for a state."""

    def __init__(self, method: Any, state: JobState, error: Exception) -> None:
        self._method = method
        self._state = state
        self._error: Exception | None = error

    def __call__(self, identity: str, state: JobState, *more: Any) -> Any:
        if state is self._state and self._error is not None:
            error, self._error = self._error, None
            raise error
        return self._method(identity, state, *more)


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.COMPLETED])
@pytest.mark.parametrize("error", [BusyError("locked"), DiskFullError("full")])
def test_a_state_that_cannot_be_stored_is_stored_later(
    store: JobStore, monkeypatch: pytest.MonkeyPatch, state: JobState, error: Exception
) -> None:
    """The job is neither lost nor left running."""
    monkeypatch.setattr(store, "update", FailsOnce(store.update, state, error))
    queue = JobQueue(store, lambda job, handle: (JobState.COMPLETED, {"whole": True}))

    job = queue.wait(queue.submit("backtest", {}).id, WAIT)

    assert (job.state, job.result) == (JobState.COMPLETED, {"whole": True})
    queue.close()


def test_a_job_whose_cancel_cannot_be_stored_still_waits(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller gets the error; the job runs in its turn."""
    go_on, began = threading.Event(), threading.Event()

    def work(job: Job, handle: JobHandle) -> tuple[JobState, Mapping[str, Any]]:
        began.set()
        assert go_on.wait(WAIT)
        return JobState.COMPLETED, {}

    monkeypatch.setattr(store, "update", FailsOnce(store.update, JobState.CANCELLED, DiskFullError("full")))
    queue = JobQueue(store, work, running=1)
    _, second = queue.submit("backtest", {}), queue.submit("backtest", {})
    assert began.wait(WAIT)

    with pytest.raises(DiskFullError):
        queue.cancel(second.id)
    go_on.set()

    assert queue.wait(second.id, WAIT).state is JobState.COMPLETED
    queue.close()
