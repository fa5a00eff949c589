"""Stores jobs and their events in one SQLite file."""

from __future__ import annotations

import enum
import json
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from server.core.sqlite import open_database, transaction

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, state TEXT NOT NULL,
    request TEXT NOT NULL, result TEXT NOT NULL, retry_of TEXT, created_at REAL NOT NULL,
    started_at REAL, finished_at REAL
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state);
CREATE TABLE IF NOT EXISTS events (
    job TEXT NOT NULL, number INTEGER NOT NULL, data TEXT NOT NULL, PRIMARY KEY (job, number)
) WITHOUT ROWID;
"""
_VERSION = 1
_COLUMNS = "id, kind, state, request, result, retry_of, created_at, started_at, finished_at"

KEPT_JOBS = 500
"""Number of jobs whose events are stored; of older jobs only the result is."""


class JobState(enum.Enum):
    """State of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def over(self) -> bool:
        """Whether the state is final."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


@frozen(kw_only=True)
class Job:
    """One job. ``request`` and ``result`` are JSON objects that only the work of the job interprets."""

    id: str
    kind: str
    state: JobState
    request: dict[str, Any]
    result: dict[str, Any]
    retry_of: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@frozen
class JobEvent:
    """An event of a job; numbers ascend by one from 1."""

    number: int
    data: dict[str, Any]


class JobStore:
    """Jobs in a SQLite file. Thread-safe."""

    def __init__(self, path: Path | None, clock: Callable[[], datetime]) -> None:
        """Open the file, creating it if necessary; a damaged one is renamed, and an empty one takes its place.

        Args:
            path: The file; None stores the jobs in memory.
            clock: Returns the instant now, in UTC.
        """
        self.clock = clock
        self._lock = threading.RLock()
        self._connection = open_database(path, schema=_SCHEMA, version=_VERSION, warn=_warn)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def create(
        self, kind: str, request: Mapping[str, Any], retry_of: str | None = None, event: Mapping[str, Any] | None = None
    ) -> Job:
        """Store a new, queued job.

        Args:
            kind: `backtest` or `download`.
            request: Its request, in JSON's types.
            retry_of: The id of the job that it repeats.
            event: Its first event.
        """
        identity = uuid.uuid4().hex[:12]
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO jobs (id, kind, state, request, result, retry_of, created_at)"
                " VALUES (?, ?, 'queued', ?, '{}', ?, ?)",
                (identity, kind, json.dumps(request), retry_of, self.clock().timestamp()),
            )
            if event is not None:
                _add_event(connection, identity, event)
            connection.execute(
                "DELETE FROM events WHERE job IN (SELECT id FROM jobs ORDER BY number DESC LIMIT -1 OFFSET ?)",
                (KEPT_JOBS,),
            )
        return self.get(identity)

    def get(self, identity: str) -> Job:
        """Return one job.

        Raises:
            KeyError: No job has this id.
        """
        rows = self._rows(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", identity)  # noqa: S608
        if not rows:
            raise KeyError(identity)
        return _job(rows[0])

    def newest(self, *, limit: int, offset: int = 0) -> list[Job]:
        """Return jobs, newest first."""
        sql = f"SELECT {_COLUMNS} FROM jobs ORDER BY number DESC LIMIT ? OFFSET ?"  # noqa: S608
        return [_job(row) for row in self._rows(sql, limit, offset)]

    def queued(self) -> list[Job]:
        """Return the queued jobs, in order."""
        sql = f"SELECT {_COLUMNS} FROM jobs WHERE state = 'queued' ORDER BY number"  # noqa: S608
        return [_job(row) for row in self._rows(sql)]

    def count(self) -> dict[str, int]:
        """Return the number of jobs in each state that occurs."""
        return dict(self._rows("SELECT state, COUNT(*) FROM jobs GROUP BY state"))

    def update(
        self, identity: str, state: JobState, result: Mapping[str, Any], event: Mapping[str, Any] | None = None
    ) -> bool:
        """Store a job's state and result, and the event of the change in the same transaction.

        Returns:
            Whether the job changed; one in a final state does not.
        """
        now = self.clock().timestamp()
        with self._writing() as connection:
            changed = connection.execute(
                "UPDATE jobs SET state = ?, result = ?,"
                " started_at = CASE WHEN ? = 'running' THEN COALESCE(started_at, ?) ELSE started_at END,"
                " finished_at = CASE WHEN ? THEN ? ELSE NULL END"
                " WHERE id = ? AND state IN ('queued', 'running')",
                (state.value, json.dumps(result), state.value, now, state.over, now, identity),
            ).rowcount
            if changed and event is not None:
                _add_event(connection, identity, event)
        return changed > 0

    def interrupt_running(self, event: Mapping[str, Any] | None = None) -> list[str]:
        """Mark the running jobs as interrupted, and add the event to each.

        Returns:
            Their ids.
        """
        with self._writing() as connection:
            ids = [identity for (identity,) in connection.execute("SELECT id FROM jobs WHERE state = 'running'")]
            connection.execute(
                "UPDATE jobs SET state = 'interrupted', finished_at = ? WHERE state = 'running'",
                (self.clock().timestamp(),),
            )
            if event is not None:
                for identity in ids:
                    _add_event(connection, identity, event)
        return ids

    def add_event(self, identity: str, data: Mapping[str, Any]) -> int:
        """Store an event of a job and return its number."""
        with self._writing() as connection:
            return _add_event(connection, identity, data)

    def events(self, identity: str, after: int = 0, limit: int = 1000) -> list[JobEvent]:
        """Return the events of a job after the event of this number, in order."""
        sql = "SELECT number, data FROM events WHERE job = ? AND number > ? ORDER BY number LIMIT ?"
        return [JobEvent(number, json.loads(data)) for number, data in self._rows(sql, identity, after, limit)]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, transaction(self._connection) as connection:
            yield connection

    def _rows(self, sql: str, *values: object) -> list[Any]:
        with self._lock, closing(self._connection.execute(sql, values)) as cursor:
            return cursor.fetchall()


def _add_event(connection: sqlite3.Connection, identity: str, data: Mapping[str, Any]) -> int:
    (number,) = connection.execute(
        "INSERT INTO events SELECT ?, COALESCE(MAX(number), 0) + 1, ? FROM events WHERE job = ? RETURNING number",
        (identity, json.dumps(data), identity),
    ).fetchone()
    return int(number)


def _job(row: Sequence[Any]) -> Job:
    identity, kind, state, request, result, retry_of, *times = row
    created_at, started_at, finished_at = (datetime.fromtimestamp(at, UTC) if at is not None else None for at in times)
    assert created_at is not None  # noqa: S101 - the column is NOT NULL
    return Job(
        id=identity,
        kind=kind,
        state=JobState(state),
        request=json.loads(request),
        result=json.loads(result),
        retry_of=retry_of,
        created_at=created_at,
        started_at=started_at,
        finished_at=finished_at,
    )


def _warn(message: str) -> None:
    from loguru import logger

    logger.warning("{}", message)
