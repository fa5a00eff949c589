"""Rules of LEAN's reader that the recorded questions do not ask for; expected values follow from LEAN's source."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import pytest

from server.lean.feed import Bar, Feed, FeedRequest, Mode, read_feed
from server.lean.series import Resolution
from server.trading_calendar import USEquityTradingCalendar
from tests.support.lean_feed import ENGINE_RAN_ON, Line, MemoryFiles, lines_of

CALENDAR = USEquityTradingCalendar.shipped()
DAILY, HOURS = "equity/usa/daily/x.zip", "equity/usa/hour/x.zip"
MAP, FACTORS = "equity/usa/map_files/x.csv", "equity/usa/factor_files/x.csv"
LISTED = "20100104,x,N\n20501231,x,N\n"
MONDAY, FRIDAY = date(2013, 10, 7), date(2013, 10, 11)


def minute(day: date, ticker: str = "x") -> str:
    return f"equity/usa/minute/{ticker}/{day:%Y%m%d}_trade.zip"


def row(label: str, dollars: int, volume: int = 1) -> str:
    return ",".join([label, *[str(dollars * 10_000)] * 4, str(volume)])


def daily(*days: tuple[str, int]) -> dict[str, str]:
    return {"x.csv": "\n".join(row(f"{day} 00:00", dollars) for day, dollars in days)}


def feed(
    files: Mapping[str, Any],
    *symbols: str,
    resolution: Resolution = Resolution.DAILY,
    start: date = MONDAY,
    end: date = FRIDAY,
    mode: Mode = Mode.RAW,
    extended: bool = False,
    fill: bool = False,
) -> Feed:
    request = FeedRequest(
        start=start, end=end, mode=mode, today=ENGINE_RAN_ON, extended_hours=extended, fill_forward=fill
    )
    return read_feed(MemoryFiles(files), symbols or ("X",), resolution, request, CALENDAR)


def bars(found: Feed) -> list[tuple[str, str, float, bool]]:
    """Start, end, close and whether it is filled, of each bar."""
    items = [item for item in found.items if isinstance(item, Bar)]
    return [(f"{bar.start:%d %H:%M}", f"{bar.end:%d %H:%M}", bar.close, bar.filled) for bar in items]


def events(found: Feed) -> list[Line]:
    return [line for line in lines_of(found.items) if line[0] != "bar"]


WEEK = daily(("20131007", 1), ("20131008", 2), ("20131009", 3), ("20131010", 4), ("20131011", 5))


def test_minutes_are_filled_to_the_early_close() -> None:
    """From the first bar on, also from one before the open, until 13:00; never after the close."""
    files = {minute(date(2013, 11, 29)): {"a": f"{row('34140000', 1)}\n{row('46680000', 2)}"}}

    found = bars(feed(files, resolution=Resolution.MINUTE, start=date(2013, 11, 29), end=date(2013, 12, 1), fill=True))

    assert len(found) == 210
    assert found[0] == ("29 09:30", "29 09:31", 1.0, True)
    assert found[-3:] == [
        ("29 12:57", "29 12:58", 1.0, True),
        ("29 12:58", "29 12:59", 2.0, False),
        ("29 12:59", "29 13:00", 2.0, True),
    ]


def test_extended_hours_are_filled_too() -> None:
    """From the first bar to 20:00."""
    files = {minute(MONDAY): {"a": row("71880000", 1)}}  # 19:58

    found = feed(files, resolution=Resolution.MINUTE, end=MONDAY, extended=True, fill=True)

    assert bars(found) == [("07 19:58", "07 19:59", 1.0, False), ("07 19:59", "07 20:00", 1.0, True)]


def test_hours_are_filled_with_hours() -> None:
    """The first one of a day is labelled 09:00."""
    files = {HOURS: {"x.csv": f"{row('20131007 14:00', 1)}\n{row('20131008 10:00', 2)}"}}

    found = feed(files, resolution=Resolution.HOUR, end=date(2013, 10, 8), fill=True)

    assert bars(found)[:4] == [
        ("07 14:00", "07 15:00", 1.0, False),
        ("07 15:00", "07 16:00", 1.0, True),
        ("08 09:00", "08 10:00", 1.0, True),
        ("08 10:00", "08 11:00", 2.0, False),
    ]
    assert bars(found)[-1] == ("08 15:00", "08 16:00", 2.0, True)


def test_a_daily_file_that_ends_early_is_filled_to_the_end() -> None:
    """With its last bar, and that is reported as a loss of the days without a row."""
    found = feed({DAILY: daily(("20131126", 1))}, start=date(2013, 11, 26), end=date(2013, 12, 1), fill=True)

    assert bars(found) == [
        ("26 09:30", "26 16:00", 1.0, False),
        ("27 09:30", "27 16:00", 1.0, True),
        ("29 09:30", "29 13:00", 1.0, True),
    ]
    assert [str(loss) for loss in found.losses] == [f"{DAILY} (2013-11-27 to 2013-11-29): no row for 2 trading days"]


def test_nothing_is_filled_after_a_delisting() -> None:
    """The last day is filled; the delisting has the day after it, even a Saturday, and ends the share."""
    files = {DAILY: WEEK, MAP: "20100104,x,N\n20131011,x,N\n"}
    files[DAILY] = daily(("20131009", 3), ("20131014", 9))

    found = feed(files, start=date(2013, 10, 9), end=date(2013, 10, 18), fill=True)

    assert bars(found) == [
        ("09 09:30", "09 16:00", 3.0, False),
        ("10 09:30", "10 16:00", 3.0, True),
        ("11 09:30", "11 16:00", 3.0, True),
    ]
    assert events(found) == [
        ("delisting", date(2013, 10, 11), "X", "warning"),
        ("delisting", date(2013, 10, 12), "X", "delisted"),
    ]


def test_a_warning_on_the_first_day_has_no_price() -> None:
    """Nothing has been read by then; and a split of the day before the range is not reported at all."""
    factors = "20100104,1,0.25,1\n20131004,1,0.25,8\n20131007,1,0.5,2\n20501231,1,1,0\n"

    found = feed({DAILY: WEEK, MAP: LISTED, FACTORS: factors})

    assert events(found) == [
        ("split", MONDAY, "X", "warning", 0.5, 0.0),
        ("split", date(2013, 10, 8), "X", "occurred", 0.5, 2.0),
    ]


def test_of_two_splits_on_one_day_the_later_one_is_seen() -> None:
    """On the 9th one takes place and the next is announced: the algorithm's slice has one split for each share."""
    factors = "20100104,1,0.25,1\n20131008,1,0.25,8\n20131009,1,0.5,2\n20501231,1,1,0\n"

    found = feed({DAILY: WEEK, MAP: LISTED, FACTORS: factors})

    assert events(found) == [
        ("split", date(2013, 10, 8), "X", "warning", 0.5, 1.0),
        ("split", date(2013, 10, 9), "X", "warning", 0.5, 2.0),
        ("split", date(2013, 10, 10), "X", "occurred", 0.5, 2.0),
    ]


