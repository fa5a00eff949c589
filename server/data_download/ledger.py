"""State about the data folder: verified files, empty and provisional days, and which text files this program wrote.

One SQLite file in the state folder. It only saves work: a file counts as verified only while its size and modification
time are those recorded, and without the ledger every file is checked again. A factor or map file of which the ledger
knows nothing counts as this program's if it equals what would be written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from attrs import frozen

from server.core.json import to_json
from server.data_download.availability import EmptyMark
from server.data_download.corporate_checks import CorporateCheck as CorporateCheck
from server.data_download.corporate_checks import check_of_row
from server.data_download.data_findings import unpack_findings
from server.data_download.ledger_file import LedgerFile
from server.data_download.ledger_schema import (
    pack_checksums,
    pack_days,
    unpack_checksums,
    unpack_days,
)
from server.lean.series import Series

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
        findings: What was found about it, as `pack_findings` returns it; None where that is not known.
    """

    size: int
    modified_ns: int
    rows: int
    days: tuple[date, ...] = ()
    findings: str | None = None

    def is_of(self, status: os.stat_result) -> bool:
        """Return whether a file is unchanged since."""
        return self.size == status.st_size and self.modified_ns == status.st_mtime_ns


class UniverseMark(NamedTuple):
    """A universe file that follows from map and factor files.

    Attributes:
        size: Bytes.
        modified_ns: Its modification time, in nanoseconds since 1970 UTC.
        sources: The digest of the map and factor files.
    """

    size: int
    modified_ns: int
    sources: bytes


