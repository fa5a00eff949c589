"""Tables of the ledger, and their conversion from earlier versions."""

from __future__ import annotations

import sqlite3
import sys
from array import array
from collections.abc import Sequence
from datetime import date

VERSION = 5

_VERSION_OF_CHECKS = 4
"""The version from which on the checks of corporate actions have their present columns."""

_SERIES_TABLES = {
    "files": """
CREATE TABLE IF NOT EXISTS files (
    series TEXT NOT NULL, day INTEGER NOT NULL,
    size INTEGER NOT NULL, changed INTEGER NOT NULL, row_count INTEGER NOT NULL, days BLOB,
    findings TEXT,
    PRIMARY KEY (series, day)
) WITHOUT ROWID;
""",
    "empty_days": """
CREATE TABLE IF NOT EXISTS empty_days (
    series TEXT NOT NULL, day INTEGER NOT NULL, asked_at REAL NOT NULL, times INTEGER NOT NULL,
    PRIMARY KEY (series, day)
) WITHOUT ROWID;
""",
    "provisional_days": """
CREATE TABLE IF NOT EXISTS provisional_days (
    series TEXT NOT NULL, day INTEGER NOT NULL, fetched_at REAL NOT NULL,
    PRIMARY KEY (series, day)
) WITHOUT ROWID;
""",
}
"""Tables keyed by series; versions 1 and 2 key them by symbol and resolution."""

SCHEMA = (
    "".join(_SERIES_TABLES.values())
    + """
CREATE TABLE IF NOT EXISTS texts (
    path TEXT NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (path, digest)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS corporate_checks (
    symbol TEXT PRIMARY KEY, provider TEXT NOT NULL, checked_at REAL NOT NULL,
    asked_from INTEGER NOT NULL, asked_through INTEGER NOT NULL, since INTEGER NOT NULL, made INTEGER NOT NULL,
    trouble TEXT NOT NULL, findings TEXT NOT NULL, failed_at REAL NOT NULL,
    files BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS row_kinds (
    series TEXT NOT NULL, kind TEXT NOT NULL, days BLOB NOT NULL, checksums BLOB NOT NULL,
    PRIMARY KEY (series, kind)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS universe_files (
    day INTEGER PRIMARY KEY, size INTEGER NOT NULL, changed INTEGER NOT NULL, sources BLOB NOT NULL
);
"""
)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Copy the tables of versions 1 and 2 to tables keyed by series, and drop checks of versions before 4.

    Files of versions before 5 have no findings recorded: they are checked again when findings are needed. It runs
    within the caller's transaction.

    Args:
        connection: The ledger.
        version: Its schema version; 0 for a file without one.
    """
    for table, schema in _SERIES_TABLES.items() if version else ():
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        if "symbol" not in columns:
            continue
        rest = ", ".join(column for column in columns if column not in ("symbol", "resolution"))
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
        connection.execute(schema)
        connection.execute(
            f"INSERT INTO {table} (series, {rest})"  # noqa: S608
            f" SELECT 'equity/usa/' || resolution || '/trade/' || symbol, {rest} FROM old_{table}"
        )
        connection.execute(f"DROP TABLE old_{table}")
    columns = [row[1] for row in connection.execute("PRAGMA table_info(files)")]
    if columns and "findings" not in columns:
        connection.execute("ALTER TABLE files ADD COLUMN findings TEXT")
    if 0 < version < _VERSION_OF_CHECKS:  # checks are made again
        connection.execute("DROP TABLE IF EXISTS corporate_checks")


def pack_days(days: Sequence[date]) -> bytes | None:
    """Pack days as their ordinals, three bytes each with the highest first; None for no days."""
    ordinals = array("I", map(date.toordinal, days))
    if sys.byteorder == "little":
        ordinals.byteswap()
    wide = ordinals.tobytes()
    packed = bytearray(len(days) * 3)
    for place in range(3):
        packed[place::3] = wide[place + 1 :: 4]
    return bytes(packed) or None


def unpack_days(packed: bytes | None) -> tuple[date, ...]:
    """The days that `pack_days` packed."""
    if not packed:
        return ()
    wide = bytearray(len(packed) // 3 * 4)
    for place in range(3):
        wide[place + 1 :: 4] = packed[place::3]
    ordinals = array("I", bytes(wide))
    if sys.byteorder == "little":
        ordinals.byteswap()
    return tuple(map(date.fromordinal, ordinals))


def pack_checksums(checksums: Sequence[int]) -> bytes:
    """Pack numbers below 2^32, four bytes each with the highest first."""
    packed = array("I", checksums)
    if sys.byteorder == "little":
        packed.byteswap()
    return packed.tobytes()


def unpack_checksums(packed: bytes) -> list[int]:
    """The numbers that `pack_checksums` packed."""
    checksums = array("I", packed)
    if sys.byteorder == "little":
        checksums.byteswap()
    return checksums.tolist()
