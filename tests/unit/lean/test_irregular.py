"""Files that LEAN would not have written: what of them counts, what is damaged, what is lost to the engine."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.lean.errors import FormatError
from server.lean.irregular import FileReading, read_file, read_rows
from server.lean.layout import layout_of
from server.lean.series import Resolution, Series
from server.lean.zip import zip_bytes

DAY = date(2024, 3, 8)
DAYS = [date(2024, 3, 4) + timedelta(days=number) for number in range(5)]
MINUTE, HOUR, DAILY = Resolution.MINUTE, Resolution.HOUR, Resolution.DAILY
MINUTES = [f"{34_200_000 + 60_000 * row},10000,10000,10000,{10_000 + row},100" for row in range(4)]
DAILY_ROWS = [f"{day:%Y%m%d} 00:00,10000,10000,10000,{10_000 + day.day},100" for day in DAYS]


def read(resolution: Resolution, content: bytes | str) -> FileReading:
    """The reading of a zip with this CSV."""
    layout = layout_of(Series("SPY", resolution))
    day = None if layout.one_file else DAY
    data = content if isinstance(content, bytes) else content.encode()
    return read_file(layout, zip_bytes(layout.member(day), data), day)


def zipped(*members: tuple[str, str]) -> bytes:
    """A zip with these members."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return target.getvalue()


# --- any combination of irregularities ---


@given(data=st.data(), resolution=st.sampled_from([MINUTE, HOUR, DAILY]))
def test_an_irregular_file_has_the_rows_of_the_regular_one(data: st.DataObject, resolution: Resolution) -> None:
    """Order, repeated rows, blank lines, a header, spaces, line ends, encodings, members, in any combination."""
    layout = layout_of(Series("SPY", resolution))
    day = None if layout.one_file else DAY
    rows = MINUTES if resolution is MINUTE else DAILY_ROWS
    regular = layout.rows_by_day("\n".join(rows).encode(), day)
    lines = data.draw(st.permutations(rows))
    repeated = data.draw(st.lists(st.sampled_from(lines), max_size=3))
    lines += [row.rsplit(",", 1)[0] + ",7" for row in repeated]  # of which the first counts
    for place in data.draw(st.lists(st.integers(0, len(lines)), max_size=3)):
        lines.insert(place, "")
    if data.draw(st.booleans()):
        lines.insert(0, "time,open,high,low,close,volume")
    if data.draw(st.booleans()):
        lines = [line.replace(",", ", ") if "open" not in line else line for line in lines]
    text = data.draw(st.sampled_from(["\n", "\r\n", "\r"])).join([*lines, *[""] * data.draw(st.integers(0, 2))])
    content = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    others = data.draw(st.lists(st.sampled_from(["__MACOSX/._spy.csv", "notes.txt"]), unique=True))
    name = data.draw(st.sampled_from([layout.member(day), "odd/name.csv"]))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(name, text.encode(content))
        for other in others:
            archive.writestr(other, b"\0\5\26\7")

    reading = read_file(layout, target.getvalue(), day)

    assert reading.rows == regular
    assert (reading.fault, reading.damaged_days) == (None, frozenset())
    assert reading.has_other_members is ("notes.txt" in others)
    assert read_rows(layout, target.getvalue(), day) == regular


@given(content=st.binary(max_size=80), resolution=st.sampled_from([MINUTE, HOUR, DAILY]))
def test_any_bytes_have_a_reading_or_an_error_of_ours(content: bytes, resolution: Resolution) -> None:
    """And rows that are found are in the form that LEAN writes."""
    layout = layout_of(Series("SPY", resolution))
    day = None if layout.one_file else DAY
    try:
        reading = read(resolution, content)
    except FormatError:
        return
    layout.check_rows(b"\n".join(reading.rows[found] for found in sorted(reading.rows)), day)


@pytest.mark.parametrize(
    ("lines", "notice", "lost"),
    [
        (MINUTES + MINUTES[:1], "1 repeated row, of which the first counts, 1 row out of order", 0),
        ([MINUTES[1], MINUTES[0], *MINUTES[2:]], "1 row out of order", 1),
        ([*MINUTES[:2], "", *MINUTES[2:]], "1 blank line", 2),
        ([*MINUTES, "", ""], "a line end after the last row, 1 blank line", 0),
        (["time,open,high,low,close,volume", *MINUTES], "1 header line", 0),
        (["timestamp,open,high,low,close,volume", *MINUTES], "1 header line", 0),
        ([row.replace(",", ", ") for row in MINUTES], "4 rows with spaces", 0),
    ],
)
def test_what_is_irregular_is_named(lines: Sequence[str], notice: str, lost: int) -> None:
    """With the number of rows that LEAN does not read until the file is rewritten."""
    reading = read(MINUTE, "\n".join(lines))

    assert reading.notice.startswith(notice)
    assert (reading.lost, "LEAN does not read" in reading.notice) == (lost, lost > 0)
    assert reading.days == [DAY]


# --- damage ---


