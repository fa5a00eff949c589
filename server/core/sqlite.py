"""Opens SQLite files that hold state: journal mode, schema version, integrity check, replacement of damaged files."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from server.core.damaged_files import damaged_path
from server.core.errors import describe_exception
from server.core.text import count_text

BUSY_SECONDS = 30.0
"""How long a statement waits for another connection's transaction by default."""

CHECKED_SIZE = 8 << 20
"""Files of at most this many bytes are checked whole when they are opened; damage in larger ones appears on use."""

_DAMAGE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY_CODE = 0xFF
"""The bits of an extended SQLite result code that hold the primary one."""

Row = TypeVar("Row")

Migrate = Callable[[sqlite3.Connection, int], None]
"""Converts the tables of an older schema version, which is the second argument; 0 is a file without a version."""


class DamagedDatabaseError(sqlite3.DatabaseError):
    """The integrity check failed, or the file has a schema version that cannot be read, or lacks a column."""


def open_database(
    path: Path | None,
    *,
    schema: str,
    version: int,
    warn: Callable[[str], None],
    migrate: Migrate | None = None,
    busy_seconds: float = BUSY_SECONDS,
    durable: bool = True,
) -> sqlite3.Connection:
    """Open a database, and create it or convert it to the current schema version where necessary.

    A file that is damaged, has an unknown schema version or lacks a column of its version is renamed to
    ``<name>.damaged-<time>`` in its folder, and an empty one takes its place. The connection may be used by several
    threads, one at a time. It is in autocommit mode: write with `transaction`.

    Args:
        path: The file; its folder is created. None opens a database in memory.
        schema: ``CREATE ... IF NOT EXISTS`` statements of the current version, each ended by a semicolon.
        version: The current schema version, kept as SQLite's ``user_version``; at least 1.
        warn: Receives one sentence if a file was renamed.
        migrate: Runs before the schema's statements, in their transaction, if the file is older. Without it a file
            without a version only gets the tables that it lacks, and one of any other version is replaced.
        busy_seconds: How long a statement waits for another connection's transaction.
        durable: Sync to the disk at checkpoints, so that the file survives a power failure. Without it, opening,
            writing and closing are faster, and a power failure may damage the file; a killed process never does.

    Raises:
        OSError: The folder cannot be created, or a damaged file cannot be renamed.
        sqlite3.Error: The file cannot be opened or written for another reason than damage; see `is_damage`.
    """
    if path is None:
        return _connect(":memory:", schema, version, migrate, busy_seconds, durable)
    path.parent.mkdir(parents=True, exist_ok=True)
    identity = _identity(path)
    try:
        return _connect(str(path), schema, version, migrate, busy_seconds, durable)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        set_aside(path, error, warn, identity)
    return _connect(str(path), schema, version, migrate, busy_seconds, durable)


def is_damage(error: BaseException) -> bool:
    """Return whether the file's content caused the error, and not its folder, the disk or another process."""
    return isinstance(error, DamagedDatabaseError) or primary_code(error) in _DAMAGE_CODES