def test_the_last_price_of_a_warning_is_that_of_the_last_row() -> None:
    """Even of one after the close, which is not fed."""
    files = {minute(MONDAY): {"a": f"{row('34200000', 1)}\n{row('60000000', 7)}"}, MAP: LISTED}
    files[FACTORS] = "20100104,1,0.5,1\n20131008,1,0.5,8\n20501231,1,1,0\n"

    found = feed(files, resolution=Resolution.MINUTE)

    assert events(found)[0] == ("split", date(2013, 10, 8), "X", "warning", 0.5, 7.0)


def test_volumes_are_whole_where_prices_are_scaled() -> None:
    """Halves go to the even number; without a factor and without dividends the volume stays as it is."""
    label = "34200000"
    files = {
        minute(MONDAY): {"a": f"{label},10000,10000,10000,10000,101.5"},
        minute(date(2013, 10, 9)): {"a": f"{label},10000,10000,10000,10000,101.5"},
        MAP: LISTED,
        FACTORS: "20100104,1,2,1\n20131008,1,2,1\n20501231,1,1,0\n",
    }

    found = feed(files, resolution=Resolution.MINUTE, mode=Mode.ADJUSTED)

    assert [item.volume for item in found.items if isinstance(item, Bar)] == [51.0, 101.5]


def test_the_day_of_a_rename_without_rows_in_the_old_file() -> None:
    """The old ticker's file is missing: the new one is read from its first row on, before the rename."""
    files = {
        "equity/usa/daily/new.zip": daily(("20131007", 1), ("20131010", 2)),
        "equity/usa/map_files/new.csv": "20100104,old,N\n20131008,old,N\n20501231,new,N\n",
    }

    found = lines_of(feed(files, "NEW").items)

    assert [(line[0], line[3] if line[0] == "bar" else line[2:]) for line in found] == [
        ("bar", "NEW"),
        ("renamed", ("OLD", "NEW")),
        ("bar", "NEW"),
    ]