@pytest.mark.parametrize(
    "bad",
    [
        "garbage",
        "20240306 00:00,10000,10000,10000,10000",
        "20240306 00:00,10000,10000,10000,10000,100,7",
        "20240306 00:00,10000,10000,10000,1e4,100",
        "20240306 00:00,10000,10000,10000,-1,100",
        "20240306 00:00,10000,,10000,10000,100",
        "20240306,10000,10000,10000,10000,100",
        "2024-03-06 00:00,10000,10000,10000,10000,100",
        "20240306 09:30,10000,10000,10000,10000,100",
        "20240306 00:00,10000,10000,10000,10000,100 ",
    ],
)
def test_a_bad_daily_row_is_damage_of_its_day_only(bad: str) -> None:
    """The day is in the row, or is the one that is missing between the rows around it."""
    reading = read(DAILY, "\n".join([*DAILY_ROWS[:2], bad, *DAILY_ROWS[3:]]))

    assert reading.damaged_days == {DAYS[2]}
    assert reading.days == [*DAYS[:2], *DAYS[3:]]
    assert reading.fault is not None
    assert reading.fault.startswith(f"row 3 cannot be read: {bad!r}")


def test_the_row_that_goes_with_a_bad_one_is_damaged_where_no_day_is_missing() -> None:
    """LEAN loses the next row, so that its day is fetched and the file rewritten."""
    reading = read(DAILY, "\n".join([*DAILY_ROWS[:2], "garbage", *DAILY_ROWS[2:]]))

    assert reading.damaged_days == {DAYS[2]}
    assert reading.partial_days == frozenset()
    assert set(reading.rows) == set(DAYS)


def test_a_bad_minute_damages_the_day_and_the_other_rows_can_be_used() -> None:
    """A seventh field is cut off, a row without a volume is of no use."""
    reading = read(MINUTE, "\n".join([MINUTES[0], MINUTES[1] + ",9", "34320000,1,1,1,1", MINUTES[3]]))

    assert reading.damaged_days == reading.partial_days == {DAY}
    assert reading.days == []
    assert reading.rows[DAY].decode().split("\n") == [MINUTES[0], MINUTES[1], MINUTES[3]]


@pytest.mark.parametrize("first", ["__MACOSX/._spy.csv", "spy/"])
def test_a_member_before_the_csv_hides_it_from_lean(first: str) -> None:
    """The days are damaged, and their rows can be used where the vendor has no others."""
    layout = layout_of(Series("SPY", DAILY))
    data = zipped((first, "" if first == "spy/" else "\0\5\26\7"), ("spy.csv", "\n".join(DAILY_ROWS)))

    reading = read_file(layout, data, None)

    assert reading.fault is not None
    assert (reading.days, reading.damaged_days) == ([], set(DAYS))
    assert [reading.rows[day].decode() for day in DAYS] == DAILY_ROWS


def test_what_can_be_read_of_a_cut_zip_can_be_used() -> None:
    """Whole rows, all of them damaged; of a zip with a wrong checksum none."""
    layout = layout_of(Series("SPY", DAILY))
    rows = [f"{DAY + timedelta(days=n):%Y%m%d} 00:00,{n * 7919 % 10007},1,1,1,{n}" for n in range(2000)]
    data = zip_bytes("spy.csv", "\n".join(rows).encode())
    wrong = bytearray(zip_bytes("spy.csv", "\n".join(rows).encode()))
    wrong[14] ^= 1  # the checksum in the local header
    wrong[data.rindex(b"PK\1\2") + 16] ^= 1  # and in the central directory

    reading = read_file(layout, data[: len(data) // 2], None)

    assert reading.days == []
    assert 500 < len(reading.rows) < 2000
    assert [text.decode() for _, text in sorted(reading.rows.items())] == rows[: len(reading.rows)]
    with pytest.raises(FormatError, match="no whole zip"):
        read_file(layout, bytes(wrong), None)


@pytest.mark.parametrize("content", ["", "\n\n", "garbage", "time,open,high,low,close,volume"])
def test_a_file_without_any_row_cannot_be_used(content: str) -> None:
    """It is an error."""
    with pytest.raises(FormatError):
        read(MINUTE, content)


# --- a line of letters in the place of a row ---


@pytest.mark.parametrize("text", ["garbage,,x", "N/A,N/A,N/A,N/A,N/A,N/A"])
def test_a_line_in_the_place_of_a_row_is_no_header(text: str) -> None:
    """The row that it replaced is lost; its day is that of the rows around it, or between them."""
    hours = [f"{day:%Y%m%d} {hour}:00,1,1,1,1,1" for day in DAYS for hour in (10, 11, 12)]

    hourly = read(HOUR, "\n".join([*hours[:4], text, *hours[5:]]))
    daily = read(DAILY, "\n".join([*DAILY_ROWS[:1], text, *DAILY_ROWS[2:]]))

    assert (hourly.damaged_days, daily.damaged_days) == ({DAYS[1]}, {DAYS[1]})
    assert hourly.fault is not None
    assert daily.fault is not None


def test_a_header_that_is_repeated_is_one() -> None:
    """Files that were joined have it in their midst."""
    header = "time,open,high,low,close,volume"

    found = read(MINUTE, "\n".join([header, *MINUTES[:2], header, *MINUTES[2:]]))

    assert (found.fault, found.notices) == (None, ("2 header lines",))
