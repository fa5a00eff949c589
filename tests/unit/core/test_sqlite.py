"""Opening SQLite state: schema versions, damaged files, transactions."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from server.core import sqlite
from server.core.sqlite import is_damage, open_database, open_reader, readable_rows, set_aside, transaction

SCHEMA = "CREATE TABLE IF NOT EXISTS notes (text TEXT NOT NULL); CREATE INDEX IF NOT EXISTS by_text ON notes (text);"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database in a folder that does not exist yet."""
    return tmp_path / "state" / "notes.sqlite"


def write(path: Path, text: str, version: int = 1) -> None:
    """Store a text with the module under test."""
    with (
        closing(open_database(path, schema=SCHEMA, version=version, warn=pytest.fail)) as connection,
        transaction(connection),
    ):
        connection.execute("INSERT INTO notes VALUES (?)", (text,))


def read(path: Path) -> list[str]:
    """Read the texts with the standard library alone."""
    with closing(sqlite3.connect(path)) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY rowid")]


def test_a_new_file_gets_the_schema_and_its_version(path: Path) -> None:
    """All statements of the script, and write-ahead logging; a second opening changes nothing."""
    write(path, "one")
    write(path, "two")

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert {name for (name,) in connection.execute("SELECT name FROM sqlite_master")} == {"notes", "by_text"}
    assert read(path) == ["one", "two"]


@pytest.mark.parametrize(("durable", "synchronous"), [(True, 1), (False, 0)])
def test_only_durable_files_are_synced(path: Path, durable: bool, synchronous: int) -> None:
    """SQLite's level NORMAL syncs at checkpoints, OFF never does."""
    with closing(open_database(path, schema=SCHEMA, version=1, warn=pytest.fail, durable=durable)) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)


def test_a_database_in_memory_has_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables are there, the folder stays empty."""
    monkeypatch.chdir(tmp_path)
    with closing(open_database(None, schema=SCHEMA, version=1, warn=pytest.fail)) as connection:
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (0,)
    assert list(tmp_path.iterdir()) == []


def test_a_transaction_is_rolled_back_after_an_exception(path: Path) -> None:
    """Nothing of it is stored, and the connection can be used again."""
    with closing(open_database(path, schema=SCHEMA, version=1, warn=pytest.fail)) as connection:
        with pytest.raises(sqlite3.IntegrityError), transaction(connection):
            connection.executemany("INSERT INTO notes VALUES (?)", [("lost",), (None,)])
        with transaction(connection):
            connection.execute("INSERT INTO notes VALUES ('stored')")
    assert read(path) == ["stored"]


def test_a_transaction_excludes_other_writers_from_its_start(path: Path) -> None:
    """A second connection cannot begin one before the first has ended."""
    with (
        closing(open_database(path, schema=SCHEMA, version=1, warn=pytest.fail)) as one,
        closing(open_database(path, schema=SCHEMA, version=1, warn=pytest.fail, busy_seconds=0)) as other,
    ):
        with transaction(one), pytest.raises(sqlite3.OperationalError) as caught, transaction(other):
            pass
        assert caught.value.sqlite_errorcode == sqlite3.SQLITE_BUSY
        assert not is_damage(caught.value)
        with transaction(other):
            pass


def damaged_contents(path: Path) -> dict[str, bytes]:
    """Contents that SQLite cannot read, made of a sound file with several pages."""
    with closing(open_database(path, schema=SCHEMA, version=1, warn=pytest.fail)) as connection:
        with transaction(connection):
            connection.executemany("INSERT INTO notes VALUES (?)", [(f"{n:0500}",) for n in range(200)])
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sound = path.read_bytes()
    return {
        "text": b"this is not a database" * 300,
        "header only": b"SQLite format 3\0" + b"\xff" * 5000,
        "cut": sound[: len(sound) // 2],
        "overwritten": sound[:4096] + b"\xa5" * (len(sound) - 4096),
    }


@pytest.mark.parametrize("kind", ["text", "header only", "cut", "overwritten"])
def test_a_damaged_file_is_renamed_and_replaced(path: Path, kind: str) -> None:
    """The warning names both files; the renamed one keeps its content."""
    content = damaged_contents(path)[kind]
    path.write_bytes(content)
    warned: list[str] = []
    open_database(path, schema=SCHEMA, version=1, warn=warned.append).close()

    (aside,) = path.parent.glob("notes.sqlite.damaged-*")
    assert aside.read_bytes() == content
    (message,) = warned
    assert str(path) in message
    assert aside.name in message
    assert read(path) == []


def test_the_journal_of_a_damaged_file_is_renamed_with_it(path: Path) -> None:
    """SQLite would apply it to the new file otherwise."""
    path.parent.mkdir()
    path.write_bytes(b"this is not a database")
    path.with_name("notes.sqlite-wal").write_bytes(b"journal")
    set_aside(path, sqlite.DamagedDatabaseError("damaged"), lambda message: None)

    assert [file.read_bytes() for file in path.parent.glob("notes.sqlite.damaged-*-wal")] == [b"journal"]
    assert not path.exists()


def test_damage_in_a_large_file_appears_on_use(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file above the limit is not read whole; the error of the statement is recognised as damage."""
    content = damaged_contents(path)["overwritten"]
    path.write_bytes(content)
    monkeypatch.setattr(sqlite, "CHECKED_SIZE", len(content) - 1)

    with (
        closing(open_database(path, schema=SCHEMA, version=1, warn=pytest.fail)) as connection,
        pytest.raises(sqlite3.DatabaseError) as caught,
    ):
        connection.execute("SELECT * FROM notes").fetchall()
    assert is_damage(caught.value)


