"""Which days are on disk: known, changed, damaged, provisional and missing files."""

from __future__ import annotations

import os
from datetime import date, datetime

import pytest

from server.data_download.data_folder import DataFolder
from server.lean.series import Resolution, Series
from server.lean.zip import zip_bytes
from tests.support.data_folder import DAILY, DAYS, MINUTE, daily, minutes, on_disk, path_of


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
        (zip_bytes("20240304_spy_minute_trade.csv", b""), "the CSV is empty"),
        (zip_bytes("20240304_spy_minute_trade.csv", minutes(DAYS[0]).csv[::-1]), "row 1 cannot be read"),
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


def test_a_file_that_was_changed_is_verified_again(folder: DataFolder) -> None:
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
