"""State about the data folder: verified files, empty and provisional days, and which text files this program wrote.

One SQLite file in the state folder. It only saves work: a file counts as verified only while its size and modification
time are those recorded, and without the ledger every file is checked again. Only the ledger knows which factor and map
files this program wrote; without it they count as foreign and are not replaced.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from server.core.errors import WriteFailedError
from server.data_download.availability import EmptyMark
from server.lean.series import Series

_VERSION = 3

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    series TEXT NOT NULL, day INTEGER NOT NULL,
    size INTEGER NOT NULL, changed INTEGER NOT NULL, row_count INTEGER NOT NULL, days BLOB,
    PRIMARY KEY (series, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS empty_days (
    series TEXT NOT NULL, day INTEGER NOT NULL, asked_at REAL NOT NULL, times INTEGER NOT NULL,
    PRIMARY KEY (series, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS provisional_days (
    series TEXT NOT NULL, day INTEGER NOT NULL, fetched_at REAL NOT NULL,
    PRIMARY KEY (series, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS texts (
    path TEXT NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (path, digest)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS corporate_checks (
    symbol TEXT PRIMARY KEY, provider TEXT NOT NULL, checked_at REAL NOT NULL,
    asked_from INTEGER NOT NULL, since INTEGER NOT NULL, made INTEGER NOT NULL, trouble TEXT NOT NULL
) WITHOUT ROWID;
"""

_KEYED_BY_SERIES = ("files", "empty_days", "provisional_days")
"""Tables that versions 1 and 2 key by symbol and resolution."""

_VALUES = 500
"""Values in one statement at most."""


@frozen
class FileMark:
    """A file that was verified.

    Attributes:
        size: Bytes.
        modified_ns: Its modification time, in nanoseconds since 1970 UTC.
        rows: Number of rows.
        days: The days of a file that holds all days of its series; empty for a file of one day.
    """

    size: int
    modified_ns: int
    rows: int
    days: tuple[date, ...] = ()


@frozen(kw_only=True)
class CorporateCheck:
    """When a symbol's splits, dividends and tickers were last requested, and the result.

    Attributes:
        provider: The provider that was asked.
        checked_at: Seconds since 1970 UTC.
        asked_from: The first day that the files are known not to hide; None where that is not known.
        since: The first day requested for the factor file; None for the security's first day.
        made: Whether files exist for this symbol: an earlier ticker of a security has none of its own.
        trouble: Why it failed; empty where it did not.
    """

    provider: str
    checked_at: float
    asked_from: date | None = None
    since: date | None = None
    made: bool = True
    trouble: str = ""


