"""What the ledger records of checks of corporate actions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from server.data_download.findings import Doubt, Findings, LaterEvent, OtherHolder
from server.data_download.ledger import CorporateCheck, Ledger
from server.lean.series import Resolution, Series

NOW = datetime(2024, 6, 3, 12, tzinfo=UTC)
DAYS = [date(2024, 3, 4) + timedelta(days=n) for n in range(5)]
MINUTE, DAILY = Resolution.MINUTE, Resolution.DAILY


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "state" / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    """A new one."""
    made = Ledger(path)
    yield made
    made.close()


def reopened(path: Path) -> Ledger:
    """What a later run finds; to be closed."""
    return Ledger(path)


def test_checks_of_corporate_actions_are_remembered_by_symbol(ledger: Ledger, path: Path) -> None:
    """The last one of each symbol, for any number of symbols, also after the ledger was closed."""
    first = CorporateCheck(provider="polygon", checked_at=NOW.timestamp(), asked_from=DAYS[0], since=DAYS[1])
    second = CorporateCheck(provider="polygon", checked_at=NOW.timestamp() + 1, made=False, trouble="it is down")
    ledger.record_corporate_check("SPY", second)
    ledger.record_corporate_check("SPY", first)
    ledger.record_corporate_check("BRK.B", second)
    ledger.close()

    later = reopened(path)
    asked = [f"A{n}" for n in range(1200)]
    assert later.corporate_checks(["SPY", "BRK.B", *asked]) == {"SPY": first, "BRK.B": second}
    assert later.corporate_checks([]) == {}
    later.close()


FINDINGS = Findings(
    other_holders=(
        OtherHolder(symbol="META", ticker="META", first_day=DAYS[0], last_day=DAYS[1], name="An ETF", figi="BBG0"),
    ),
    doubts=(Doubt(symbol="META", day=DAYS[2], kind="pause", message='a "pause"\nand more'),),
    later_events=(LaterEvent(symbol="META", day=DAYS[3], what="dividend of $0.5"),),
)


def test_findings_are_remembered_with_the_check(ledger: Ledger, path: Path) -> None:
    """Every field of each kind, and the days that were compared."""
    check = CorporateCheck(
        provider="polygon",
        checked_at=NOW.timestamp(),
        asked_from=DAYS[0],
        asked_through=DAYS[4],
        trouble="it is down",
        findings=FINDINGS,
        failed_at=NOW.timestamp() + 1,
        files=b"digest",
    )
    ledger.record_corporate_check("META", check)
    ledger.close()

    later = reopened(path)
    assert later.corporate_checks(["META"]) == {"META": check}
    later.close()


@pytest.mark.parametrize(
    ("first", "last", "compared"),
    [(1, 3, True), (0, 3, False), (1, 4, False), (2, 2, True), (4, 4, False)],
)
def test_a_check_covers_the_days_that_it_compared(first: int, last: int, compared: bool) -> None:
    """Both ends are included; without them nothing was compared."""
    check = CorporateCheck(provider="polygon", checked_at=0.0, asked_from=DAYS[1], asked_through=DAYS[3])

    assert check.compared(DAYS[first], DAYS[last]) is compared
    assert not CorporateCheck(provider="polygon", checked_at=0.0).compared(DAYS[first], DAYS[last])


def test_checks_of_the_third_version_are_made_again(path: Path) -> None:
    """They do not say which days were compared; files, texts and empty days are kept."""
    earlier = Ledger(path)
    earlier.record_days(Series("SPY", MINUTE), now=NOW, empty=DAYS[:1])
    earlier.record_text("a.csv", b"old")
    earlier.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("""
            DROP TABLE corporate_checks;
            CREATE TABLE corporate_checks (
                symbol TEXT PRIMARY KEY, provider TEXT NOT NULL, checked_at REAL NOT NULL,
                since INTEGER NOT NULL, made INTEGER NOT NULL, trouble TEXT NOT NULL
            ) WITHOUT ROWID;
            INSERT INTO corporate_checks VALUES ('SPY', 'polygon', 1.5, 0, 1, '');
            PRAGMA user_version = 3;
        """)

    ledger = Ledger(path)
    assert ledger.corporate_checks(["SPY"]) == {}
    assert list(ledger.empty_days(Series("SPY", MINUTE))) == DAYS[:1]
    assert ledger.texts("a.csv") == {b"old"}
    check = CorporateCheck(provider="polygon", checked_at=NOW.timestamp(), asked_from=DAYS[0], findings=FINDINGS)
    ledger.record_corporate_check("SPY", check)
    assert ledger.corporate_checks(["SPY"]) == {"SPY": check}
    ledger.close()
    assert [file.name for file in path.parent.iterdir()] == ["ledger.sqlite"]