def test_events_of_the_day_of_a_rename_have_the_old_ticker() -> None:
    """The engine maps the ticker after it has looked for splits and dividends."""
    files = {
        "equity/usa/daily/old.zip": daily(("20131008", 1)),
        "equity/usa/daily/new.zip": daily(("20131009", 2)),
        "equity/usa/map_files/new.csv": "20100104,old,N\n20131008,old,N\n20501231,new,N\n",
        "equity/usa/factor_files/new.csv": "20100104,0.5,1,1\n20131008,0.5,1,10\n20501231,1,1,0\n",
    }

    assert events(feed(files, "NEW")) == [
        ("dividend", date(2013, 10, 9), "OLD", 5.0, 10.0),
        ("renamed", date(2013, 10, 9), "OLD", "NEW"),
    ]


def test_daily_bars_before_the_factor_file() -> None:
    """A bar is read if it ends, at midnight, on the day before the first row or later."""
    factors = "20131010,1,1,1\n20501231,1,1,0\n"

    assert bars(feed({DAILY: WEEK, MAP: LISTED, FACTORS: factors}))[0] == ("08 09:30", "08 16:00", 2.0, False)


def test_several_symbols_are_merged_by_instant() -> None:
    """Bars by ticker, events before them; one share under two tickers is one subscription."""
    files = {
        DAILY: daily(("20131008", 1), ("20131009", 2)),
        "equity/usa/daily/a.zip": daily(("20131008", 3), ("20131009", 4)),
        "equity/usa/map_files/a.csv": "20100104,aold,N\n20121231,aold,N\n20501231,a,N\n",
        FACTORS: "20100104,0.5,1,1\n20131008,0.5,1,10\n20501231,1,1,0\n",
    }

    found = lines_of(feed(files, "X", "A", "AOLD").items)

    assert [(line[0], line[3] if line[0] == "bar" else line[2]) for line in found] == [
        *(("bar", "A"), ("bar", "X")),
        ("dividend", "X"),
        *(("bar", "A"), ("bar", "X")),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"garbage", "it is no whole zip"),
        ({}, "the zip is empty"),
        ({"x.csv": ""}, "the CSV is empty"),
        ({"__MACOSX/x": "\0\1\2,3", "x.csv": row("34200000", 1)}, "the first member, __MACOSX/x, has no rows"),
    ],
    ids=["no-zip", "no-member", "empty", "foreign-member"],
)
def test_a_file_of_which_nothing_is_read(content: Any, reason: str) -> None:
    """The day is lost; the others are fed."""
    files = {minute(MONDAY): content, minute(date(2013, 10, 8)): {"a": row("34200000", 2)}}

    found = feed(files, resolution=Resolution.MINUTE, end=date(2013, 10, 8))

    assert bars(found) == [("08 09:30", "08 09:31", 2.0, False)]
    (loss,) = found.losses
    assert (loss.first, loss.path) == (MONDAY, minute(MONDAY))
    assert reason in loss.reason


def test_no_path_is_built_from_a_ticker_that_is_no_symbol() -> None:
    """Such a map file counts for nothing, and is reported."""
    found = feed({DAILY: WEEK, MAP: "20100104,../../x,N\n20131008,../../x,N\n20501231,x,N\n"})

    assert len(found.items) == 5
    assert [loss.path for loss in found.losses] == [MAP]
    assert "'../../X'" in found.losses[0].reason


def test_days_at_the_ends_of_the_calendar_of_dates() -> None:
    """Rows, factor rows and map rows of the years 1 and 9999 do no harm."""
    files = {
        DAILY: {"x.csv": f"{row('00010101 00:00', 9)}\n{row('20131007 00:00', 1)}\n{row('99991231 00:00', 9)}"},
        MAP: "00010101,x\n99991231,x\n",
        FACTORS: "00010101,1,1,1\n99991231,1,1,0\n",
    }

    assert bars(feed(files)) == [("07 09:30", "07 16:00", 1.0, False)]


def test_a_share_that_is_listed_after_today() -> None:
    """LEAN takes the ticker for a share without a map file, and then reads nothing before its first row."""
    found = feed({DAILY: WEEK, MAP: "20300102,x,N\n20501231,x,N\n"})

    assert found.items == ()
    assert found.losses[0].last == FRIDAY


def test_a_bar_between_two_intervals_begins_with_the_first() -> None:
    """LEAN rounds the start down after it has read and ordered the bars."""
    files = {minute(MONDAY): {"a": row("34230000", 1)}}

    (bar,) = feed(files, resolution=Resolution.MINUTE, end=MONDAY).items

    assert (bar.start, bar.end) == (datetime(2013, 10, 7, 9, 30), datetime(2013, 10, 7, 9, 31))