class Ledger:
    """The SQLite file. Safe to use from several threads and processes at once."""

    def __init__(self, path: Path | None, *, create_folder: bool = True) -> None:
        """Take the path; None, or one whose folder cannot be written, keeps the ledger in memory.

        The file is created when there is something to record. One that is damaged or of a later version is renamed, and
        an empty one takes its place.

        Args:
            path: The file.
            create_folder: Whether its folder is created; else the ledger stays in memory until the folder exists.
        """
        self._file = LedgerFile(path, create_folder=create_folder)

    @property
    def path(self) -> Path | None:
        """The file; None where the ledger is in memory."""
        return self._file.path

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def files(self, series: Series) -> dict[int, FileMark]:
        """Verified files by the ordinal of their day (`date.toordinal`), 0 for a file of all days."""
        sql = "SELECT day, size, changed, row_count, days, findings FROM files WHERE series = ?"
        return dict(self._file.rows(partial(_file_mark, series), sql, series.key))

    def empty_days(self, series: Series) -> dict[date, EmptyMark]:
        """Settled days that had no bars when last requested."""
        sql = "SELECT day, asked_at, times FROM empty_days WHERE series = ?"
        return dict(self._file.rows(_empty_mark, sql, series.key))

    def provisional_days(self, series: Series) -> set[date]:
        """Days that were fetched before they were settled."""
        sql = "SELECT day FROM provisional_days WHERE series = ?"
        return set(self._file.rows(date.fromordinal, sql, series.key))

    def record_files(self, series: Series, marks: Iterable[tuple[date | None, FileMark]]) -> None:
        """Record that these files (day None: the file of all days) were verified."""
        rows = [
            (series.key, _key(day), mark.size, mark.modified_ns, mark.rows, pack_days(mark.days), mark.findings)
            for day, mark in marks
        ]
        with self._file.writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def forget_file(self, series: Series, day: date | None) -> None:
        """Remove the record of a file that is damaged or gone."""
        with self._file.writing() as connection:
            connection.execute("DELETE FROM files WHERE series = ? AND day = ?", (series.key, _key(day)))

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
        with self._file.writing() as connection:
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

    def row_kinds(self, series: Series) -> dict[str, dict[date, int]]:
        """The days whose rows were recorded as of a kind, each with the checksum of its row, by kind."""
        sql = "SELECT kind, days, checksums FROM row_kinds WHERE series = ?"
        return dict(self._file.rows(_row_kind, sql, series.key))

    def record_row_kinds(self, series: Series, kind: str, rows: Mapping[date, int]) -> None:
        """Record rows as of a kind, and no other; each is given by its day and checksum."""
        with self._file.writing() as connection:
            known = self.row_kinds(series)
            known.setdefault(kind, {})
            for name, held in known.items():
                left = {day: checksum for day, checksum in held.items() if day not in rows}
                days = dict(sorted({**left, **rows}.items())) if name == kind else left
                if days != held:
                    values = (pack_days(tuple(days)) or b"", pack_checksums(tuple(days.values())))
                    connection.execute(
                        "INSERT OR REPLACE INTO row_kinds VALUES (?, ?, ?, ?)", (series.key, name, *values)
                    )

    def universe_files(self) -> dict[date, UniverseMark]:
        """Universe files that follow from map and factor files, by day."""
        return dict(self._file.rows(_universe_mark, "SELECT day, size, changed, sources FROM universe_files"))

    def record_universe_files(self, marks: Mapping[date, UniverseMark]) -> None:
        """Record universe files that follow from map and factor files."""
        rows = [(day.toordinal(), mark.size, mark.modified_ns, mark.sources) for day, mark in marks.items()]
        with self._file.writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO universe_files VALUES (?, ?, ?, ?)", rows)

    def texts(self, path: str) -> set[bytes]:
        """SHA-256 digests of what this program wrote, or was about to write, at a path below the data folder."""
        return set(self._file.rows(bytes, "SELECT digest FROM texts WHERE path = ?", path))

    def wrote(self, path: str, content: bytes) -> bool:
        """Whether this program wrote this content at a path below the data folder."""
        return digest(content) in self.texts(path)

    def record_text(self, path: str, digest: bytes, *, only: bool = False) -> None:
        """Record content as this program's: before it is put in place, and then (`only`) instead of any other."""
        with self._file.writing() as connection:
            if only:
                connection.execute("DELETE FROM texts WHERE path = ? AND digest <> ?", (path, digest))
            connection.execute("INSERT OR REPLACE INTO texts VALUES (?, ?)", (path, digest))

    def corporate_checks(self, symbols: Sequence[str]) -> dict[str, CorporateCheck]:
        """The last check of each of these symbols, if there was one."""
        found: dict[str, CorporateCheck] = {}
        for first in range(0, len(symbols), _VALUES):
            some = symbols[first : first + _VALUES]
            marks = ",".join("?" * len(some))
            sql = f"SELECT * FROM corporate_checks WHERE symbol IN ({marks})"  # noqa: S608 - question marks only
            found.update(self._file.rows(_check, sql, *some))
        return found

    def record_corporate_check(self, symbol: str, check: CorporateCheck) -> None:
        """Record a check instead of the previous one."""
        days = [day.toordinal() if day else 0 for day in (check.asked_from, check.asked_through, check.since)]
        findings = json.dumps(to_json(check.findings)) if check.findings else ""
        with self._file.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO corporate_checks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    symbol,
                    check.provider,
                    check.checked_at,
                    *days,
                    check.made,
                    check.trouble,
                    findings,
                    check.failed_at,
                    check.files,
                ),
            )


def _key(day: date | None) -> int:
    return day.toordinal() if day else 0


def digest(content: bytes) -> bytes:
    """The SHA-256 of a file's content, as `Ledger.record_text` takes it."""
    import hashlib  # not needed by a run that writes no such file

    return hashlib.sha256(content).digest()


# --- rows; each function raises for a row that holds something else than what was recorded ---


def _file_mark(
    series: Series, day: int, size: int, modified: int, rows: int, days: bytes | None, findings: str | None
) -> Any:
    if findings:
        unpack_findings(findings, path="", series=series)
    return int(day), FileMark(int(size), int(modified), int(rows), unpack_days(days), findings)


def _empty_mark(day: int, asked_at: float, times: int) -> Any:
    if not times >= 1:
        raise ValueError(f"a day cannot have been requested {times} times")
    return date.fromordinal(day), EmptyMark(float(asked_at), int(times))


def _check(symbol: str, *columns: Any) -> Any:
    return symbol, check_of_row(*columns)


def _row_kind(kind: str, days: bytes, checksums: bytes) -> Any:
    return kind, dict(zip(unpack_days(days), unpack_checksums(checksums), strict=True))


def _universe_mark(day: int, size: int, modified: int, sources: bytes) -> Any:
    return date.fromordinal(day), UniverseMark(int(size), int(modified), bytes(sources))
