"""The queue that runs jobs in order."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from server.jobs import Job, JobQueue, JobState, JobStore
from server.jobs.queue import JobHandle

BEGAN = datetime(2024, 6, 3, 12, tzinfo=UTC)
WAIT = 10.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    """A store in a file, whose clock advances a second per call."""
    seconds = count()
    found = JobStore(tmp_path / "state" / "jobs.sqlite", lambda: BEGAN + timedelta(seconds=next(seconds)))
    yield found
    found.close()


class Worker:
    """Work that waits for a signal from the test, and records the order of its jobs."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.begin = threading.Semaphore(0)
        self.go_on = threading.Event()

    def __call__(self, job: Job, handle: JobHandle) -> tuple[JobState, Mapping[str, Any]]:
        self.began.append(job.id)
        self.begin.release()
        handle.update({"half": True})
        while not self.go_on.wait(0.01):
            if handle.cancel.cancelled:
                return JobState.CANCELLED, {"half": True}
        handle.emit({"kind": "notice", "text": "done"})
        return JobState.COMPLETED, {"whole": True}


def test_jobs_begin_in_order_and_two_at_once(store: JobStore) -> None:
    """The third waits for one of the first two to end."""
    worker = Worker()
    queue = JobQueue(store, worker, running=2)
    ids = [queue.submit("backtest", {}).id for _ in range(4)]
    for _ in range(2):
        assert worker.begin.acquire(timeout=WAIT)

    assert sorted(worker.began) == sorted(ids[:2])
    assert store.count() == {"queued": 2, "running": 2}

    worker.go_on.set()
    assert [queue.wait(identity, WAIT).state for identity in ids] == [JobState.COMPLETED] * 4
    assert store.get(ids[0]).result == {"whole": True}
    queue.close()


def test_a_queued_job_is_cancelled_at_once(store: JobStore) -> None:
    """It does not start."""
    worker = Worker()
    queue = JobQueue(store, worker, running=1)
    first, second = queue.submit("backtest", {}), queue.submit("backtest", {})
    assert worker.begin.acquire(timeout=WAIT)

    assert queue.cancel(second.id).state is JobState.CANCELLED

    worker.go_on.set()
    assert queue.wait(first.id, WAIT).state is JobState.COMPLETED
    assert worker.began == [first.id]
    queue.close()


def test_a_running_job_is_cancelled(store: JobStore) -> None:
    """Its result so far is kept."""
    worker = Worker()
    queue = JobQueue(store, worker)
    job = queue.submit("backtest", {})
    assert worker.begin.acquire(timeout=WAIT)

    queue.cancel(job.id)

    found = queue.wait(job.id, WAIT)
    assert (found.state, found.result) == (JobState.CANCELLED, {"half": True})
    queue.close()


def test_work_that_breaks_is_a_failed_job(store: JobStore) -> None:
    """The queue continues with the next job."""

    def breaks(job: Job, handle: JobHandle) -> tuple[JobState, Mapping[str, Any]]:
        raise ZeroDivisionError

    queue = JobQueue(store, breaks, running=1)
    jobs = [queue.wait(queue.submit("backtest", {}).id, WAIT) for _ in range(2)]

    assert [job.state for job in jobs] == [JobState.FAILED] * 2
    assert jobs[0].result["error"]["code"] == "unexpected"
    queue.close()


def test_closing_interrupts_what_runs_and_leaves_what_waits(store: JobStore) -> None:
    """The next server shows the first as interrupted and runs the second."""
    worker = Worker()
    queue = JobQueue(store, worker, running=1)
    first, second = queue.submit("backtest", {}), queue.submit("backtest", {})
    assert worker.begin.acquire(timeout=WAIT)

    queue.close(WAIT)

    assert [store.get(job.id).state for job in (first, second)] == [JobState.INTERRUPTED, JobState.QUEUED]
    worker.go_on.set()
    later = JobQueue(store, worker)
    assert later.wait(second.id, WAIT).state is JobState.COMPLETED
    later.close()


def test_a_crash_leaves_interrupted_jobs(store: JobStore) -> None:
    """A job that was running when its server was killed becomes interrupted when the next server starts."""
    job = store.create("backtest", {})
    store.update(job.id, JobState.RUNNING, {"half": True})

    queue = JobQueue(store, Worker())

    found = store.get(job.id)
    assert (found.state, found.result) == (JobState.INTERRUPTED, {"half": True})
    last = store.events(job.id)[-1].data
    assert (last["kind"], last["state"]) == ("state", "interrupted")
    assert datetime.fromisoformat(last["at"]) >= BEGAN
    queue.close()


def test_watchers_are_called_for_every_event(store: JobStore) -> None:
    """States and the work's own events, with the job's id."""
    worker = Worker()
    worker.go_on.set()
    queue = JobQueue(store, worker)
    seen: list[tuple[str, bool]] = []
    queue.watch(lambda identity, over: seen.append((identity, over)))

    job = queue.wait(queue.submit("backtest", {}).id, WAIT)

    events = [event.data for event in store.events(job.id)]
    assert [event.get("state", event.get("text")) for event in events] == ["queued", "running", "done", "completed"]
    assert seen == [(job.id, False)] * 3 + [(job.id, True)]
    queue.close()


def test_a_store_that_cannot_be_written_does_not_end_the_worker(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is not updated, the next one completes."""
    worker = Worker()
    worker.go_on.set()
    queue = JobQueue(store, worker, running=1)
    full = threading.Event()
    write = store.update

    def fails_once(*arguments: Any, **more: Any) -> bool:
        if not full.is_set():
            full.set()
            raise sqlite3.OperationalError("database or disk is full")
        return write(*arguments, **more)

    monkeypatch.setattr(store, "update", fails_once)
    queue.submit("backtest", {})
    second = queue.submit("backtest", {})

    assert queue.wait(second.id, WAIT).state is JobState.COMPLETED
    assert queue.alive
    queue.close()
