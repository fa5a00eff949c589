"""The only writer into LEAN's data folder: whole files or none, locks, damaged files."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import WriteFailedError
from server.data_download import files
from server.data_download.data_folder import DataFolder
from server.data_download.locks import STATE_FOLDER
from server.lean.series import Resolution, Series
from server.lean.trade_csv import DayText
from server.lean.zip import zip_bytes
from tests.support.harness import calendar, csv_of, leftovers

MINUTE, SECOND, DAILY = Resolution.MINUTE, Resolution.SECOND, Resolution.DAILY
DAYS = [date(2024, 3, 4), date(2024, 3, 5), date(2024, 3, 6)]


def minutes(day: date, price: int = 10_000) -> DayText:
    """Two minutes of a day."""
    rows = [f"{34_200_000 + n * 60_000},{price},{price},{price},{price},{100 + n}" for n in range(2)]
    return DayText(day, "\n".join(rows).encode(), 2)


def daily(day: date, price: int = 10_000) -> DayText:
    """A daily row."""
    return DayText(day, f"{day:%Y%m%d} 00:00,{price},{price},{price},{price},100".encode(), 1)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    """A data folder with its ledger."""
    opened = DataFolder.open(tmp_path, calendar())
    yield opened
    opened.close()


def on_disk(folder: DataFolder, resolution: Resolution = MINUTE, days: list[date] = DAYS) -> set[date]:
    """The days that are found there."""
    return set(folder.catalog.scan(Series("SPY", resolution), days)[0].on_disk)


def path_of(folder: DataFolder, day: date) -> Path:
    """Where a day's minutes are."""
    return folder.path / "equity" / "usa" / "minute" / "spy" / f"{day:%Y%m%d}_trade.zip"


# --- writing ---


def test_days_are_files_of_their_own(folder: DataFolder) -> None:
    """A zip a day, with LEAN's names, and found again."""
    folder.writer.write_days(Series("SPY", MINUTE), [minutes(day) for day in DAYS[:2]])

    assert csv_of(folder.path) == {f"minute/spy/{day:%Y%m%d}_trade.zip": minutes(day).csv for day in DAYS[:2]}
    assert on_disk(folder) == set(DAYS[:2])
    assert leftovers(folder.path) == []


def test_a_new_file_takes_the_place_of_the_old_one(folder: DataFolder) -> None:
    """Whole."""
    folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0])])
    folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0], 20_000)])

    assert list(csv_of(folder.path).values()) == [minutes(DAYS[0], 20_000).csv]


def test_daily_rows_are_merged_by_day(folder: DataFolder) -> None:
    """In order, new rows winning, old rows untouched."""
    folder.writer.write_days(Series("SPY", DAILY), [daily(DAYS[0]), daily(DAYS[2])])
    folder.writer.write_days(Series("SPY", DAILY), [daily(DAYS[1], 20_000), daily(DAYS[2], 30_000)])

    expected = [daily(DAYS[0]).csv, daily(DAYS[1], 20_000).csv, daily(DAYS[2], 30_000).csv]
    assert csv_of(folder.path) == {"daily/spy.zip": b"\n".join(expected)}
    assert on_disk(folder, DAILY) == set(DAYS)


def test_the_old_rows_of_another_writer_keep_their_text(folder: DataFolder) -> None:
    """CRLF and the line end at the end go; a row that is not asked for stays letter for letter."""
    path = folder.path / "equity" / "usa" / "daily" / "spy.zip"
    path.parent.mkdir(parents=True)
    path.write_bytes(zip_bytes("spy.csv", b"20240304 00:00,0010,10.50,1,1,1\r\n"))

    folder.writer.write_days(Series("SPY", DAILY), [daily(DAYS[1])])

    assert csv_of(folder.path)["daily/spy.zip"] == b"20240304 00:00,0010,10.50,1,1,1\n" + daily(DAYS[1]).csv


