"""The SQLite file of the ledger: opened when it is needed, and replaced when it is damaged."""

from __future__ import annotations

import errno
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from server.core.errors import WriteFailedError
from server.core.sqlite import is_damage, open_database, readable_rows, set_aside, transaction
from server.data_download.ledger_schema import SCHEMA, VERSION, migrate

_UNWRITABLE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})
_UNWRITABLE_FOLDER = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_PRIMARY_CODE = 0xFF

Row = TypeVar("Row")


class LedgerFile:
    """Reads and writes rows. Safe to use from several threads and processes at once.

    The file is created when there is something to record. One that is damaged or of a later version is renamed, and an
    empty one takes its place. Where it cannot be used, the ledger is kept in memory, and the next run checks every file
    again.

    Attributes:
        path: The file; None where the ledger is in memory.
    """

    def __init__(self, path: Path | None, *, create_folder: bool) -> None:
        """Open nothing.

        Args:
            path: The file; None keeps the ledger in memory.
            create_folder: Whether its folder is created; else the ledger stays in memory until the folder exists.
        """
        self.path = path
        self.lock = threading.RLock()
        self._create_folder = create_folder
        self._opened: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file."""
        with self.lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Run statements as one write transaction.

        Raises:
            WriteFailedError: The file cannot be written.
        """
        with self.lock:
            try:
                with transaction(self._connection) as connection:
                    yield connection
            except sqlite3.DatabaseError as error:
                if is_damage(error):
                    self._replace_damaged(error)
                raise WriteFailedError(
                    f"the ledger {self.path} could not be written ({error}); see that the disk has space, and run again"
                ) from error

    def rows(self, convert: Callable[..., Row], sql: str, *values: object) -> list[Row]:
        """Return the rows of a query, each converted from its columns; unreadable ones are left out with a warning."""
        if self._opened is None and self.path is not None and not self.path.exists():
            return []
        with self.lock:
            return readable_rows(
                self._raw_rows(sql, values), convert, lambda found: _warn(f"the ledger {self.path}: {found}")
            )

    def _raw_rows(self, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                self._replace_damaged(error)
            else:
                self._use_memory(error)
        return self._connection.execute(sql, values).fetchall()

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> sqlite3.Connection:
        if self.path is not None and (self._create_folder or self.path.parent.is_dir()):
            try:
                return open_database(self.path, schema=SCHEMA, version=VERSION, warn=_warn, migrate=migrate)
            except (sqlite3.DatabaseError, OSError) as error:
                if not _is_unwritable(error):  # that one is reported where the data folder is written
                    self._warn_of_memory(error)
        self.path = None
        return open_database(None, schema=SCHEMA, version=VERSION, warn=_warn)

    def _use_memory(self, error: sqlite3.DatabaseError) -> None:
        with suppress(sqlite3.Error):
            self.close()
        self._warn_of_memory(error)
        self.path = None

    def _warn_of_memory(self, error: Exception) -> None:
        _warn(f"the ledger {self.path} cannot be used ({error}); files are checked again, and nothing is recorded")

    def _replace_damaged(self, error: sqlite3.DatabaseError) -> None:
        """Continue with an empty ledger after damage that appeared only when rows were read."""
        with suppress(sqlite3.Error):
            self.close()
        self._opened = None
        if self.path is not None:
            with suppress(OSError):
                set_aside(self.path, error, _warn)


def _is_unwritable(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _UNWRITABLE_FOLDER
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE in _UNWRITABLE


def _warn(message: str) -> None:
    from loguru import logger

    logger.warning("{}", message)
