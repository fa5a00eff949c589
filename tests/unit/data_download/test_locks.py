"""Locks of series and of a market, and the state that a run leaves."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from server.core.errors import WriteFailedError
from server.data_download.data_folder import DataFolder
from server.data_download.locks import STATE_FOLDER
from server.lean.series import Series
from tests.support.data_folder import DAILY, DAYS, MINUTE, SECOND, minutes, on_disk
from tests.support.harness import calendar


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