def test_a_temporary_name_is_none_that_lean_lists(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the same folder and ends in neither .csv nor .zip."""
    seen: list[Path] = []
    real = os.replace

    def watch(source: Any, target: Any) -> None:
        seen.append(Path(source))
        real(source, target)

    monkeypatch.setattr(os, "replace", watch)
    folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0])])

    (temporary,) = seen
    assert temporary.parent == path_of(folder, DAYS[0]).parent
    assert temporary.suffix not in (".zip", ".csv")


def test_files_are_as_readable_as_the_user_wants(folder: DataFolder) -> None:
    """LEAN's container may run as another user: the usual mask decides."""
    mask = os.umask(0o022)
    os.umask(mask)
    folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0])])

    assert stat.S_IMODE(path_of(folder, DAYS[0]).stat().st_mode) == 0o666 & ~mask


# --- what can fail ---


def failing(name: str, number: int, *, after: int = 0) -> Callable[[pytest.MonkeyPatch], None]:
    """Make a call of the operating system fail with this error, after this many calls that work."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        real = getattr(os, name)
        calls = iter(range(10_000))

        def fail(*args: Any, **kwargs: Any) -> Any:
            if next(calls) >= after:
                raise OSError(number, os.strerror(number))
            return real(*args, **kwargs)

        monkeypatch.setattr(files.os, name, fail)

    return patch


FAULTS = [
    ("write", errno.ENOSPC, "the disk is full; free some space"),
    ("write", errno.EDQUOT, "the disk quota is used up"),
    ("write", errno.EIO, "Input/output error"),
    ("fsync", errno.ENOSPC, "the disk is full; free some space"),
    ("fsync", errno.EIO, "Input/output error"),
    ("replace", errno.EACCES, "you may not write there"),
    ("replace", errno.EROFS, "the file system is read-only"),
    ("open", errno.EROFS, "the file system is read-only"),
    ("open", errno.EMFILE, "Too many open files"),
    ("read", errno.EIO, "Input/output error"),
]


@pytest.mark.parametrize(("call", "number", "advice"), FAULTS)
@pytest.mark.parametrize("resolution", [MINUTE, DAILY])
def test_a_failed_write_leaves_the_old_file_whole(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch, call: str, number: int, advice: str, resolution: Resolution
) -> None:
    """No leftovers; the message names symbol, resolution and path and says what to do; the next try works."""
    text = daily if resolution is DAILY else minutes
    folder.writer.write_days(Series("SPY", resolution), [text(DAYS[0])])
    before = csv_of(folder.path)

    with monkeypatch.context() as patch:
        failing(call, number)(patch)
        with pytest.raises(WriteFailedError, match=advice) as caught:
            folder.writer.write_days(Series("SPY", resolution), [text(DAYS[0], 20_000)])

    message = str(caught.value)
    assert message.startswith(f"SPY {resolution.value} could not be written to {folder.path}")
    assert "\n" not in message
    assert caught.value.symbol == "SPY"
    assert csv_of(folder.path) == before
    assert leftovers(folder.path) == []
    folder.writer.write_days(Series("SPY", resolution), [text(DAYS[0], 20_000)])
    assert csv_of(folder.path) != before


def test_of_several_days_those_before_the_failure_stay(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them whole; the next look finds them."""
    with monkeypatch.context() as patch:
        failing("replace", errno.ENOSPC, after=2)(patch)
        with pytest.raises(WriteFailedError):
            folder.writer.write_days(Series("SPY", MINUTE), [minutes(day) for day in DAYS])

    assert on_disk(folder) == set(DAYS[:2])
    assert leftovers(folder.path) == []


def test_a_short_write_is_gone_on_with(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may take fewer bytes than it was given."""
    real = os.write
    monkeypatch.setattr(files.os, "write", lambda file, data: real(file, bytes(data)[:7]))
    folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0])])

    assert list(csv_of(folder.path).values()) == [minutes(DAYS[0]).csv]


def test_what_reads_back_differently_is_not_put_in_place(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not what was written is reported, and the old file stays."""
    folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0])])
    real = os.read
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "read", lambda file, size: real(file, size)[:-1] + b"!")
        with pytest.raises(WriteFailedError, match="reads back differently"):
            folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0], 20_000)])

    assert list(csv_of(folder.path).values()) == [minutes(DAYS[0]).csv]
    assert leftovers(folder.path) == []


