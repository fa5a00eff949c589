"""The only writer into LEAN's data folder: whole files or none, locks, damaged files."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import WriteFailedError
from server.data_download import atomic
from server.data_download.data_folder import STATE_FOLDER, DataFolder
from server.data_download.ledger import Ledger
from server.lean.render import DayText
from server.lean.series import Resolution
from server.lean.zip import zip_bytes
from tests.support.harness import csv_of, leftovers

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
    ledger = Ledger(tmp_path / STATE_FOLDER / "ledger.sqlite")
    yield DataFolder(tmp_path, ledger)
    ledger.close()


def on_disk(folder: DataFolder, resolution: Resolution = MINUTE, days: list[date] = DAYS) -> set[date]:
    """The days that are found there."""
    return set(folder.holdings("SPY", resolution, days)[0].on_disk)


def path_of(folder: DataFolder, day: date) -> Path:
    """Where a day's minutes are."""
    return folder.path / "equity" / "usa" / "minute" / "spy" / f"{day:%Y%m%d}_trade.zip"


# --- writing ---


def test_days_are_files_of_their_own(folder: DataFolder) -> None:
    """A zip a day, with LEAN's names, and found again."""
    folder.write_days("SPY", MINUTE, [minutes(day) for day in DAYS[:2]])

    assert csv_of(folder.path) == {f"minute/spy/{day:%Y%m%d}_trade.zip": minutes(day).csv for day in DAYS[:2]}
    assert on_disk(folder) == set(DAYS[:2])
    assert leftovers(folder.path) == []


def test_a_new_file_takes_the_place_of_the_old_one(folder: DataFolder) -> None:
    """Whole."""
    folder.write_days("SPY", MINUTE, [minutes(DAYS[0])])
    folder.write_days("SPY", MINUTE, [minutes(DAYS[0], 20_000)])

    assert list(csv_of(folder.path).values()) == [minutes(DAYS[0], 20_000).csv]


def test_daily_rows_are_merged_by_day(folder: DataFolder) -> None:
    """In order, new rows winning, old rows untouched."""
    folder.write_days("SPY", DAILY, [daily(DAYS[0]), daily(DAYS[2])])
    folder.write_days("SPY", DAILY, [daily(DAYS[1], 20_000), daily(DAYS[2], 30_000)])

    expected = [daily(DAYS[0]).csv, daily(DAYS[1], 20_000).csv, daily(DAYS[2], 30_000).csv]
    assert csv_of(folder.path) == {"daily/spy.zip": b"\n".join(expected)}
    assert on_disk(folder, DAILY) == set(DAYS)


def test_the_old_rows_of_another_writer_keep_their_text(folder: DataFolder) -> None:
    """CRLF and the line end at the end go; a row that is not asked for stays letter for letter."""
    path = folder.path / "equity" / "usa" / "daily" / "spy.zip"
    path.parent.mkdir(parents=True)
    path.write_bytes(zip_bytes("spy.csv", b"20240304 00:00,0010,10.50,1,1,1\r\n"))

    folder.write_days("SPY", DAILY, [daily(DAYS[1])])

    assert csv_of(folder.path)["daily/spy.zip"] == b"20240304 00:00,0010,10.50,1,1,1\n" + daily(DAYS[1]).csv


