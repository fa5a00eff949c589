"""What the ledger remembers, and what it does when its file is at fault."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from server.core.errors import WriteFailedError
from server.data_download.availability import EmptyMark
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
def ledger(path: Path) -> Iterator[Ledger]:
    """A new one."""
    made = Ledger(path)
    yield made
    made.close()


def reopened(path: Path) -> Ledger:
    """What a later run finds; to be closed."""
    return Ledger(path)


def test_looking_makes_no_file(ledger: Ledger, path: Path) -> None:
    """Nothing is known, and nothing is put on disk for that."""
    assert ledger.files(Series("SPY", MINUTE)) == {}
    assert ledger.empty_days(Series("SPY", MINUTE)) == {}
    assert ledger.provisional_days(Series("SPY", MINUTE)) == set()
    assert not path.parent.exists()


def test_a_ledger_that_creates_no_folder(path: Path) -> None:
    """It remembers in memory; where the folder exists it writes its file there."""
    marks = [(DAYS[0], FileMark(10, 123, 390))]
    memory = Ledger(path, create_folder=False)
    memory.record_files(Series("SPY", MINUTE), marks)

    with closing(memory):
        assert memory.files(Series("SPY", MINUTE)) == {DAYS[0].toordinal(): marks[0][1]}
        assert not path.parent.exists()

    path.parent.mkdir()
    on_disk = Ledger(path, create_folder=False)
    on_disk.record_files(Series("SPY", MINUTE), marks)
    with closing(on_disk), closing(reopened(path)) as later:
        assert later.files(Series("SPY", MINUTE)) == on_disk.files(Series("SPY", MINUTE)) != {}


def test_files_are_remembered_by_symbol_resolution_and_day(ledger: Ledger, path: Path) -> None:
    """Size, modification time and rows; for a daily zip the days it holds; also after the ledger was closed."""
    daily = FileMark(99, 1_700_000_000_000_000_001, 5, tuple(DAYS))
    ledger.record_files(Series("SPY", MINUTE), [(DAYS[0], FileMark(10, 123, 390)), (DAYS[1], FileMark(11, 124, 391))])
    ledger.record_files(Series("SPY", DAILY), [(None, daily)])
    ledger.record_files(Series("SPY", MINUTE), [(DAYS[1], FileMark(12, 125, 392))])

    for known in (ledger, reopened(path)):
        assert known.files(Series("SPY", MINUTE)) == {
            DAYS[0].toordinal(): FileMark(10, 123, 390),
            DAYS[1].toordinal(): FileMark(12, 125, 392),
        }
        assert known.files(Series("SPY", DAILY)) == {0: daily}
        assert known.files(Series("AAPL", MINUTE)) == {}
        known.close()


def test_a_file_can_be_forgotten(ledger: Ledger) -> None:
    """That one and no other."""
    ledger.record_files(Series("SPY", MINUTE), [(day, FileMark(1, 2, 3)) for day in DAYS[:2]])
    ledger.record_files(Series("SPY", DAILY), [(None, FileMark(1, 2, 3))])

    ledger.forget_file(Series("SPY", MINUTE), DAYS[0])
    ledger.forget_file(Series("SPY", DAILY), None)

    assert list(ledger.files(Series("SPY", MINUTE))) == [DAYS[1].toordinal()]
    assert ledger.files(Series("SPY", DAILY)) == {}


def test_empty_days_count_how_often_they_were_asked_for(ledger: Ledger) -> None:
    """Each answer without bars moves the instant and adds one."""
    ledger.record_days(Series("SPY", MINUTE), now=NOW, empty=DAYS[:2])
    ledger.record_days(Series("SPY", MINUTE), now=NOW + timedelta(days=2), empty=DAYS[:1])

    assert ledger.empty_days(Series("SPY", MINUTE)) == {
        DAYS[0]: EmptyMark((NOW + timedelta(days=2)).timestamp(), 2),
        DAYS[1]: EmptyMark(NOW.timestamp(), 1),
    }


def test_a_day_with_bars_is_empty_no_longer(ledger: Ledger) -> None:
    """Whether for good or for now."""
    ledger.record_days(Series("SPY", MINUTE), now=NOW, empty=DAYS[:3])
    ledger.record_days(Series("SPY", MINUTE), now=NOW, settled=DAYS[:1], provisional=DAYS[1:2])

    assert list(ledger.empty_days(Series("SPY", MINUTE))) == [DAYS[2]]
    assert ledger.provisional_days(Series("SPY", MINUTE)) == {DAYS[1]}


def test_a_day_is_provisional_until_it_is_settled_or_empty(ledger: Ledger) -> None:
    """Fetching it again for good ends it."""
    ledger.record_days(Series("SPY", MINUTE), now=NOW, provisional=DAYS[:3])
    ledger.record_days(Series("SPY", MINUTE), now=NOW, settled=DAYS[:1], empty=DAYS[1:2])

    assert ledger.provisional_days(Series("SPY", MINUTE)) == {DAYS[2]}
    assert ledger.provisional_days(Series("SPY", DAILY)) == set()


def test_several_threads_write_at_once(ledger: Ledger) -> None:
    """Nothing is lost."""
    days = [date(2020, 1, 1) + timedelta(days=n) for n in range(200)]

    def note(day: date) -> None:
        ledger.record_files(Series("SPY", MINUTE), [(day, FileMark(1, 2, 3))])
        ledger.record_days(Series("SPY", MINUTE), now=NOW, empty=[day])
        ledger.files(Series("SPY", MINUTE))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(note, days))

    assert len(ledger.files(Series("SPY", MINUTE))) == len(ledger.empty_days(Series("SPY", MINUTE))) == 200


def test_two_ledgers_over_one_file_see_each_other(path: Path) -> None:
    """As two processes do."""
    one, other = Ledger(path), Ledger(path)
    one.record_days(Series("SPY", MINUTE), now=NOW, empty=DAYS[:1])
    other.record_days(Series("SPY", MINUTE), now=NOW, empty=DAYS[1:2])

    assert set(one.empty_days(Series("SPY", MINUTE))) == set(other.empty_days(Series("SPY", MINUTE))) == set(DAYS[:2])
    one.close()
    other.close()


def test_without_a_place_it_is_kept_in_memory(tmp_path: Path) -> None:
    """Where a file is in the folder's place, or none is given: it works for as long as it is open."""
    (tmp_path / "file").write_bytes(b"")
    for place in (None, tmp_path / "file" / "ledger.sqlite"):
        ledger = Ledger(place)
        ledger.record_days(Series("SPY", MINUTE), now=NOW, empty=DAYS[:1])

        assert list(ledger.empty_days(Series("SPY", MINUTE))) == DAYS[:1]
        ledger.close()
    assert (tmp_path / "file").read_bytes() == b""