def test_an_interrupt_in_the_middle_leaves_nothing(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during a write: the temporary file goes."""

    def interrupted(file: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0])])

    assert leftovers(folder.path) == []
    assert csv_of(folder.path) == {}


@pytest.mark.parametrize("below", ["equity", "equity/usa", "equity/usa/minute", "equity/usa/minute/spy"])
def test_a_file_where_a_folder_is_needed(folder: DataFolder, below: str) -> None:
    """It is reported and left alone."""
    path = folder.path / below
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"the user's")

    with pytest.raises(WriteFailedError, match="a file is in the place of a folder"):
        folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0])])
    assert path.read_bytes() == b"the user's"


@pytest.mark.parametrize("resolution", [MINUTE, DAILY])
def test_a_folder_where_a_file_is_needed(folder: DataFolder, resolution: Resolution) -> None:
    """The same, the other way round; it does not count as present."""
    name = "daily/spy.zip" if resolution is DAILY else f"minute/spy/{DAYS[0]:%Y%m%d}_trade.zip"
    path = folder.path / "equity" / "usa" / name
    (path / "inside").mkdir(parents=True)

    assert on_disk(folder, resolution) == set()
    with pytest.raises(WriteFailedError, match="a folder is in the place of a file"):
        folder.writer.write_days(Series("SPY", resolution), [(daily if resolution is DAILY else minutes)(DAYS[0])])
    assert (path / "inside").is_dir()
    assert leftovers(folder.path) == []
    (path / "inside").rmdir()
    path.rmdir()


# --- looking ---


@pytest.mark.damaged_zips
def test_a_known_file_is_not_opened_again(folder: DataFolder) -> None:
    """Size and modification time suffice: a file that was overwritten with both unchanged still counts as present."""
    folder.writer.write_days(Series("SPY", MINUTE), [minutes(day) for day in DAYS])
    folder.writer.write_days(Series("SPY", DAILY), [daily(day) for day in DAYS])
    for path in (path_of(folder, DAYS[0]), folder.path / "equity" / "usa" / "daily" / "spy.zip"):
        before = path.stat()
        path.write_bytes(b"x" * before.st_size)
        os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))

    assert on_disk(folder) == set(DAYS)
    assert on_disk(folder, DAILY) == set(DAYS)


@pytest.mark.damaged_zips
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no whole zip"),
        (b"rubbish" * 50, "no whole zip"),
        (zip_bytes("20240304_spy_minute_trade.csv", minutes(DAYS[0]).csv)[:-9], "no whole zip"),
        (zip_bytes("20240304_aapl_minute_trade.csv", minutes(DAYS[0]).csv), "the member is called"),
        (zip_bytes("20240305_spy_minute_trade.csv", minutes(DAYS[0]).csv), "the member is called"),
        (zip_bytes("20240304_spy_minute_trade.csv", b""), "the CSV is empty"),
        (zip_bytes("20240304_spy_minute_trade.csv", minutes(DAYS[0]).csv[::-1]), ""),
    ],
)
def test_a_damaged_file_is_named_with_its_reason(folder: DataFolder, content: bytes, reason: str) -> None:
    """It does not count as present, and is left where it is."""
    folder.writer.write_days(Series("SPY", MINUTE), [minutes(day) for day in DAYS])
    path_of(folder, DAYS[0]).write_bytes(content)

    state, (file,) = folder.catalog.scan(Series("SPY", MINUTE), DAYS)

    assert set(state.on_disk) == set(DAYS[1:])
    assert set(state.damaged) == {DAYS[0]}
    assert file.path == path_of(folder, DAYS[0])
    assert reason in file.reason
    assert path_of(folder, DAYS[0]).read_bytes() == content


def test_a_file_that_somebody_changed_is_verified_again(folder: DataFolder) -> None:
    """Another sound file in its place is present."""
    folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0])])
    path_of(folder, DAYS[0]).write_bytes(zip_bytes("20240304_spy_minute_trade.csv", b"34200000,1,1,1,1,1"))

    assert on_disk(folder) == {DAYS[0]}
    marks = folder.ledger.files(Series("SPY", MINUTE))
    assert [mark.rows for mark in marks.values()] == [1]


@pytest.mark.parametrize(
    ("changed", "provisional"),
    [
        ("2024-03-03T23:59:59-05:00", False),
        ("2024-03-04T00:00:00-05:00", True),
        ("2024-03-04T11:00:00-05:00", True),
        ("2024-03-04T20:29:59-05:00", True),
        ("2024-03-04T20:30:00-05:00", False),
        ("2024-03-05T04:00:00-05:00", False),
        ("1980-01-01T00:00:00-05:00", False),
    ],
)
@pytest.mark.parametrize("resolution", [MINUTE, Resolution.DAILY])
def test_a_file_of_unknown_origin_that_was_written_during_its_day_is_provisional(
    folder: DataFolder, resolution: Resolution, changed: str, provisional: bool
) -> None:
    """It holds a part of the day, also where the ledger was lost or another program wrote it."""
    day = date(2024, 3, 4)
    folder.writer.write_days(Series("SPY", resolution), [minutes(day) if resolution is MINUTE else daily(day)])
    path = path_of(folder, day) if resolution is MINUTE else folder.path / "equity" / "usa" / "daily" / "spy.zip"
    at = datetime.fromisoformat(changed).timestamp()
    os.utime(path, (at, at))

    state, _ = folder.catalog.scan(Series("SPY", resolution), [day])

    assert state.on_disk == {day}
    assert (day in state.provisional) is provisional


def test_a_file_that_went_is_missing(folder: DataFolder) -> None:
    """Whatever the ledger remembers."""
    folder.writer.write_days(Series("SPY", MINUTE), [minutes(DAYS[0])])
    folder.writer.write_days(Series("SPY", DAILY), [daily(DAYS[0])])
    path_of(folder, DAYS[0]).unlink()
    (folder.path / "equity" / "usa" / "daily" / "spy.zip").unlink()

    assert on_disk(folder) == on_disk(folder, DAILY) == set()


@pytest.mark.damaged_zips
def test_a_damaged_daily_zip_is_set_aside_when_it_is_written(folder: DataFolder) -> None:
    """The new rows are written; the days it held are known until then, from the ledger and from what can be read."""
    path = folder.path / "equity" / "usa" / "daily" / "spy.zip"
    folder.writer.write_days(Series("SPY", DAILY), [daily(day) for day in DAYS])
    bad = path.read_bytes()[:-20]
    path.write_bytes(bad)

    state, (file,) = folder.catalog.scan(Series("SPY", DAILY), DAYS[:1])
    assert (set(state.on_disk), set(state.damaged)) == (set(), set(DAYS))
    assert file.path == path

    folder.writer.write_days(Series("SPY", DAILY), [daily(DAYS[1], 20_000)])
    assert csv_of(folder.path) == {"daily/spy.zip": daily(DAYS[1], 20_000).csv}
    (aside,) = leftovers(folder.path)
    assert aside.read_bytes() == bad


@pytest.mark.damaged_zips
@pytest.mark.parametrize("day", [None, DAYS[0]])
def test_setting_a_daily_zip_aside_forgets_it(folder: DataFolder, day: date | None) -> None:
    """Whichever of its days it is set aside for."""
    folder.writer.write_days(Series("SPY", DAILY), [daily(day) for day in DAYS])

    aside = folder.writer.set_aside(Series("SPY", DAILY), day)

    assert aside is not None
    assert aside.exists()
    assert folder.ledger.files(Series("SPY", DAILY)) == {}
    assert folder.writer.set_aside(Series("SPY", DAILY), day) is None


# --- locks ---


def take(folder: DataFolder, *series: Series, most: int = 9) -> AbstractContextManager[list[Series]]:
    """Take the locks of series."""
    return folder.locks.take(series, most)


SPY, AAPL = Series("SPY", MINUTE), Series("AAPL", MINUTE)


def test_a_lock_is_held_by_one(folder: DataFolder, tmp_path: Path) -> None:
    """Another folder object, as in another process, does not get it; another symbol or resolution is free."""
    other = DataFolder.open(tmp_path, calendar())
    with take(folder, SPY) as mine:
        assert mine == [SPY]
        for series, free in ((SPY, False), (AAPL, True), (Series("SPY", SECOND), True)):
            with take(other, series) as theirs:
                assert theirs == ([series] if free else [])
    with take(other, SPY) as theirs:
        assert theirs == [SPY]


def test_no_more_locks_are_taken_than_allowed(folder: DataFolder) -> None:
    """The first ones that are free, in the order given."""
    with take(folder, SPY), take(folder, SPY, AAPL, Series("BAC", MINUTE), most=1) as mine:
        assert mine == [AAPL]


def test_the_lock_of_a_market_excludes_all_its_series(folder: DataFolder, tmp_path: Path) -> None:
    """It is held only where no lock of its resolution is, and then none of them can be taken."""
    other = DataFolder.open(tmp_path, calendar())
    with take(folder, SPY), other.locks.take_market([Series("AAPL", MINUTE)]) as free:
        assert not free
    with take(folder, SPY), other.locks.take_market([Series("AAPL", SECOND)]) as free:
        assert free
    with folder.locks.take_market([Series("AAPL", MINUTE)]) as free:
        assert free
        with take(other, AAPL) as mine:
            assert mine == []
        with other.locks.take_market([Series("AAPL", MINUTE)]) as again:
            assert not again


def test_taking_a_lock_removes_what_a_killed_run_left(folder: DataFolder) -> None:
    """This symbol's temporary files and nothing else; not where another run holds the lock."""
    home = folder.path / "equity" / "usa" / "daily"
    home.mkdir(parents=True)
    left, others, users = home / ".spy~1-0.part", home / ".spyg~1-0.part", home / "notes.part"
    for path in (left, others, users):
        path.write_bytes(b"x")
    with take(folder, Series("SPY", DAILY)):
        assert [path.exists() for path in (left, others, users)] == [False, True, True]
        left.write_bytes(b"being written")
        with take(DataFolder.open(folder.path, calendar()), Series("SPY", DAILY)) as mine:
            assert mine == []
            assert left.exists()


def test_a_lock_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    """A file where the state folder should be: the message names it."""
    (tmp_path / STATE_FOLDER).write_bytes(b"")
    folder = DataFolder.open(tmp_path, calendar())

    with pytest.raises(WriteFailedError, match="a file is in the place of a folder"), take(folder, SPY):
        pytest.fail("took the lock")


@pytest.mark.parametrize("and_root", [False, True])
def test_the_state_of_a_run_that_learned_nothing_is_removed(tmp_path: Path, and_root: bool) -> None:
    """Its locks and logs, and the data folder if it created that."""
    folder = DataFolder.open(tmp_path / "data", calendar())
    with take(folder, SPY):
        pass

    folder.locks.remove_empty_state(and_root=and_root)

    assert folder.path.exists() is not and_root
    assert not (folder.path / STATE_FOLDER).exists()


def test_state_that_is_recorded_or_locked_is_kept(folder: DataFolder) -> None:
    """The locks of another run, and the ledger once there is something in it."""
    with take(folder, SPY):
        folder.locks.remove_empty_state(and_root=True)
    assert (folder.path / STATE_FOLDER / "locks").is_dir()

    folder.writer.write_days(SPY, [minutes(DAYS[0])])
    folder.locks.remove_empty_state(and_root=True)
    assert on_disk(folder) == {DAYS[0]}
    assert (folder.path / STATE_FOLDER / "ledger.sqlite").exists()
