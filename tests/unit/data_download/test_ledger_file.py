"""The ledger's file where it is damaged or cannot be used."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from loguru import logger

from server.data_download import ledger_file
from server.data_download.ledger import CorporateCheck, FileMark, Ledger, UniverseMark
from server.lean.series import Resolution, Series

NOW = datetime(2024, 6, 3, 12, tzinfo=UTC)
DAYS = [date(2024, 3, 4) + timedelta(days=n) for n in range(5)]
MINUTE, DAILY = Resolution.MINUTE, Resolution.DAILY


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "state" / "ledger.sqlite"


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """The warnings of the log."""
    messages: list[str] = []
    handler = logger.add(lambda message: messages.append(message.record["message"]), level="WARNING")
    yield messages
    logger.remove(handler)


def filled_everywhere(path: Path) -> None:
    """A ledger with two rows in each table that is read by row."""
    ledger = Ledger(path)
    for series in (Series("SPY", MINUTE), Series("SPY", DAILY)):
        ledger.record_files(series, [(day, FileMark(1, 2, 3, (), "[]")) for day in DAYS[:2]])
        ledger.record_days(series, now=NOW, empty=DAYS[2:4], provisional=DAYS[:2])
        for kind in ("vendor", "regular-session"):
            ledger.record_row_kinds(series, kind, {DAYS[0]: 7} if kind == "vendor" else {DAYS[1]: 8})
    ledger.record_universe_files({day: UniverseMark(1, 2, b"digest") for day in DAYS[:2]})
    for symbol in ("SPY", "AAPL"):
        ledger.record_corporate_check(symbol, CorporateCheck(provider="polygon", checked_at=1.0))
    ledger.close()


def readings(path: Path) -> dict[str, int]:
    """How many rows a ledger reads of each table."""
    ledger, series = Ledger(path), Series("SPY", MINUTE)
    found = {
        "files": len(ledger.files(series)),
        "empty_days": len(ledger.empty_days(series)),
        "provisional_days": len(ledger.provisional_days(series)),
        "row_kinds": len(ledger.row_kinds(series)),
        "universe_files": len(ledger.universe_files()),
        "corporate_checks": len(ledger.corporate_checks(["SPY", "AAPL"])),
    }
    ledger.close()
    return found


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("files", "size = 'x'"),
        ("files", "days = X'FFFFFF'"),
        ("files", "findings = 'no list'"),
        ("files", "findings = '[[1]]'"),
        ("empty_days", "times = 0"),
        ("empty_days", "asked_at = 'yesterday'"),
        ("empty_days", "day = -1"),
        ("provisional_days", "day = 99999999999"),
        ("row_kinds", "checksums = X'00'"),
        ("row_kinds", "days = 'text'"),
        ("universe_files", "size = 'x'"),
        ("universe_files", "day = -5"),
        ("corporate_checks", "checked_at = 'x'"),
        ("corporate_checks", "since = -1"),
        ("corporate_checks", "findings = '{'"),
        ("corporate_checks", "findings = '{\"doubts\": 1}'"),
    ],
)
def test_an_unreadable_row_hides_no_other(path: Path, table: str, change: str, warnings: list[str]) -> None:
    """It is left out, and a warning names the file."""
    filled_everywhere(path)
    sound = readings(path)
    assert set(sound.values()) == {2}
    with closing(sqlite3.connect(path)) as connection, connection:
        key = {"universe_files": "day = (SELECT MIN(day) FROM universe_files)", "corporate_checks": "symbol = 'SPY'"}
        row = f"series LIKE '%minute%' AND day = (SELECT MIN(day) FROM {table})"
        row = "series LIKE '%minute%' AND kind = 'vendor'" if table == "row_kinds" else key.get(table, row)
        assert connection.execute(f"UPDATE {table} SET {change} WHERE {row}").rowcount == 1

    assert readings(path) == {**sound, table: 1}

    (warning,) = warnings
    assert str(path) in warning
    assert "1 unreadable row" in warning


@pytest.mark.parametrize("table", ["files", "texts", "corporate_checks"])
def test_a_table_that_is_lacking_is_damage(path: Path, table: str, warnings: list[str]) -> None:
    """The file says that it has the current version, so that nothing would create the table."""
    filled_everywhere(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"DROP TABLE {table}")

    assert set(readings(path).values()) == {0}

    (warning,) = warnings
    assert f"lacks {table}." in warning
    assert [aside.name.split(".damaged-")[0] for aside in path.parent.glob("*.damaged-*")] == [path.name]


def test_a_file_that_stays_locked_gives_way_to_memory(
    path: Path, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a warning; the file is as it was once the other process has ended."""
    filled_everywhere(path)
    sound = readings(path)
    monkeypatch.setattr(ledger_file, "open_database", partial(ledger_file.open_database, busy_seconds=0))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        ledger = Ledger(path)
        assert ledger.files(Series("SPY", MINUTE)) == {}
        ledger.record_files(Series("SPY", MINUTE), [(DAYS[0], FileMark(1, 2, 3))])
        assert ledger.path is None
        ledger.close()

    (warning,) = warnings
    assert f"the ledger {path} cannot be used (database is locked)" in warning
    monkeypatch.undo()
    assert readings(path) == sound
