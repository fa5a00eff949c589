"""Writing days: files of their own, rows merged by day, damaged daily zips set aside."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from server.core.errors import WriteFailedError
from server.data_download.data_folder import DataFolder
from server.data_download.workers import Workers
from server.lean.bars import Bars
from server.lean.series import Resolution, Series
from server.lean.zip import zip_bytes
from tests.support.data_folder import DAILY, DAYS, MINUTE, daily, minutes, on_disk
from tests.support.harness import csv_of, leftovers
from tests.support.scripted_provider import bars_on


def test_days_are_files_of_their_own(folder: DataFolder) -> None:
    """A zip a day, with LEAN's names, and found again."""
    folder.writer.write_days(Series("SPY", MINUTE), [minutes(day) for day in DAYS[:2]])

    assert csv_of(folder.path) == {f"minute/spy/{day:%Y%m%d}_trade.zip": minutes(day).csv for day in DAYS[:2]}
    assert on_disk(folder) == set(DAYS[:2])
    assert leftovers(folder.path) == []


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


@pytest.mark.damaged_zips
def test_a_copy_of_a_damaged_daily_zip_is_kept_when_it_is_written(folder: DataFolder) -> None:
    """New rows replace old ones; rows that can still be read stay, and the damaged file has another name."""
    path = folder.path / "equity" / "usa" / "daily" / "spy.zip"
    folder.writer.write_days(Series("SPY", DAILY), [daily(day) for day in DAYS])
    bad = path.read_bytes()[:-20]
    path.write_bytes(bad)

    state, (file,) = folder.catalog.scan(Series("SPY", DAILY), DAYS[:1])
    assert (set(state.on_disk), set(state.damaged)) == (set(), set(DAYS))
    assert file.path == path

    folder.writer.write_days(Series("SPY", DAILY), [daily(DAYS[1], 20_000)])
    expected = [daily(DAYS[0]).csv, daily(DAYS[1], 20_000).csv, daily(DAYS[2]).csv]
    assert csv_of(folder.path) == {"daily/spy.zip": b"\n".join(expected)}
    (aside,) = leftovers(folder.path)
    assert aside.read_bytes() == bad


def test_clearing_a_file_that_was_repaired_meanwhile_keeps_it(folder: DataFolder) -> None:
    """Another program may have replaced it since it was found to be damaged."""
    folder.writer.write_days(Series("SPY", DAILY), [daily(day) for day in DAYS])

    assert folder.writer.clear_damaged(Series("SPY", DAILY), None) is None

    assert csv_of(folder.path) == {"daily/spy.zip": b"\n".join(daily(day).csv for day in DAYS)}


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


def hold(held: None, bars: Bars) -> tuple[Bars, None]:
    """The first step of a task: it holds these bars."""
    return bars, None


def test_a_task_writes_all_but_days_with_a_bad_bar(folder: DataFolder) -> None:
    """It returns the number of bars of each written day, and why the others were left out."""
    bars = bars_on(*DAYS)
    bars.close[1] = np.nan
    pool = Workers(0)
    pool.start()
    with pool.task() as task:
        task.run(hold, bars)
        written, bad = folder.writer.write_held(Series("SPY", MINUTE), DAYS, task)
    pool.close()

    assert written == {DAYS[0]: 1, DAYS[2]: 1}
    assert list(bad) == [DAYS[1]]
    assert "has no open" in bad[DAYS[1]]
    assert on_disk(folder) == {DAYS[0], DAYS[2]}
