"""The store of jobs and their events."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from loguru import logger

from server.jobs import JobState, JobStore

BEGAN = datetime(2024, 6, 3, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    """A store in a file, whose clock advances a second per call."""
    seconds = count()
    found = JobStore(tmp_path / "state" / "jobs.sqlite", lambda: BEGAN + timedelta(seconds=next(seconds)))
    yield found
    found.close()


def test_a_job_is_stored_with_all_its_values(store: JobStore) -> None:
    """Request, result and times."""
    job = store.create("backtest", {"symbols": ["SPY"]}, retry_of="earlier")
    store.update(job.id, JobState.RUNNING, {})
    store.update(job.id, JobState.COMPLETED, {"bars": 390})

    found = store.get(job.id)

    assert (found.kind, found.request, found.result) == ("backtest", {"symbols": ["SPY"]}, {"bars": 390})
    assert (found.state, found.retry_of) == (JobState.COMPLETED, "earlier")
    assert found.started_at is not None
    assert found.finished_at is not None
    assert found.created_at < found.started_at < found.finished_at


def test_jobs_are_read_from_the_file_again(store: JobStore, tmp_path: Path) -> None:
    """A new store over the same file has the same jobs and events."""
    job = store.create("download", {})
    store.add_event(job.id, {"kind": "notice"})
    again = JobStore(tmp_path / "state" / "jobs.sqlite", lambda: BEGAN)

    assert again.get(job.id) == job
    assert [event.data for event in again.events(job.id)] == [{"kind": "notice"}]
    again.close()


def test_jobs_are_listed_newest_first_in_pages(store: JobStore) -> None:
    """Limit and offset select a page."""
    ids = [store.create("backtest", {"n": n}).id for n in range(5)]

    assert [job.id for job in store.newest(limit=2)] == [ids[4], ids[3]]
    assert [job.id for job in store.newest(limit=2, offset=4)] == [ids[0]]
    assert store.count() == {"queued": 5}


def test_events_have_numbers_without_gaps(store: JobStore) -> None:
    """The numbers of each job begin at 1."""
    first, second = store.create("backtest", {}), store.create("backtest", {})
    for n in range(4):
        store.add_event(first.id, {"n": n})
    store.add_event(second.id, {"n": 9})

    assert [event.number for event in store.events(first.id)] == [1, 2, 3, 4]
    assert [(event.number, event.data) for event in store.events(first.id, after=2)] == [(3, {"n": 2}), (4, {"n": 3})]
    assert [event.number for event in store.events(second.id)] == [1]


@pytest.mark.parametrize("state", [state for state in JobState if state.over])
def test_a_job_in_a_final_state_does_not_change(store: JobStore, state: JobState) -> None:
    """A later update is ignored."""
    job = store.create("backtest", {})
    assert store.update(job.id, state, {"first": True})

    assert not store.update(job.id, JobState.RUNNING, {})
    assert store.get(job.id).result == {"first": True}


def test_an_unknown_job_is_a_key_error(store: JobStore) -> None:
    """Callers translate it."""
    with pytest.raises(KeyError):
        store.get("nothing")


def test_a_damaged_file_is_renamed_and_replaced(tmp_path: Path) -> None:
    """The server starts with an empty store; the damaged bytes are kept."""
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"not a database" * 600)
    warnings: list[str] = []
    number = logger.add(warnings.append, level="WARNING", format="{message}")

    store = JobStore(path, lambda: BEGAN)
    job = store.create("download", {})
    store.close()
    logger.remove(number)

    (kept,) = tmp_path.glob("jobs.sqlite.damaged-*")
    assert kept.read_bytes() == b"not a database" * 600
    assert len(warnings) == 1
    assert kept.name in warnings[0]
    with closing(JobStore(path, lambda: BEGAN)) as again:
        assert again.get(job.id).kind == "download"


def test_a_file_without_a_schema_version_keeps_its_jobs(tmp_path: Path, store: JobStore) -> None:
    """Earlier versions of this program recorded none."""
    job = store.create("backtest", {"symbols": ["SPY"]})
    store.close()
    path = tmp_path / "state" / "jobs.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 0")

    with closing(JobStore(path, lambda: BEGAN)) as again:
        assert again.get(job.id).request == {"symbols": ["SPY"]}
    assert not list(path.parent.glob("*.damaged-*"))