def primary_code(error: BaseException) -> int | None:
    """Return SQLite's primary result code of an error; None if the error is not one of SQLite's."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & _PRIMARY_CODE


def open_reader(path: Path, busy_seconds: float) -> sqlite3.Connection:
    """Open a second connection to a database of `open_database`, which only reads.

    A writer does not block it. It keeps no pages in memory, so that damage of the file appears on the next read. Text
    that is not UTF-8 is read with replacement characters.

    Args:
        path: The file, which exists.
        busy_seconds: How long a statement waits while another process recovers the file.

    Raises:
        sqlite3.Error: The file cannot be opened.
    """
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA cache_size = 0")
    except BaseException:
        connection.close()
        raise
    connection.text_factory = _lenient_text
    return connection


def _lenient_text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def set_aside(
    path: Path, error: BaseException, warn: Callable[[str], None], identity: tuple[int, int] | None = None
) -> None:
    """Rename a damaged database and its journal files to ``<name>.damaged-<time>`` in their folder.

    Args:
        path: The database.
        error: What is wrong with it, for the warning.
        warn: Receives one sentence that names both files.
        identity: Device and inode of the damaged file. If another process has replaced it since, nothing is done.

    Raises:
        OSError: The file cannot be renamed.
    """
    if identity is not None and identity != _identity(path):
        return
    aside = damaged_path(path)
    for suffix in ("-wal", "-shm"):  # first, since SQLite would apply a journal that stays behind to the new file
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(aside.with_name(aside.name + suffix))
    with suppress(FileNotFoundError):
        path.replace(aside)
        warn(f"{path} is damaged ({error}); it was renamed to {aside.name}, and an empty file takes its place")


def readable_rows(rows: Iterable[Sequence[Any]], convert: Callable[..., Row], warn: Callable[[str], None]) -> list[Row]:
    """Convert rows, and leave out those that cannot be converted: one invalid row must not hide the others.

    Args:
        rows: The rows, each a sequence of its columns.
        convert: Takes the columns of a row; raises an exception for a row that holds something else than it stored.
        warn: Receives the number of rows left out, and why the first one was.
    """
    found: list[Row] = []
    reasons: list[str] = []
    for row in rows:
        try:
            found.append(convert(*row))
        except Exception as error:  # whatever the conversion of arbitrary content raises
            reasons.append(describe_exception(error))
    if reasons:
        warn(f"{count_text(len(reasons), 'unreadable row')} left out ({reasons[0]})")
    return found


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Run statements as one write transaction: commit them at the end, roll them back after an exception.

    The write lock is taken at the start, so that no other process writes between the first read and the commit.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.commit()  # fails on a full disk
    except BaseException:
        if connection.in_transaction:
            connection.rollback()
        raise


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _connect(
    target: str, schema: str, version: int, migrate: Migrate | None, busy_seconds: float, durable: bool
) -> sqlite3.Connection:
    connection = sqlite3.connect(target, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if durable else 'OFF'}")
        _use_wal(connection, busy_seconds)
        if target != ":memory:" and os.stat(target).st_size <= CHECKED_SIZE:
            (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if result != "ok":
                raise DamagedDatabaseError(result)
        if _version(connection) != version:
            with transaction(connection):
                _upgrade(connection, schema, version, migrate)
        elif lacking := _lacking_columns(connection, schema):
            raise DamagedDatabaseError(f"it lacks {lacking[0]}")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection, busy_seconds: float) -> None:
    """Switch to a write-ahead log. SQLite does not wait for the lock that this takes on a new file, so this does."""
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        else:
            return
        time.sleep(0.01)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _upgrade(connection: sqlite3.Connection, schema: str, version: int, migrate: Migrate | None) -> None:
    found = _version(connection)  # again: another process may have upgraded it in the meantime
    if found == version:
        return
    if found > version or (found and migrate is None):
        raise DamagedDatabaseError(f"its schema version is {found}, this program reads version {version}")
    if migrate is not None:
        migrate(connection, found)
    for statement in _statements(schema):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {version:d}")


_COLUMNS = """
SELECT tables.name, columns.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
WHERE tables.type = 'table' ORDER BY tables.name, columns.cid
"""


def _lacking_columns(connection: sqlite3.Connection, schema: str) -> list[str]:
    """Return the columns of a schema that a file of its version lacks, each with the name of its table."""
    with closing(sqlite3.connect(":memory:")) as model:
        model.executescript(schema)
        expected = model.execute(_COLUMNS).fetchall()
    found = set(connection.execute(_COLUMNS).fetchall())
    return [f"{table}.{column}" for table, column in expected if (table, column) not in found]


def _statements(script: str) -> Iterator[str]:
    """Split a script into statements; sqlite3's own ``executescript`` would end the transaction."""
    statement = ""
    for part in script.split(";")[:-1]:
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
