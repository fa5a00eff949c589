"""The SQLite file of the jobs: a connection that writes, one that reads, and replacement of a damaged file."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar

from server.core.errors import BusyError, DiskFullError, WriteFailedError
from server.core.sqlite import is_damage, open_database, open_reader, primary_code, set_aside, transaction

WRITE_SECONDS = 10.0
"""How long a write waits for other writers, in this process or another one."""

READ_SECONDS = 0.5
"""How long a read waits; a writer does not block it, so that it waits only while SQLite recovers the file."""

_LEAST_SPACE = 64 << 10
"""A disk with fewer free bytes is full: SQLite reports some failed writes on it as input/output errors."""

_T = TypeVar("_T")


class JobDatabase:
    """A SQLite file with one connection for writing and one for reading. Thread-safe.

    Reads do not wait for writes. A file that turns out to be damaged is renamed, and an empty one takes its place.
    """

    def __init__(self, path: Path | None, *, schema: str, version: int, write_seconds: float = WRITE_SECONDS) -> None:
        """Open the file, creating it if necessary.

        Args:
            path: The file; None stores the rows in memory.
            schema: As for `open_database`.
            version: As for `open_database`.
            write_seconds: How long a write waits for other writers.

        Raises:
            BusyError: Another process has locked the file.
            WriteFailedError: The file cannot be opened or created.
        """
        self._path = path
        self._schema = schema
        self._version = version
        self._write_seconds = write_seconds
        self._lock = threading.RLock()
        self._read_lock = threading.RLock() if path is not None else self._lock
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._opened = 0
        self._closed = False
        with self._lock, self._read_lock:
            try:
                self._open()
            except (sqlite3.Error, OSError) as error:
                raise self._translated(error) from error

    def close(self) -> None:
        """Close the file for good."""
        with self._lock, self._read_lock:
            self._closed = True
            self._disconnect()

    def rows(self, sql: str, *values: object) -> list[Any]:
        """Run a query and return all rows.

        Raises:
            BusyError: The file is locked even for reading.
            WriteFailedError: The file cannot be used.
        """

        def read() -> list[Any]:
            with self._read_lock:
                if self._reader is None:
                    raise sqlite3.ProgrammingError("it is closed")
                with closing(self._reader.execute(sql, values)) as cursor:
                    return cursor.fetchall()

        return self._repeated_after_damage(read)

    def write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run statements in a transaction, and return what they return.

        Args:
            work: Runs the statements; it is repeated if the file turns out to be damaged.

        Raises:
            BusyError: Other writers, in this process or another one, had the file all the time.
            DiskFullError: The disk is full.
            WriteFailedError: The file cannot be written for another reason.
        """
        deadline = time.monotonic() + self._write_seconds

        def wrote() -> _T:
            if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
                raise self._busy()
            try:
                if self._writer is None:
                    raise sqlite3.ProgrammingError("it is closed")
                left = max(0, round((deadline - time.monotonic()) * 1000))
                self._writer.execute(f"PRAGMA busy_timeout = {left:d}")
                with transaction(self._writer) as connection:
                    return work(connection)
            finally:
                self._lock.release()

        return self._repeated_after_damage(wrote)

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the file, as far as that is possible without waiting."""
        with self._lock, suppress(sqlite3.Error):
            if self._writer is not None:
                self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").close()

    def _repeated_after_damage(self, work: Callable[[], _T]) -> _T:
        opened = self._opened
        try:
            try:
                return work()
            except sqlite3.Error as error:
                if not self._reopened(error, opened):
                    raise
            return work()
        except (sqlite3.Error, OSError) as error:
            translated = self._translated(error)
            if translated is error:
                raise
            raise translated from error

    def _reopened(self, error: sqlite3.Error, opened: int) -> bool:
        """Replace a damaged file, or open one that could not be opened before.

        Args:
            error: What happened.
            opened: The number of times that the file had been opened before it happened.

        Returns:
            Whether the failed statements can be repeated.
        """
        damaged = is_damage(error)
        with self._lock, self._read_lock:
            if self._closed or self._path is None or (self._writer is not None and not damaged):
                return False
            if opened == self._opened:  # else another thread has replaced it already
                self._disconnect()
                if damaged:
                    set_aside(self._path, error, _warn)
                self._open()
        return True

    def _open(self) -> None:
        self._writer = open_database(
            self._path, schema=self._schema, version=self._version, warn=_warn, busy_seconds=self._write_seconds
        )
        try:
            self._reader = open_reader(self._path, READ_SECONDS) if self._path is not None else self._writer
        except BaseException:
            self._disconnect()
            raise
        self._opened += 1

    def _disconnect(self) -> None:
        for connection in (self._reader, self._writer):  # the writer last: it removes the write-ahead log
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()
        self._reader = self._writer = None

    def _busy(self) -> BusyError:
        return BusyError(
            f"the job database {self._path} has been locked for {self._write_seconds:g} s; try again once the program "
            "that locked it has ended"
        )

    def _translated(self, error: sqlite3.Error | OSError) -> Exception:
        """Return the error to raise; one of a statement, such as a missing table, is raised as it is."""
        if primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return self._busy()
        if self._path is not None and _is_full(error, self._path.parent):
            return DiskFullError(f"the disk of {self._path.parent} is full; free space on it and try again")
        if primary_code(error) == sqlite3.SQLITE_ERROR:
            return error
        return WriteFailedError(f"the job database {self._path or 'in memory'} cannot be used ({error})")


def _is_full(error: sqlite3.Error | OSError, folder: Path) -> bool:
    code = primary_code(error)
    if code == sqlite3.SQLITE_FULL:
        return True
    if code not in (None, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        return False
    try:
        return shutil.disk_usage(folder).free < _LEAST_SPACE
    except OSError:
        return False


def _warn(message: str) -> None:
    from loguru import logger

    logger.warning("{}", message)
