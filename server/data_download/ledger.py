"""What is known about the data beside the data itself: verified files, empty and provisional days, files of ours.

One SQLite file in the state folder. It only saves work: a file is believed only while its size and time of change
are those that were recorded, and without the ledger everything is looked at again. One thing it alone knows: which
factor and map files this program wrote. Without it they count as somebody else's, and are left as they are.
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
from server.lean.series import Resolution

_VERSION = 2
_UPGRADED = (0, 1)
"""Versions, 0 that of a new file, that lack tables of today's and nothing else."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    symbol TEXT NOT NULL, resolution TEXT NOT NULL, day INTEGER NOT NULL,
    size INTEGER NOT NULL, changed INTEGER NOT NULL, row_count INTEGER NOT NULL, days BLOB,
    PRIMARY KEY (symbol, resolution, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS empty_days (
    symbol TEXT NOT NULL, resolution TEXT NOT NULL, day INTEGER NOT NULL,
    asked_at REAL NOT NULL, times INTEGER NOT NULL,
    PRIMARY KEY (symbol, resolution, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS provisional_days (
    symbol TEXT NOT NULL, resolution TEXT NOT NULL, day INTEGER NOT NULL, fetched_at REAL NOT NULL,
    PRIMARY KEY (symbol, resolution, day)
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

_VALUES = 500
"""Values in one statement at most."""


@frozen
class FileMark:
    """A file that was verified: its size and time of change (ns) then, its rows, and a daily zip's days."""

    size: int
    changed: int
    rows: int
    days: tuple[date, ...] = ()


@frozen
class EmptyMark:
    """A settled day without bars: when it was last asked for (seconds since 1970 UTC), and how often."""

    asked_at: float
    times: int


@frozen(kw_only=True)
class CorporateCheck:
    """When a share's splits, dividends and tickers were last asked for, and what came of it.

    Attributes:
        provider: Who was asked.
        checked_at: Seconds since 1970 UTC.
        asked_from: The first day that the files are known not to hide; None where that is not known.
        since: The day at which the factor file was told to begin; None where it was not.
        made: Whether there are files for this symbol at all: an earlier ticker of a share has none of its own.
        trouble: Why it failed; "" where it did not.
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

        The file is made when there is something to remember. One that is damaged or of another version is set
        aside and begun anew.
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
                    self._begin_anew()
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
            self._begin_anew()
            return self._connection.execute(sql, values).fetchall()

    def _begin_anew(self) -> None:
        """Go on with an empty ledger after damage that showed only when its rows were read."""
        self.close()
        if self.path is not None:
            with suppress(OSError):
                _set_aside(self.path)

    def files(self, symbol: str, resolution: Resolution) -> dict[int, FileMark]:
        """Verified files by the ordinal of their day (`date.toordinal`), 0 for a daily zip."""
        rows = self._rows(
            "SELECT day, size, changed, row_count, days FROM files WHERE symbol = ? AND resolution = ?",
            symbol,
            resolution.value,
        )
        return {day: FileMark(size, changed, count, _unpack(days)) for day, size, changed, count, days in rows}

    def empty_days(self, symbol: str, resolution: Resolution) -> dict[date, EmptyMark]:
        """Settled days that had no bars when last asked for."""
        rows = self._rows(
            "SELECT day, asked_at, times FROM empty_days WHERE symbol = ? AND resolution = ?", symbol, resolution.value
        )
        return {date.fromordinal(day): EmptyMark(asked_at, times) for day, asked_at, times in rows}

    def provisional_days(self, symbol: str, resolution: Resolution) -> set[date]:
        """Days that were fetched before they were settled."""
        rows = self._rows(
            "SELECT day FROM provisional_days WHERE symbol = ? AND resolution = ?", symbol, resolution.value
        )
        return {date.fromordinal(day) for (day,) in rows}

    def record_files(self, symbol: str, resolution: Resolution, marks: Iterable[tuple[date | None, FileMark]]) -> None:
        """Remember that these files (day None: the daily zip) were verified."""
        rows = [
            (symbol, resolution.value, day.toordinal() if day else 0, mark.size, mark.changed, mark.rows, _pack(mark))
            for day, mark in marks
        ]
        with self._writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def forget_file(self, symbol: str, resolution: Resolution, day: date | None) -> None:
        """Forget that a file was verified: it is damaged or gone."""
        with self._writing() as connection:
            connection.execute(
                "DELETE FROM files WHERE symbol = ? AND resolution = ? AND day = ?",
                (symbol, resolution.value, day.toordinal() if day else 0),
            )

    def record_days(
        self,
        symbol: str,
        resolution: Resolution,
        *,
        now: datetime,
        settled: Sequence[date] = (),
        provisional: Sequence[date] = (),
        empty: Sequence[date] = (),
    ) -> None:
        """Remember what became of days: on disk for good, on disk for now, or without bars."""
        at = now.timestamp()
        code = resolution.value

        def keys(days: Iterable[date]) -> list[tuple[str, str, int]]:
            return [(symbol, code, day.toordinal()) for day in days]

        delete = "WHERE symbol = ? AND resolution = ? AND day = ?"
        no_longer_empty = self.empty_days(symbol, resolution).keys() & {*settled, *provisional}
        no_longer_provisional = self.provisional_days(symbol, resolution) & {*settled, *empty}
        if not (no_longer_empty or no_longer_provisional or provisional or empty):
            return
        with self._writing() as connection:
            connection.executemany(f"DELETE FROM empty_days {delete}", keys(no_longer_empty))  # noqa: S608
            connection.executemany(f"DELETE FROM provisional_days {delete}", keys(no_longer_provisional))  # noqa: S608
            connection.executemany(
                "INSERT OR REPLACE INTO provisional_days VALUES (?, ?, ?, ?)", [(*key, at) for key in keys(provisional)]
            )
            connection.executemany(
                "INSERT INTO empty_days VALUES (?, ?, ?, ?, 1) ON CONFLICT DO UPDATE"
                " SET asked_at = excluded.asked_at, times = times + 1",
                [(*key, at) for key in keys(empty)],
            )

    def texts(self, path: str) -> set[bytes]:
        """Digests of what this program wrote, or was about to write, at a path below the data folder."""
        return {digest for (digest,) in self._rows("SELECT digest FROM texts WHERE path = ?", path)}

    def record_text(self, path: str, digest: bytes, *, only: bool = False) -> None:
        """Remember content as ours: before it is put in place, and then (`only`) in place of all other."""
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
        """Remember a check in place of the one before."""
        days = [day.toordinal() if day else 0 for day in (check.asked_from, check.since)]
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO corporate_checks VALUES (?, ?, ?, ?, ?, ?, ?)",
                (symbol, check.provider, check.checked_at, *days, check.made, check.trouble),
            )


def _is_damage(error: Exception) -> bool:
    """Whether the file is at fault, and not the place where it stands or another process that holds it."""
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
        if version not in (*_UPGRADED, _VERSION):
            raise sqlite3.DatabaseError(f"the ledger has version {version}, this program reads {_VERSION}")
        if version in _UPGRADED:  # looking at a ledger of today's does not change it
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
    except BaseException:
        connection.close()
        raise
    return connection


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
