"""Stores jobs and their events in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from server.jobs.database import WRITE_SECONDS, JobDatabase
from server.jobs.job import COLUMNS, Job, JobEvent, JobState, read_event, read_job

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
_STATES = frozenset(state.value for state in JobState)

KEPT_JOBS = 500
"""Number of jobs whose events are stored; of older jobs only the result is."""


class JobStore:
    """Jobs in a SQLite file. Thread-safe."""

    def __init__(
        self, path: Path | None, clock: Callable[[], datetime], *, write_seconds: float = WRITE_SECONDS
    ) -> None:
        """Open the file, creating it if necessary; a damaged one is renamed, and an empty one takes its place.

        Args:
            path: The file; None stores the jobs in memory.
            clock: Returns the instant now, in UTC.
            write_seconds: How long a write waits for other writers.

        Raises:
            BusyError, WriteFailedError: As for every method; see `JobDatabase`.
        """
        self.clock = clock
        self._database = JobDatabase(path, schema=_SCHEMA, version=_VERSION, write_seconds=write_seconds)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

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

        def insert(connection: sqlite3.Connection) -> None:
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

        self._database.write(insert)
        return self.get(identity)

    def get(self, identity: str) -> Job:
        """Return one job.

        Raises:
            KeyError: No job has this id.
        """
        rows = self._database.rows(f"SELECT {COLUMNS} FROM jobs WHERE id = ?", identity)  # noqa: S608
        if not rows:
            raise KeyError(identity)
        return read_job(rows[0])

    def newest(self, *, limit: int, offset: int = 0) -> list[Job]:
        """Return jobs, newest first."""
        sql = f"SELECT {COLUMNS} FROM jobs ORDER BY number DESC LIMIT ? OFFSET ?"  # noqa: S608
        return [read_job(row) for row in self._database.rows(sql, limit, offset)]

    def queued(self) -> list[Job]:
        """Return the queued jobs, in order."""
        sql = f"SELECT {COLUMNS} FROM jobs WHERE state = 'queued' ORDER BY number"  # noqa: S608
        return [read_job(row) for row in self._database.rows(sql)]

    def count(self) -> dict[str, int]:
        """Return the number of jobs in each state that occurs; those in an unknown state count as failed."""
        found: Counter[str] = Counter()
        for state, number in self._database.rows("SELECT state, COUNT(*) FROM jobs GROUP BY state"):
            found[state if state in _STATES else JobState.FAILED.value] += number
        return dict(found)

    def update(
        self, identity: str, state: JobState, result: Mapping[str, Any], event: Mapping[str, Any] | None = None
    ) -> bool:
        """Store a job's state and result, and the event of the change in the same transaction.

        Returns:
            Whether the job changed; one in a final state does not.
        """
        now = self.clock().timestamp()

        def change(connection: sqlite3.Connection) -> bool:
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

        changed = self._database.write(change)
        if changed and state.over:
            self._database.checkpoint()  # so that the log of a finished job does not grow without limit
        return changed

    def interrupt_running(self, event: Mapping[str, Any] | None = None) -> list[str]:
        """Mark the running jobs as interrupted, and add the event to each.

        Returns:
            Their ids.
        """

        def interrupt(connection: sqlite3.Connection) -> list[str]:
            ids: list[str] = [
                identity for (identity,) in connection.execute("SELECT id FROM jobs WHERE state = 'running'")
            ]
            connection.execute(
                "UPDATE jobs SET state = 'interrupted', finished_at = ? WHERE state = 'running'",
                (self.clock().timestamp(),),
            )
            if event is not None:
                for identity in ids:
                    _add_event(connection, identity, event)
            return ids

        return self._database.write(interrupt)

    def add_event(self, identity: str, data: Mapping[str, Any]) -> None:
        """Store an event of a job; one of an unknown job is dropped."""
        self._database.write(lambda connection: _add_event(connection, identity, data))

    def events(self, identity: str, after: int = 0, limit: int = 1000) -> list[JobEvent]:
        """Return the events of a job after the event of this number, in order; unreadable ones are left out."""
        sql = (
            "SELECT number, data FROM events WHERE job = ? AND number > ? AND json_valid(data) ORDER BY number LIMIT ?"
        )
        found = (read_event(number, data) for number, data in self._database.rows(sql, identity, after, limit))
        return [event for event in found if event is not None]


def _add_event(connection: sqlite3.Connection, identity: str, data: Mapping[str, Any]) -> None:
    connection.execute(
        "INSERT INTO events"
        " SELECT id, (SELECT COALESCE(MAX(number), 0) + 1 FROM events WHERE job = id), ? FROM jobs WHERE id = ?",
        (json.dumps(data), identity),
    )