@pytest.mark.parametrize("content", [b"no database" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_ledger_is_set_aside(path: Path, content: bytes) -> None:
    """It is kept under another name, and a new ledger begun."""
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    ledger = Ledger(path)

    assert ledger.files(Series("SPY", MINUTE)) == {}
    ledger.record_days(Series("SPY", MINUTE), now=NOW, empty=DAYS[:1])
    ledger.close()

    again = Ledger(path)
    assert list(again.empty_days(Series("SPY", MINUTE))) == DAYS[:1]
    again.close()
    (aside,) = path.parent.glob("ledger.sqlite.damaged-*")
    assert aside.read_bytes() == content


def test_a_ledger_of_another_version_is_set_aside(ledger: Ledger, path: Path) -> None:
    """A newer program's tables are not read as ours."""
    ledger.record_days(Series("SPY", MINUTE), now=NOW, empty=DAYS)
    ledger.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")

    later = Ledger(path)
    assert later.empty_days(Series("SPY", MINUTE)) == {}
    later.close()
    assert len(list(path.parent.glob("ledger.sqlite.damaged-*"))) == 1


@pytest.mark.parametrize("version", [1, 2])
def test_earlier_versions_are_migrated(path: Path, version: int) -> None:
    """Tables keyed by symbol and resolution become tables keyed by series; nothing is lost."""
    path.parent.mkdir(parents=True)
    key = "symbol TEXT NOT NULL, resolution TEXT NOT NULL, day INTEGER NOT NULL"
    rest = "PRIMARY KEY (symbol, resolution, day)) WITHOUT ROWID"
    packed = b"".join(day.toordinal().to_bytes(3, "big") for day in DAYS)
    first = DAYS[0].toordinal()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"""
            CREATE TABLE files ({key}, size INTEGER NOT NULL, changed INTEGER NOT NULL, row_count INTEGER NOT NULL,
                days BLOB, {rest};
            CREATE TABLE empty_days ({key}, asked_at REAL NOT NULL, times INTEGER NOT NULL, {rest};
            CREATE TABLE provisional_days ({key}, fetched_at REAL NOT NULL, {rest};
            INSERT INTO files VALUES ('SPY', 'minute', {first}, 10, 123, 390, NULL);
            INSERT INTO empty_days VALUES ('BRK.B', 'second', {first}, 5.5, 3);
            INSERT INTO provisional_days VALUES ('SPY', 'minute', {first}, 6.5);
        """)
        connection.execute("INSERT INTO files VALUES ('SPY', 'daily', 0, 99, 456, 5, ?)", (packed,))
        if version == 2:
            texts = "path TEXT NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (path, digest)"
            connection.execute(f"CREATE TABLE texts ({texts}) WITHOUT ROWID")
            connection.execute("INSERT INTO texts VALUES ('equity/usa/map_files/spy.csv', x'01')")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()

    for _ in range(2):  # the second one finds version 3
        ledger = Ledger(path)
        assert ledger.files(Series("SPY", MINUTE)) == {first: FileMark(10, 123, 390)}
        assert ledger.files(Series("SPY", DAILY)) == {0: FileMark(99, 456, 5, tuple(DAYS))}
        assert ledger.empty_days(Series("BRK.B", Resolution.SECOND)) == {DAYS[0]: EmptyMark(5.5, 3)}
        assert ledger.provisional_days(Series("SPY", MINUTE)) == {DAYS[0]}
        assert ledger.texts("equity/usa/map_files/spy.csv") == ({b"\x01"} if version == 2 else set())
        assert ledger.corporate_checks(["SPY"]) == {}
        ledger.close()


def test_a_ledger_of_version_4_has_no_findings_yet(path: Path) -> None:
    """Its files stay verified; that nothing was recorded about them differs from nothing found."""
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("""
            CREATE TABLE files (series TEXT NOT NULL, day INTEGER NOT NULL, size INTEGER NOT NULL,
                changed INTEGER NOT NULL, row_count INTEGER NOT NULL, days BLOB,
                PRIMARY KEY (series, day)) WITHOUT ROWID;
            INSERT INTO files VALUES ('equity/usa/minute/trade/SPY', 738949, 10, 123, 390, NULL);
            PRAGMA user_version = 4;
        """)

    ledger = Ledger(path)
    assert ledger.files(Series("SPY", MINUTE)) == {738949: FileMark(10, 123, 390, (), None)}
    ledger.record_files(Series("SPY", MINUTE), [(DAYS[0], FileMark(1, 2, 3, (), ""))])
    ledger.close()

    with closing(reopened(path)) as later:
        assert later.files(Series("SPY", MINUTE))[DAYS[0].toordinal()].findings == ""
    assert [file.name for file in path.parent.iterdir()] == ["ledger.sqlite"]


def filled(path: Path) -> Ledger:
    """A ledger of several pages, with its file up to date."""
    ledger = Ledger(path)
    days = [date(2000, 1, 1) + timedelta(days=n) for n in range(3000)]
    ledger.record_files(Series("SPY", MINUTE), [(day, FileMark(1, 2, 3)) for day in days])
    ledger.close()
    return Ledger(path)


def test_damage_that_shows_when_rows_are_read_creates_it_again(path: Path) -> None:
    """The first page is sound, the others are not: reading gives nothing, and writing works."""
    filled(path).close()
    content = path.read_bytes()
    assert len(content) > 5 * 4096
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    ledger = Ledger(path)

    assert ledger.files(Series("SPY", MINUTE)) == {}
    ledger.record_days(Series("SPY", MINUTE), now=NOW, empty=DAYS[:1])
    assert list(ledger.empty_days(Series("SPY", MINUTE))) == DAYS[:1]
    ledger.close()


def test_a_full_disk_is_reported_as_such(ledger: Ledger, path: Path) -> None:
    """Not SQLite's error but ours, which names the file; what was known is still known."""
    ledger.record_days(Series("SPY", MINUTE), now=NOW, empty=DAYS[:1])
    with closing(sqlite3.connect(path)) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    ledger._file._connection.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(WriteFailedError, match="disk") as caught:
        ledger.record_files(Series("SPY", MINUTE), [(date.fromordinal(n), FileMark(1, 2, 3)) for n in range(1, 5000)])

    assert str(path) in str(caught.value)
    assert list(ledger.empty_days(Series("SPY", MINUTE))) == DAYS[:1]
    assert ledger.files(Series("SPY", MINUTE)) == {}


_VERSION_1 = """
CREATE TABLE files (
    symbol TEXT NOT NULL, resolution TEXT NOT NULL, day INTEGER NOT NULL,
    size INTEGER NOT NULL, changed INTEGER NOT NULL, row_count INTEGER NOT NULL, days BLOB,
    PRIMARY KEY (symbol, resolution, day)
) WITHOUT ROWID;
CREATE TABLE empty_days (
    symbol TEXT NOT NULL, resolution TEXT NOT NULL, day INTEGER NOT NULL,
    asked_at REAL NOT NULL, times INTEGER NOT NULL,
    PRIMARY KEY (symbol, resolution, day)
) WITHOUT ROWID;
CREATE TABLE provisional_days (
    symbol TEXT NOT NULL, resolution TEXT NOT NULL, day INTEGER NOT NULL, fetched_at REAL NOT NULL,
    PRIMARY KEY (symbol, resolution, day)
) WITHOUT ROWID;
INSERT INTO files VALUES ('SPY', 'minute', 738949, 10, 123, 390, NULL);
PRAGMA user_version = 1;
"""


def test_a_ledger_of_the_first_version_is_upgraded_in_place(path: Path) -> None:
    """What it knew is known, the new tables are there, and nothing is set aside."""
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_VERSION_1)

    ledger = Ledger(path)
    assert ledger.files(Series("SPY", MINUTE)) == {738949: FileMark(10, 123, 390)}
    assert ledger.corporate_checks(["SPY"]) == {}
    ledger.record_text("equity/usa/factor_files/spy.csv", b"1")
    ledger.close()

    later = Ledger(path)
    assert later.texts("equity/usa/factor_files/spy.csv") == {b"1"}
    assert later.files(Series("SPY", MINUTE)) == {738949: FileMark(10, 123, 390)}
    later.close()
    assert [file.name for file in path.parent.iterdir()] == ["ledger.sqlite"]


