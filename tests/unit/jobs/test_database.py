"""The SQLite file of the jobs."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from server.core.errors import BusyError, DiskFullError, WriteFailedError
from server.jobs.database import JobDatabase

SCHEMA = "CREATE TABLE IF NOT EXISTS texts (text TEXT);"
WAIT = 10.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "jobs.sqlite"


@pytest.fixture
def database(path: Path) -> Iterator[JobDatabase]:
    """A file whose writes do not wait for other processes."""
    found = JobDatabase(path, schema=SCHEMA, version=1, write_seconds=0)
    yield found
    found.close()


def insert(connection: sqlite3.Connection) -> None:
    """Insert one row."""
    connection.execute("INSERT INTO texts VALUES ('text')")


def test_reads_do_not_wait_for_a_write(database: JobDatabase) -> None:
    """They have the rows from before it; another write is busy."""
    database.write(insert)
    writing, go_on = threading.Event(), threading.Event()

    def write(connection: sqlite3.Connection) -> None:
        insert(connection)
        writing.set()
        assert go_on.wait(WAIT)

    thread = threading.Thread(target=database.write, args=(write,))
    thread.start()
    assert writing.wait(WAIT)
    rows = database.rows("SELECT text FROM texts")
    with pytest.raises(BusyError, match=r"jobs\.sqlite has been locked for 0 s"):
        database.write(insert)
    go_on.set()
    thread.join(WAIT)

    assert rows == [("text",)]
    assert len(database.rows("SELECT text FROM texts")) == 2


def test_a_lock_of_another_connection_is_busy(database: JobDatabase, path: Path) -> None:
    """Until it is released."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError):
            database.write(insert)
        assert database.rows("SELECT text FROM texts") == []
        other.execute("ROLLBACK")

    database.write(insert)
    assert database.rows("SELECT text FROM texts") == [("text",)]


def test_a_full_file_is_a_full_disk(database: JobDatabase) -> None:
    """SQLite reports both with the same code; later writes succeed once there is space."""

    def fill(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        connection.execute("INSERT INTO texts VALUES (?)", ("x" * 100_000,))

    with pytest.raises(DiskFullError, match=r"the disk of .* is full"):
        database.write(fill)
    database.write(insert)

    assert database.rows("SELECT text FROM texts") == [("text",)]


def test_a_closed_file_is_not_opened_again(database: JobDatabase, path: Path) -> None:
    """A late thread gets an error, and no journal appears."""
    database.write(insert)
    database.close()

    with pytest.raises(WriteFailedError, match="it is closed"):
        database.write(insert)
    with pytest.raises(WriteFailedError, match="it is closed"):
        database.rows("SELECT text FROM texts")
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_several_threads_replace_a_damaged_file_once(database: JobDatabase, path: Path) -> None:
    """Each of them goes on with the same empty file."""
    for _ in range(50):
        database.write(insert)
    database.checkpoint()
    path.write_bytes(b"\xa5" * path.stat().st_size)
    start = threading.Barrier(4)
    found: list[int] = []

    def read() -> None:
        start.wait(WAIT)
        found.append(len(database.rows("SELECT text FROM texts")))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    database.write(insert)

    assert found == [0] * 4
    assert database.rows("SELECT text FROM texts") == [("text",)]
    assert len(list(path.parent.glob("jobs.sqlite.damaged-*Z"))) == 1


def test_a_mistake_in_a_statement_is_not_translated(database: JobDatabase) -> None:
    """It is an error of the program, which the log is to show."""
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        database.rows("SELECT text FROM absent")