class Ledger:
    """The SQLite file. Safe to use from several threads and processes at once."""

    def __init__(self, path: Path | None) -> None:
        """Take the path; None, or one whose folder cannot be written, keeps the ledger in memory.

        The file is created when there is something to record. One that is damaged or of a later version is renamed, and
        an empty one takes its place.
        """
        self._lock = threading.RLock()
        self.path = path
        self._opened: sqlite3.Connection | None = None

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> sqlite3.Connection:
        path = self.path
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                return _connect(str(path))
            except (sqlite3.DatabaseError, OSError) as error:
                if _is_damage(error):
                    with suppress(OSError, sqlite3.DatabaseError):
                        _set_aside(path)
                        return _connect(str(path))
            self.path = None
        return _connect(":memory:")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                with self._connection:
                    yield self._connection
            except sqlite3.DatabaseError as error:
                if _is_damage(error):
                    self._replace_damaged()
                raise WriteFailedError(
                    f"the ledger {self.path} could not be written ({error}); see that the disk has space, and run again"
                ) from error

    def _rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        if self._opened is None and self.path is not None and not self.path.exists():
            return []
        with self._lock:
            try:
                return self._connection.execute(sql, values).fetchall()
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
            self._replace_damaged()
            return self._connection.execute(sql, values).fetchall()

    def _replace_damaged(self) -> None:
        """Continue with an empty ledger after damage that appeared only when rows were read."""
        self.close()
        if self.path is not None:
            with suppress(OSError):
                _set_aside(self.path)

    def files(self, series: Series) -> dict[int, FileMark]:
        """VerifyResult files by the ordinal of their day (`date.toordinal`), 0 for a file of all days."""
        rows = self._rows("SELECT day, size, changed, row_count, days FROM files WHERE series = ?", series.key)
        return {day: FileMark(size, modified, count, _unpack(days)) for day, size, modified, count, days in rows}

    def empty_days(self, series: Series) -> dict[date, EmptyMark]:
        """Settled days that had no bars when last requested."""
        rows = self._rows("SELECT day, asked_at, times FROM empty_days WHERE series = ?", series.key)
        return {date.fromordinal(day): EmptyMark(asked_at, times) for day, asked_at, times in rows}

    def provisional_days(self, series: Series) -> set[date]:
        """Days that were fetched before they were settled."""
        rows = self._rows("SELECT day FROM provisional_days WHERE series = ?", series.key)
        return {date.fromordinal(day) for (day,) in rows}

    def record_files(self, series: Series, marks: Iterable[tuple[date | None, FileMark]]) -> None:
        """Record that these files (day None: the file of all days) were verified."""
        rows = [
            (series.key, day.toordinal() if day else 0, mark.size, mark.modified_ns, mark.rows, _pack(mark))
            for day, mark in marks
        ]
        with self._writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", rows)

    def forget_file(self, series: Series, day: date | None) -> None:
        """Remove the record of a file that is damaged or gone."""
        with self._writing() as connection:
            connection.execute(
                "DELETE FROM files WHERE series = ? AND day = ?", (series.key, day.toordinal() if day else 0)
            )

    def record_days(
        self,
        series: Series,
        *,
        now: datetime,
        settled: Sequence[date] = (),
        provisional: Sequence[date] = (),
        empty: Sequence[date] = (),
    ) -> None:
        """Record days as on disk for good, on disk for now, or without bars."""
        at = now.timestamp()

        def keys(days: Iterable[date]) -> list[tuple[str, int]]:
            return [(series.key, day.toordinal()) for day in days]

        no_longer_empty = self.empty_days(series).keys() & {*settled, *provisional}
        no_longer_provisional = self.provisional_days(series) & {*settled, *empty}
        if not (no_longer_empty or no_longer_provisional or provisional or empty):
            return
        with self._writing() as connection:
            connection.executemany("DELETE FROM empty_days WHERE series = ? AND day = ?", keys(no_longer_empty))
            connection.executemany(
                "DELETE FROM provisional_days WHERE series = ? AND day = ?", keys(no_longer_provisional)
            )
            connection.executemany(
                "INSERT OR REPLACE INTO provisional_days VALUES (?, ?, ?)", [(*key, at) for key in keys(provisional)]
            )
            connection.executemany(
                "INSERT INTO empty_days VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE"
                " SET asked_at = excluded.asked_at, times = times + 1",
                [(*key, at) for key in keys(empty)],
            )

    def texts(self, path: str) -> set[bytes]:
        """SHA-256 digests of what this program wrote, or was about to write, at a path below the data folder."""
        return {digest for (digest,) in self._rows("SELECT digest FROM texts WHERE path = ?", path)}

    def wrote(self, path: str, content: bytes) -> bool:
        """Whether this program wrote this content at a path below the data folder."""
        return digest(content) in self.texts(path)

    def record_text(self, path: str, digest: bytes, *, only: bool = False) -> None:
        """Record content as this program's: before it is put in place, and then (`only`) instead of any other."""
        with self._writing() as connection:
            if only:
                connection.execute("DELETE FROM texts WHERE path = ? AND digest <> ?", (path, digest))
            connection.execute("INSERT OR REPLACE INTO texts VALUES (?, ?)", (path, digest))

    def corporate_checks(self, symbols: Sequence[str]) -> dict[str, CorporateCheck]:
        """The last check of each of these symbols, if there was one."""
        found: dict[str, CorporateCheck] = {}
        for first in range(0, len(symbols), _VALUES):
            some = symbols[first : first + _VALUES]
            marks = ",".join("?" * len(some))
            for symbol, provider, at, asked_from, since, made, trouble in self._rows(
                f"SELECT * FROM corporate_checks WHERE symbol IN ({marks})",  # noqa: S608 - question marks only
                *some,
            ):
                found[symbol] = CorporateCheck(
                    provider=provider,
                    checked_at=at,
                    asked_from=date.fromordinal(asked_from) if asked_from else None,
                    since=date.fromordinal(since) if since else None,
                    made=bool(made),
                    trouble=trouble,
                )
        return found

    def record_corporate_check(self, symbol: str, check: CorporateCheck) -> None:
        """Record a check instead of the previous one."""
        days = [day.toordinal() if day else 0 for day in (check.asked_from, check.since)]
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO corporate_checks VALUES (?, ?, ?, ?, ?, ?, ?)",
                (symbol, check.provider, check.checked_at, *days, check.made, check.trouble),
            )


def digest(content: bytes) -> bytes:
    """The SHA-256 of a file's content, as `Ledger.record_text` takes it."""
    import hashlib  # not needed by a run that writes no such file

    return hashlib.sha256(content).digest()


def _is_damage(error: Exception) -> bool:
    """Whether the file itself is damaged, and not its folder or a lock of another process."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, (sqlite3.OperationalError, sqlite3.ProgrammingError)
    )


def _set_aside(path: Path) -> None:
    path.replace(path.with_suffix(".damaged"))
    for behind in ("-wal", "-shm"):
        path.with_name(path.name + behind).unlink(missing_ok=True)


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise sqlite3.DatabaseError(f"the ledger has version {version}, this program reads {_VERSION}")
        if version < _VERSION:
            _migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    """Create the tables; those of versions 1 and 2, which key by symbol and resolution, are copied."""
    connection.isolation_level = None
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != _VERSION:  # another process may have done it meanwhile
        old = [table for table in _KEYED_BY_SERIES if version and _has_table(connection, table)]
        for table in old:
            connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        for table in old:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info(old_{table})")][2:]
            connection.execute(
                f"INSERT INTO {table} SELECT 'equity/usa/' || resolution || '/trade/' || symbol, {', '.join(columns)} "  # noqa: S608
                f"FROM old_{table}"
            )
            connection.execute(f"DROP TABLE old_{table}")
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.execute("COMMIT")
    connection.isolation_level = "DEFERRED"


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)).fetchone()
    return found is not None


def _pack(mark: FileMark) -> bytes | None:
    """Three bytes a day, the highest first."""
    days = array("I", map(date.toordinal, mark.days))
    if sys.byteorder == "little":
        days.byteswap()
    wide = days.tobytes()
    packed = bytearray(len(mark.days) * 3)
    for place in range(3):
        packed[place::3] = wide[place + 1 :: 4]
    return bytes(packed) or None


def _unpack(days: bytes | None) -> tuple[date, ...]:
    if not days:
        return ()
    wide = bytearray(len(days) // 3 * 4)
    for place in range(3):
        wide[place + 1 :: 4] = days[place::3]
    ordinals = array("I", bytes(wide))
    if sys.byteorder == "little":
        ordinals.byteswap()
    return tuple(map(date.fromordinal, ordinals))