def test_a_temporary_name_is_none_that_lean_lists(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the same folder and ends in neither .csv nor .zip."""
    seen: list[Path] = []
    real = os.replace

    def watch(source: Any, target: Any) -> None:
        seen.append(Path(source))
        real(source, target)

    monkeypatch.setattr(os, "replace", watch)
    folder.write_days("SPY", MINUTE, [minutes(DAYS[0])])

    (temporary,) = seen
    assert temporary.parent == path_of(folder, DAYS[0]).parent
    assert temporary.suffix not in (".zip", ".csv")


def test_files_are_as_readable_as_the_user_wants(folder: DataFolder) -> None:
    """LEAN's container may run as somebody else: the usual mask decides."""
    mask = os.umask(0o022)
    os.umask(mask)
    folder.write_days("SPY", MINUTE, [minutes(DAYS[0])])

    assert stat.S_IMODE(path_of(folder, DAYS[0]).stat().st_mode) == 0o666 & ~mask


# --- what can fail ---


def failing(name: str, number: int, *, after: int = 0) -> Callable[[pytest.MonkeyPatch], None]:
    """Make a call of the operating system fail with this error, after so many calls that work."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        real = getattr(os, name)
        calls = iter(range(10_000))

        def fail(*args: Any, **kwargs: Any) -> Any:
            if next(calls) >= after:
                raise OSError(number, os.strerror(number))
            return real(*args, **kwargs)

        monkeypatch.setattr(atomic.os, name, fail)

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
    folder.write_days("SPY", resolution, [text(DAYS[0])])
    before = csv_of(folder.path)

    with monkeypatch.context() as patch:
        failing(call, number)(patch)
        with pytest.raises(WriteFailedError, match=advice) as caught:
            folder.write_days("SPY", resolution, [text(DAYS[0], 20_000)])

    message = str(caught.value)
    assert message.startswith(f"SPY {resolution.value} could not be written to {folder.path}")
    assert "\n" not in message
    assert caught.value.symbol == "SPY"
    assert csv_of(folder.path) == before
    assert leftovers(folder.path) == []
    folder.write_days("SPY", resolution, [text(DAYS[0], 20_000)])
    assert csv_of(folder.path) != before


def test_of_several_days_those_before_the_failure_stay(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them whole; the next look finds them."""
    with monkeypatch.context() as patch:
        failing("replace", errno.ENOSPC, after=2)(patch)
        with pytest.raises(WriteFailedError):
            folder.write_days("SPY", MINUTE, [minutes(day) for day in DAYS])

    assert on_disk(folder) == set(DAYS[:2])
    assert leftovers(folder.path) == []


def test_a_short_write_is_gone_on_with(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may take fewer bytes than it was given."""
    real = os.write
    monkeypatch.setattr(atomic.os, "write", lambda file, data: real(file, bytes(data)[:7]))
    folder.write_days("SPY", MINUTE, [minutes(DAYS[0])])

    assert list(csv_of(folder.path).values()) == [minutes(DAYS[0]).csv]


def test_what_reads_back_differently_is_not_put_in_place(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that lies is told of, and the old file stays."""
    folder.write_days("SPY", MINUTE, [minutes(DAYS[0])])
    real = os.read
    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "read", lambda file, size: real(file, size)[:-1] + b"!")
        with pytest.raises(WriteFailedError, match="reads back differently"):
            folder.write_days("SPY", MINUTE, [minutes(DAYS[0], 20_000)])

    assert list(csv_of(folder.path).values()) == [minutes(DAYS[0]).csv]
    assert leftovers(folder.path) == []


def test_an_interrupt_in_the_middle_leaves_nothing(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during a write: the temporary file goes."""

    def interrupted(file: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        folder.write_days("SPY", MINUTE, [minutes(DAYS[0])])

    assert leftovers(folder.path) == []
    assert csv_of(folder.path) == {}


@pytest.mark.parametrize("below", ["equity", "equity/usa", "equity/usa/minute", "equity/usa/minute/spy"])
def test_a_file_where_a_folder_is_needed(folder: DataFolder, below: str) -> None:
    """It is told of and left alone."""
    path = folder.path / below
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"the user's")

    with pytest.raises(WriteFailedError, match="a file stands where a folder is needed"):
        folder.write_days("SPY", MINUTE, [minutes(DAYS[0])])
    assert path.read_bytes() == b"the user's"


@pytest.mark.parametrize("resolution", [MINUTE, DAILY])
def test_a_folder_where_a_file_is_needed(folder: DataFolder, resolution: Resolution) -> None:
    """The same, the other way round; it does not count as present."""
    name = "daily/spy.zip" if resolution is DAILY else f"minute/spy/{DAYS[0]:%Y%m%d}_trade.zip"
    path = folder.path / "equity" / "usa" / name
    (path / "inside").mkdir(parents=True)

    assert on_disk(folder, resolution) == set()
    with pytest.raises(WriteFailedError, match="a folder stands where a file is needed"):
        folder.write_days("SPY", resolution, [(daily if resolution is DAILY else minutes)(DAYS[0])])
    assert (path / "inside").is_dir()
    assert leftovers(folder.path) == []
    (path / "inside").rmdir()
    path.rmdir()


# --- looking ---


def test_a_known_file_is_not_opened_again(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Size and time of change suffice; without trust in them every file is opened."""
    folder.write_days("SPY", MINUTE, [minutes(day) for day in DAYS])
    folder.write_days("SPY", DAILY, [daily(day) for day in DAYS])
    opened: list[str] = []
    from server.data_download import data_folder

    real = data_folder._read
    monkeypatch.setattr(data_folder, "_read", lambda path: opened.append(path) or real(path))  # type: ignore[func-returns-value]

    assert on_disk(folder) == set(DAYS)
    assert on_disk(folder, DAILY) == set(DAYS)
    assert opened == []
    holdings, damaged = folder.holdings("SPY", MINUTE, DAYS, trust_ledger=False)
    assert (set(holdings.on_disk), damaged, len(opened)) == (set(DAYS), [], 3)


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
    folder.write_days("SPY", MINUTE, [minutes(day) for day in DAYS])
    path_of(folder, DAYS[0]).write_bytes(content)

    holdings, (file,) = folder.holdings("SPY", MINUTE, DAYS)

    assert set(holdings.on_disk) == set(DAYS[1:])
    assert set(holdings.damaged) == {DAYS[0]}
    assert file.path == path_of(folder, DAYS[0])
    assert reason in file.reason
    assert path_of(folder, DAYS[0]).read_bytes() == content


def test_a_file_that_somebody_changed_is_verified_again(folder: DataFolder) -> None:
    """Another sound file in its place is present."""
    folder.write_days("SPY", MINUTE, [minutes(DAYS[0])])
    path_of(folder, DAYS[0]).write_bytes(zip_bytes("20240304_spy_minute_trade.csv", b"34200000,1,1,1,1,1"))

    assert on_disk(folder) == {DAYS[0]}
    marks = folder.ledger.files("SPY", MINUTE)
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
    folder.write_days("SPY", resolution, [minutes(day) if resolution is MINUTE else daily(day)])
    path = path_of(folder, day) if resolution is MINUTE else folder.path / "equity" / "usa" / "daily" / "spy.zip"
    at = datetime.fromisoformat(changed).timestamp()
    os.utime(path, (at, at))

    holdings, _ = folder.holdings("SPY", resolution, [day])

    assert holdings.on_disk == {day}
    assert (day in holdings.provisional) is provisional


def test_a_file_that_went_is_missing(folder: DataFolder) -> None:
    """Whatever the ledger remembers."""
    folder.write_days("SPY", MINUTE, [minutes(DAYS[0])])
    folder.write_days("SPY", DAILY, [daily(DAYS[0])])
    path_of(folder, DAYS[0]).unlink()
    (folder.path / "equity" / "usa" / "daily" / "spy.zip").unlink()

    assert on_disk(folder) == on_disk(folder, DAILY) == set()


@pytest.mark.damaged_zips
def test_a_damaged_daily_zip_is_set_aside_when_it_is_written(folder: DataFolder) -> None:
    """The new rows are written; the days it held are known until then, from the ledger and from what can be read."""
    path = folder.path / "equity" / "usa" / "daily" / "spy.zip"
    folder.write_days("SPY", DAILY, [daily(day) for day in DAYS])
    bad = path.read_bytes()[:-20]
    path.write_bytes(bad)

    holdings, (file,) = folder.holdings("SPY", DAILY, DAYS[:1])
    assert (set(holdings.on_disk), set(holdings.damaged)) == (set(), set(DAYS))
    assert file.path == path

    folder.write_days("SPY", DAILY, [daily(DAYS[1], 20_000)])
    assert csv_of(folder.path) == {"daily/spy.zip": daily(DAYS[1], 20_000).csv}
    (aside,) = leftovers(folder.path)
    assert aside.read_bytes() == bad


@pytest.mark.damaged_zips
@pytest.mark.parametrize("day", [None, DAYS[0]])
def test_setting_a_daily_zip_aside_forgets_it(folder: DataFolder, day: date | None) -> None:
    """Whichever of its days it is set aside for."""
    folder.write_days("SPY", DAILY, [daily(day) for day in DAYS])

    aside = folder.set_aside("SPY", DAILY, day)

    assert aside is not None
    assert aside.exists()
    assert folder.ledger.files("SPY", DAILY) == {}
    assert folder.set_aside("SPY", DAILY, day) is None


# --- locks ---


def test_a_lock_is_had_by_one(folder: DataFolder, tmp_path: Path) -> None:
    """Another folder object, as in another process, does not get it; another symbol or resolution is free."""
    other = DataFolder(tmp_path, folder.ledger)
    with folder.lock("SPY", MINUTE, blocking=False) as mine:
        assert mine
        for symbol, resolution, free in (("SPY", MINUTE, False), ("AAPL", MINUTE, True), ("SPY", SECOND, True)):
            with other.lock(symbol, resolution, blocking=False) as theirs:
                assert theirs is free
    with other.lock("SPY", MINUTE, blocking=False) as theirs:
        assert theirs


def test_a_lock_can_be_waited_for(folder: DataFolder, tmp_path: Path) -> None:
    """It is had as soon as the other lets go."""
    other, had, order = DataFolder(tmp_path, folder.ledger), threading.Event(), []

    def wait() -> None:
        had.set()
        with other.lock("SPY", MINUTE, blocking=True) as mine:
            order.append(("second", mine))

    with folder.lock("SPY", MINUTE, blocking=False):
        thread = threading.Thread(target=wait)
        thread.start()
        had.wait()
        order.append(("first", True))
    thread.join()

    assert order == [("first", True), ("second", True)]


def test_whoever_has_the_lock_sweeps_what_a_killed_run_left(folder: DataFolder) -> None:
    """This symbol's temporary files and nothing else; not where the lock is another's."""
    home = folder.path / "equity" / "usa" / "daily"
    home.mkdir(parents=True)
    left, others, users = home / ".spy~1-0.part", home / ".spyg~1-0.part", home / "notes.part"
    for path in (left, others, users):
        path.write_bytes(b"x")
    with folder.lock("SPY", DAILY, blocking=False):
        assert [path.exists() for path in (left, others, users)] == [False, True, True]
        left.write_bytes(b"being written")
        with DataFolder(folder.path, folder.ledger).lock("SPY", DAILY, blocking=False) as mine:
            assert not mine
            assert left.exists()


def test_a_lock_that_cannot_be_made_is_told_of(tmp_path: Path) -> None:
    """A file where the state folder should be: the message names it."""
    (tmp_path / STATE_FOLDER).write_bytes(b"")
    folder = DataFolder(tmp_path, Ledger(None))

    with (
        pytest.raises(WriteFailedError, match="a file stands where a folder is needed"),
        folder.lock("SPY", MINUTE, blocking=False),
    ):
        pytest.fail("had the lock")
    folder.ledger.close()


@pytest.mark.parametrize("of_the_folder", [False, True])
def test_a_run_that_came_to_nothing_leaves_no_trace(tmp_path: Path, of_the_folder: bool) -> None:
    """Its locks and logs go, and the data folder if it made that."""
    folder = DataFolder(tmp_path / "data", Ledger(tmp_path / "data" / STATE_FOLDER / "ledger.sqlite"))
    with folder.lock("SPY", MINUTE, blocking=False):
        pass

    folder.remove_empty_state(of_the_folder=of_the_folder)

    assert folder.path.exists() is not of_the_folder
    assert not (folder.path / STATE_FOLDER).exists()


def test_what_is_known_or_held_leaves_its_trace(folder: DataFolder) -> None:
    """The locks of another run, and the ledger once there is something in it."""
    with folder.lock("SPY", MINUTE, blocking=False):
        folder.remove_empty_state(of_the_folder=True)
    assert (folder.path / STATE_FOLDER / "locks").is_dir()

    folder.write_days("SPY", MINUTE, [minutes(DAYS[0])])
    folder.remove_empty_state(of_the_folder=True)
    assert on_disk(folder) == {DAYS[0]}
    assert (folder.path / STATE_FOLDER / "ledger.sqlite").exists()
