"""What LEAN's engine was fed from files that it would not have written, as recorded in runs of the engine."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from server.lean.feed import LossKind
from server.lean.feed.rows import read_file_rows
from server.lean.layout import layout_of
from server.lean.series import Resolution, Series
from server.lean.zip import zip_bytes

DAY = date(2013, 10, 7)
MINUTE, HOUR, DAILY, SECOND = Resolution.MINUTE, Resolution.HOUR, Resolution.DAILY, Resolution.SECOND
Fed = list[tuple[str, float, float, float, float, float]]


def fed(resolution: Resolution, content: bytes, begin: str = "09:30", end: str = "16:00") -> Fed:
    """The bars of a session that are fed, each with its start as New York's clocks show it."""
    layout = layout_of(Series("X", resolution))
    day = None if layout.one_file else DAY
    found = []
    for bar in read_file_rows(layout, zip_bytes(layout.member(day), content), day).bars.bars():
        if resolution is DAILY or begin <= f"{bar.start:%H:%M}" < end:
            prices = [round(price, 10) for price in bar[3:7]]
            found.append((f"{bar.start:%Y%m%d %H:%M:%S}", *prices, bar.volume))
    return found


MINUTES = b"""34200000,990000,1020000,980000,1000000,1000
garbage
34320000,1010000,1040000,1000000,1020000,1000
34380000,1020000,1050000,1010000,1030000,1000"""

ODD_COLUMNS = b"""34200000,990000,1020000,980000,1000000,1000
34260000,1010000,1030000,990000,1010000
34320000,1010000,1040000,1000000,1020000,1000
34380000,1020000,1050000,1010000,1030000,1000,9
34440000,1030000,1060000,1020000,1040000,1000

34500000,1040000,1070000,1030000,1050000,1000"""

HEADER = b"""time,open,high,low,close,volume
34200000,990000,1020000,980000,1000000,1000
34260000,1000000,1030000,990000,1010000,1000"""

FIRST = ("20131007 09:30:00", 99, 102, 98, 100, 1000)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (MINUTES, [FIRST]),
        (
            ODD_COLUMNS,
            [
                FIRST,
                ("20131007 09:31:00", 101, 103, 99, 101, 34320000),
                ("20131007 09:34:00", 103, 106, 102, 104, 1000),
            ],
        ),
        (HEADER, [FIRST, ("20131007 09:31:00", 100, 103, 99, 101, 1000)]),
        (
            b"34200000,1234567.8,1234567.89,0.5,1234567.8,100.25\n34260000,1,1,1,1,1000000000000",
            [
                ("20131007 09:30:00", 123.45678, 123.456789, 5e-05, 123.45678, 100.25),
                ("20131007 09:31:00", 0.0001, 0.0001, 0.0001, 0.0001, 1e12),
            ],
        ),
    ],
    ids=["one bad row", "odd columns", "header", "fractions"],
)
def test_minutes(content: bytes, expected: Fed) -> None:
    """Recorded: minute-bad-row, minute-odd-columns, minute-header, fractions."""
    assert fed(MINUTE, content) == expected


def daily(*rows: str) -> bytes:
    """Rows by day of October 2013 and close, with the recorded prices around it."""
    found = []
    for row in rows:
        day, _, close = row.partition(" ")
        price = int(close) * 10_000 if close else 0
        numbers = f"{price - 10_000},{price + 20_000},{price - 20_000},{price}"
        found.append(f"201310{day} 00:00,{numbers},1000" if close else row)
    return "\n".join(found).encode()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (daily("07 100", "08 102", "garbage", "10 106", "11 108"), ["07 100", "08 102", "11 108"]),
        (daily("07 100", "09 104", "08 102", "10 106", "11 108"), ["07 100", "09 104", "10 106", "11 108"]),
        (daily("07 100", "08 102", "09 104", "09 154", "10 106"), ["07 100", "08 102", "09 104", "10 106"]),
        (daily("07 100", "09 104", "10 106"), ["07 100", "09 104", "10 106"]),
    ],
    ids=["one bad row", "out of order", "repeated", "hole"],
)
def test_daily_rows(content: bytes, expected: list[str]) -> None:
    """Recorded: daily-bad-row, daily-out-of-order, daily-repeated, hole-daily."""
    assert [f"{row[0][6:8]} {row[4]:.0f}" for row in fed(DAILY, content)] == expected


def test_hours_and_seconds() -> None:
    """Recorded: hours, seconds; sessions are cut by the market's hours, not by the reader."""
    hours = "\n".join(f"20131007 {hour:02d}:00,998000,1028000,988000,1008000,1000" for hour in range(8, 17))
    seconds = "\n".join(
        f"{at},990000,1020000,980000,1000000,1000" for at in (34199000, 34200000, 34201000, 57599000, 57600000)
    )

    assert [row[0][9:14] for row in fed(HOUR, hours.encode(), "09:00")] == [f"{hour:02d}:00" for hour in range(9, 16)]
    assert [row[0][9:] for row in fed(SECOND, seconds.encode())] == ["09:30:00", "09:30:01", "15:59:59"]


@pytest.mark.parametrize("content", [b"garbage", b"\n\n", b"20131007,1,2,3,4,5\n"])
def test_a_file_of_which_nothing_is_fed_is_a_loss(content: bytes) -> None:
    """No row has the form of a daily row."""
    layout = layout_of(Series("X", DAILY))

    found = read_file_rows(layout, zip_bytes("x.csv", content), None)

    assert len(found.bars) == 0
    assert [loss.kind for loss in found.losses] == [LossKind.DAMAGED]


def test_a_label_that_is_too_long_costs_its_own_row_only() -> None:
    """The reader's exception comes in the middle of the line, of which the rest is skipped."""
    rows = [f"2013100{day} 00:00{':00' if day == 8 else ''},1,1,1,1,1" for day in (7, 8, 9)]

    assert [row[0][:8] for row in fed(DAILY, "\n".join(rows).encode())] == ["20131007", "20131009"]


def test_rows_after_a_blank_line_are_lost() -> None:
    """In a minute file all of them, since each field is taken for the one after it; in a daily file the next one."""
    times = [34_200_000 + 60_000 * row for row in range(4)]
    minutes = [f"{at},10000,10000,10000,10000,100" for at in times]
    days = [f"{DAY + timedelta(days=row):%Y%m%d} 00:00,10000,10000,10000,10000,100" for row in range(4)]

    assert len(fed(MINUTE, "\n".join([*minutes[:2], "", *minutes[2:]]).encode())) == 2
    assert [row[0][6:8] for row in fed(DAILY, "\n".join([days[0], "", *days[1:]]).encode())] == ["07", "09", "10"]
