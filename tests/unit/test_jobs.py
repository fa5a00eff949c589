"""Jobs: their store, and the queue that does them in order."""

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
    """A store in a file, whose clock goes on a second at each look."""
    seconds = count()
    found = JobStore(tmp_path / "state" / "jobs.sqlite", lambda: BEGAN + timedelta(seconds=next(seconds)))
    yield found
    found.close()


class Worker:
    """Work that waits for a word from the test, and remembers in which order it began."""

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
        handle.tell({"kind": "notice", "text": "done"})
        return JobState.COMPLETED, {"whole": True}


def test_a_job_is_kept_whole(store: JobStore) -> None:
    """What was asked, what it came to, and its times."""
    job = store.create("backtest", {"symbols": ["SPY"]}, retry_of="earlier")
    store.update(job.id, JobState.RUNNING, {})
    store.update(job.id, JobState.COMPLETED, {"bars": 390})

    found = store.get(job.id)

    assert (found.kind, found.request, found.result) == ("backtest", {"symbols": ["SPY"]}, {"bars": 390})
    assert (found.state, found.retry_of) == (JobState.COMPLETED, "earlier")
    assert found.started_at is not None
    assert found.finished_at is not None
    assert found.created_at < found.started_at < found.finished_at


def test_history_outlives_the_store(store: JobStore, tmp_path: Path) -> None:
    """A new store over the same file has the same jobs and events."""
    job = store.create("download", {})
    store.add_event(job.id, {"kind": "notice"})
    again = JobStore(tmp_path / "state" / "jobs.sqlite", lambda: BEGAN)

    assert again.get(job.id) == job
    assert [event.data for event in again.events(job.id)] == [{"kind": "notice"}]
    again.close()


def test_jobs_are_listed_newest_first_in_pages(store: JobStore) -> None:
    """As a page shows them."""
    ids = [store.create("backtest", {"n": n}).id for n in range(5)]

    assert [job.id for job in store.newest(limit=2)] == [ids[4], ids[3]]
    assert [job.id for job in store.newest(limit=2, offset=4)] == [ids[0]]
    assert store.count() == {"queued": 5}


def test_events_have_numbers_without_gaps(store: JobStore) -> None:
    """Each job's own begin at 1, so that whoever lost the stream goes on where it was."""
    first, second = store.create("backtest", {}), store.create("backtest", {})
    for n in range(4):
        store.add_event(first.id, {"n": n})
    store.add_event(second.id, {"n": 9})

    assert [event.number for event in store.events(first.id)] == [1, 2, 3, 4]
    assert [(event.number, event.data) for event in store.events(first.id, after=2)] == [(3, {"n": 2}), (4, {"n": 3})]
    assert [event.number for event in store.events(second.id)] == [1]


@pytest.mark.parametrize("state", [state for state in JobState if state.over])
def test_a_job_that_is_over_stays_as_it_is(store: JobStore, state: JobState) -> None:
    """Whatever a late worker says of it."""
    job = store.create("backtest", {})
    assert store.update(job.id, state, {"first": True})

    assert not store.update(job.id, JobState.RUNNING, {})
    assert store.get(job.id).result == {"first": True}


def test_an_unknown_job_is_a_key_error(store: JobStore) -> None:
    """So that a page can say there is none."""
    with pytest.raises(KeyError):
        store.get("nothing")


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
    """It never begins."""
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
    """The queue goes on."""

    def breaks(job: Job, handle: JobHandle) -> tuple[JobState, Mapping[str, Any]]:
        raise ZeroDivisionError

    queue = JobQueue(store, breaks, running=1)
    jobs = [queue.wait(queue.submit("backtest", {}).id, WAIT) for _ in range(2)]

    assert [job.state for job in jobs] == [JobState.FAILED] * 2
    assert jobs[0].result["error"]["code"] == "unexpected"
    queue.close()


def test_closing_interrupts_what_runs_and_leaves_what_waits(store: JobStore) -> None:
    """The next server shows the first as interrupted and does the second."""
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
    """What a server that was killed left running is shown as interrupted by the next, and can be tried again."""
    job = store.create("backtest", {})
    store.update(job.id, JobState.RUNNING, {"half": True})

    queue = JobQueue(store, Worker())

    found = store.get(job.id)
    assert (found.state, found.result) == (JobState.INTERRUPTED, {"half": True})
    last = store.events(job.id)[-1].data
    assert (last["kind"], last["state"]) == ("state", "interrupted")
    assert datetime.fromisoformat(last["at"]) >= BEGAN
    queue.close()


def test_whoever_watches_is_told_of_everything(store: JobStore) -> None:
    """States and the work's own events, with the job's id."""
    worker = Worker()
    worker.go_on.set()
    queue = JobQueue(store, worker)
    told: list[tuple[str, bool]] = []
    queue.watch(lambda identity, over: told.append((identity, over)))

    job = queue.wait(queue.submit("backtest", {}).id, WAIT)

    events = [event.data for event in store.events(job.id)]
    assert [event.get("state", event.get("text")) for event in events] == ["queued", "running", "done", "completed"]
    assert told == [(job.id, False)] * 3 + [(job.id, True)]
    queue.close()


def test_a_store_that_cannot_be_written_does_not_end_the_worker(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is lost, the next one is done."""
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
