"""Which kinds of daily bars a file holds."""

from __future__ import annotations

import pytest

from server.data_download.daily_kinds import DailyKind, DailyKinds, read_kinds, record_kind
from server.data_download.data_folder import DataFolder
from server.lean.layout import layout_of
from server.lean.series import Resolution, Series
from server.lean.trade_csv import DayText
from server.lean.zip import zip_bytes
from tests.support.data_folder import DAYS

SERIES, HOURS = Series("SPY", Resolution.DAILY), Series("SPY", Resolution.HOUR)
VENDOR, REGULAR, UNKNOWN = DailyKind.VENDOR, DailyKind.REGULAR_SESSION, DailyKind.UNKNOWN
ROWS = [DayText(day, f"{day:%Y%m%d} 00:00,10000,30000,10000,20000,5".encode(), 1) for day in DAYS]


def write(folder: DataFolder, *texts: DayText, kind: DailyKind | None = None, series: Series = SERIES) -> None:
    """Write rows, and record their kind as a download does."""
    if kind:
        record_kind(folder.ledger, series, kind, texts)
    folder.writer.write_days(series, texts)


def kinds(folder: DataFolder) -> DailyKinds:
    """What is found in the file."""
    found = read_kinds(folder, SERIES)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", [VENDOR, REGULAR])
def test_the_kind_of_written_rows(folder: DataFolder, kind: DailyKind) -> None:
    """One kind needs no notice."""
    write(folder, *ROWS, kind=kind)

    assert (kinds(folder).kind, kinds(folder).rows, kinds(folder).notice) == (kind, {kind: len(ROWS)}, None)
    assert kinds(folder).sentence == f"daily bars: {kind}"


def test_a_file_with_several_kinds_is_mixed(folder: DataFolder) -> None:
    """The counts are given in the notice, with what to do."""
    write(folder, *ROWS[:1], kind=VENDOR)
    write(folder, *ROWS[1:], kind=REGULAR)

    found = kinds(folder)

    assert (found.kind, found.rows) == (DailyKind.MIXED, {VENDOR: 1, REGULAR: len(ROWS) - 1})
    assert found.sentence == f"daily bars: mixed (1 vendor, {len(ROWS) - 1} regular-session)"
    assert found.notice is not None
    assert f"{found.path} is mixed" in found.notice
    assert "download --refresh" in found.notice


def test_a_row_that_another_program_changed_has_no_recorded_kind(folder: DataFolder) -> None:
    """The others keep theirs, whatever the file's time is."""
    write(folder, *ROWS, kind=VENDOR)
    changed = [text.csv for text in ROWS[:-1]] + [ROWS[-1].csv.replace(b",5", b",6")]
    layout = layout_of(SERIES)
    (folder.path / layout.path(None)).write_bytes(zip_bytes(layout.member(None), b"\n".join(changed)))

    assert kinds(folder).rows == {VENDOR: len(ROWS) - 1, UNKNOWN: 1}


def test_unrecorded_rows_that_equal_the_hours_on_disk_are_of_the_session(folder: DataFolder) -> None:
    """A row that differs is of unknown kind, and so is one of a day with hours of extended sessions."""
    write(folder, *ROWS[:3])
    volumes = (b"2,3", b"2,4", b"2,3")
    labels = (b"09:00,15:00", b"09:00,15:00", b"08:00,15:00")
    for text, label, volume in zip(ROWS[:3], labels, volumes, strict=True):
        (first, last), (early, late) = label.split(b","), volume.split(b",")
        day = f"{text.day:%Y%m%d} ".encode()
        csv = (
            day
            + first
            + b",10000,30000,10000,15000,"
            + early
            + b"\n"
            + day
            + last
            + b",15000,20000,15000,20000,"
            + late
        )
        write(folder, DayText(text.day, csv, 2), series=HOURS)

    assert kinds(folder).rows == {REGULAR: 1, UNKNOWN: 2}


@pytest.mark.damaged_zips
def test_without_a_readable_file_there_are_no_kinds(folder: DataFolder) -> None:
    """And bars of other resolutions have none; nothing is recorded for them."""
    assert read_kinds(folder, SERIES) is None
    record_kind(folder.ledger, HOURS, VENDOR, ROWS)
    assert folder.ledger.row_kinds(HOURS) == {}
    assert read_kinds(folder, HOURS) is None
    path = folder.path / layout_of(SERIES).path(None)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged")
    assert read_kinds(folder, SERIES) is None