def test_an_older_version_is_converted(path: Path) -> None:
    """The conversion receives the version found, and is committed together with the new one."""
    write(path, "old")
    found: list[int] = []

    def migrate(connection: sqlite3.Connection, version: int) -> None:
        found.append(version)
        connection.execute("UPDATE notes SET text = 'new'")

    for _ in range(2):
        open_database(path, schema=SCHEMA, version=3, warn=pytest.fail, migrate=migrate).close()
    assert found == [1]
    assert read(path) == ["new"]


def test_a_conversion_that_fails_changes_nothing(path: Path) -> None:
    """The old version stays readable."""
    write(path, "old")

    def migrate(connection: sqlite3.Connection, version: int) -> None:
        connection.execute("DELETE FROM notes")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        open_database(path, schema=SCHEMA, version=2, warn=pytest.fail, migrate=migrate)
    assert read(path) == ["old"]


def test_a_file_without_a_version_gets_the_tables_it_lacks(path: Path) -> None:
    """Its rows stay."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
        connection.execute("INSERT INTO notes VALUES ('kept')")
    write(path, "more")

    assert read(path) == ["kept", "more"]


@pytest.mark.parametrize(("found", "current"), [(2, 1), (1, 2)])
def test_a_version_that_cannot_be_read_is_replaced(path: Path, found: int, current: int) -> None:
    """A newer one, and an older one without a conversion."""
    write(path, "other", version=found)
    warned: list[str] = []
    open_database(path, schema=SCHEMA, version=current, warn=warned.append).close()

    assert f"its schema version is {found}" in warned[0]
    assert read(path) == []
    (aside,) = path.parent.glob("notes.sqlite.damaged-*[0-9]Z")
    assert read(aside) == ["other"]


@pytest.mark.parametrize("table", ["CREATE TABLE other (text TEXT)", "CREATE TABLE notes (words TEXT)"])
def test_a_file_that_lacks_a_column_of_its_version_is_replaced(path: Path, table: str) -> None:
    """The whole table, or one column of it; the new file can be used."""
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(table)
        connection.execute("PRAGMA user_version = 1")
    warnings: list[str] = []

    open_database(path, schema=SCHEMA, version=1, warn=warnings.append).close()

    assert [f"{path} is damaged (it lacks notes.text)" in warning for warning in warnings] == [True]
    write(path, "new")
    assert read(path) == ["new"]


def test_a_file_with_more_columns_than_its_version_is_used(path: Path) -> None:
    """Nothing reads them."""
    write(path, "old")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE notes ADD COLUMN more TEXT")

    open_database(path, schema=SCHEMA, version=1, warn=pytest.fail).close()

    assert read(path) == ["old"]


def test_rows_that_cannot_be_converted_are_left_out() -> None:
    """With one warning, which has their number and the first reason."""
    warnings: list[str] = []

    found = readable_rows([("1", 2), ("x", 3), ("4", 5), (None, 6)], lambda a, b: int(a) + b, warnings.append)

    assert found == [3, 9]
    (warning,) = warnings
    assert warning.startswith("2 unreadable rows left out (ValueError: ")


def test_a_file_that_another_process_replaced_is_left_alone(path: Path) -> None:
    """Two processes that find the same damage rename it once."""
    write(path, "sound")
    error = sqlite.DamagedDatabaseError("damaged")
    set_aside(path, error, pytest.fail, identity=(0, 0))

    assert read(path) == ["sound"]


@pytest.mark.parametrize("kind", ["folder is a file", "path is a folder"])
def test_a_place_that_cannot_hold_a_file_is_no_damage(tmp_path: Path, kind: str) -> None:
    """The error is the caller's to report, and nothing is renamed."""
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "notes.sqlite" if kind == "folder is a file" else tmp_path
    with pytest.raises((OSError, sqlite3.OperationalError)) as caught:
        open_database(path, schema=SCHEMA, version=1, warn=pytest.fail)

    assert not is_damage(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_new_file_waits_for_another_process_that_creates_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite itself does not wait for the lock that changes the journal of a new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    waits: list[float] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        def end_the_other(seconds: float) -> None:
            waits.append(seconds)
            other.execute("CREATE TABLE others (name TEXT)")
            other.commit()

        monkeypatch.setattr(sqlite.time, "sleep", end_the_other)
        with closing(open_database(path, schema=SCHEMA, version=1, warn=pytest.fail)) as opened:
            tables = {name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}

    assert len(waits) == 1
    assert tables == {"notes", "others"}


def test_a_file_that_stays_locked_is_an_error(path: Path) -> None:
    """After the time limit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            open_database(path, schema=SCHEMA, version=1, warn=pytest.fail, busy_seconds=0)


def test_a_transaction_whose_commit_fails_is_rolled_back(path: Path) -> None:
    """The next one can begin."""
    schema = "CREATE TABLE rows (key INTEGER PRIMARY KEY, other REFERENCES rows DEFERRABLE INITIALLY DEFERRED);"
    with closing(open_database(path, schema=schema, version=1, warn=pytest.fail)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError), transaction(connection):
            connection.execute("INSERT INTO rows VALUES (1, 2)")
        with transaction(connection):
            connection.execute("INSERT INTO rows VALUES (3, 3)")

        assert connection.execute("SELECT key FROM rows").fetchall() == [(3,)]


def test_a_reader_writes_nothing(path: Path) -> None:
    """It has what was written, and text that is not UTF-8 with replacement characters."""
    schema = "CREATE TABLE rows (text);"
    with (
        closing(open_database(path, schema=schema, version=1, warn=pytest.fail)) as writer,
        closing(open_reader(path, 0)) as reader,
    ):
        writer.execute("INSERT INTO rows VALUES (CAST(x'61FF' AS TEXT))")

        assert reader.execute("SELECT text FROM rows").fetchall() == [("a\ufffd",)]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM rows")