def test_texts_of_ours_are_known_before_and_after_they_are_put_in_place(ledger: Ledger) -> None:
    """While a file is replaced the old and the new content are ours; afterwards only the new."""
    ledger.record_text("a.csv", b"old", only=True)
    ledger.record_text("a.csv", b"new")
    assert ledger.texts("a.csv") == {b"old", b"new"}

    ledger.record_text("a.csv", b"new", only=True)
    assert ledger.texts("a.csv") == {b"new"}
    assert ledger.texts("b.csv") == set()


def test_consistent_universe_files_are_remembered_by_day(ledger: Ledger, path: Path) -> None:
    """Size, modification time and the digest of their sources; a later record replaces an earlier one."""
    first, second = UniverseMark(10, 123, b"\x01"), UniverseMark(11, 1_700_000_000_000_000_001, b"\x02")
    assert ledger.universe_files() == {}
    ledger.record_universe_files({DAYS[0]: first, DAYS[1]: first})
    ledger.record_universe_files({DAYS[1]: second})

    with closing(reopened(path)) as later:
        assert ledger.universe_files() == later.universe_files() == {DAYS[0]: first, DAYS[1]: second}


def test_kinds_of_rows_are_remembered_by_day_and_checksum(ledger: Ledger, path: Path) -> None:
    """A day has one kind, the last one recorded."""
    series = Series("SPY", DAILY)
    ledger.record_row_kinds(series, "vendor", {DAYS[1]: 2**32 - 1, DAYS[0]: 0})
    ledger.record_row_kinds(series, "regular-session", {DAYS[1]: 7, DAYS[2]: 8})
    ledger.record_row_kinds(Series("QQQ", DAILY), "vendor", {DAYS[0]: 5})

    with closing(reopened(path)) as later:
        found = later.row_kinds(series)
        assert found == {"vendor": {DAYS[0]: 0}, "regular-session": {DAYS[1]: 7, DAYS[2]: 8}}
        later.record_row_kinds(series, "regular-session", {DAYS[0]: 1})
        found = later.row_kinds(series)
        assert found == {"vendor": {}, "regular-session": {DAYS[0]: 1, DAYS[1]: 7, DAYS[2]: 8}}


def test_a_ledger_of_version_four_keeps_its_checks(ledger: Ledger, path: Path) -> None:
    """The tables of kinds and of universe files are added; nothing is asked again."""
    series, check = Series("SPY", DAILY), CorporateCheck(provider="polygon", checked_at=5.0)
    ledger.record_corporate_check("SPY", check)
    ledger.record_days(series, now=NOW, empty=DAYS)
    ledger.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE row_kinds")
        connection.execute("DROP TABLE universe_files")
        connection.execute("PRAGMA user_version = 4")
        connection.commit()

    with closing(reopened(path)) as later:
        assert later.corporate_checks(["SPY"]) == {"SPY": check}
        assert later.empty_days(series).keys() == {*DAYS}
        assert later.row_kinds(series) == {}
        later.record_row_kinds(series, "vendor", {DAYS[0]: 1})
        assert later.row_kinds(series) == {"vendor": {DAYS[0]: 1}}
        assert later.universe_files() == {}
