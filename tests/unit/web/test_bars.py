"""Bars for a chart: read from LEAN's files, merged into fewer points."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from server.lean.bars import Bars
from server.lean.feed import FeedRequest, Mode
from server.lean.series import Resolution
from server.trading_calendar import USEquityTradingCalendar
from server.web.bars import described, read_bars, thinned
from tests.support.lean_feed import ENGINE_RAN_ON, content_of, questions


def bars(first: int, opens: list[float]) -> Bars:
    """Bars a minute apart; each closes a dollar above its open, a dollar within its low and its high."""
    opened = np.array(opens)
    time = first + 60_000 * np.arange(len(opens))
    volume = np.full(len(opens), 10.0)
    return Bars(time=time, open=opened, high=opened + 2, low=opened - 1, close=opened + 1, volume=volume)


def test_bars_that_fit_are_unchanged() -> None:
    """A point for each bar."""
    found = thinned([bars(0, [1.0, 5.0])], 10)

    assert found == {
        "time": [0, 60_000],
        "open": [1.0, 5.0],
        "high": [3.0, 7.0],
        "low": [0.0, 4.0],
        "close": [2.0, 6.0],
        "volume": [10.0, 10.0],
        "bars_total": 2,
        "bars_per_point": 1,
    }


def test_a_point_merges_the_bars_of_one_part() -> None:
    """First open, highest high, lowest low, last close, total volume; the last point of a part may have fewer bars."""
    found = thinned([bars(0, [4.0, 9.0, 1.0]), bars(10_000_000, [2.0])], 2)

    assert found["bars_per_point"] == 2
    assert found["bars_total"] == 4
    assert found["time"] == [0, 120_000, 10_000_000]
    assert found["open"] == [4.0, 1.0, 2.0]
    assert found["high"] == [11.0, 3.0, 4.0]
    assert found["low"] == [3.0, 0.0, 1.0]
    assert found["close"] == [10.0, 2.0, 3.0]
    assert found["volume"] == [20.0, 10.0, 10.0]


@pytest.mark.parametrize("parts", [[], [bars(0, [])]])
def test_no_bars_are_no_points(parts: list[Bars]) -> None:
    """The columns are empty."""
    found = thinned(parts, 10)

    assert (found["time"], found["close"], found["bars_total"]) == ([], [], 0)


CALENDAR = USEquityTradingCalendar.shipped()
QUESTIONS = questions()


def folder_of(root: Path, name: str) -> Path:
    """A data folder with the files of a recorded question."""
    for path, content in QUESTIONS[name].files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content_of(content))
    return root


def request(mode: Mode, *, extended: bool = False, end: date = date(2013, 10, 11)) -> FeedRequest:
    return FeedRequest(start=date(2013, 10, 7), end=end, mode=mode, extended_hours=extended, today=ENGINE_RAN_ON)


@pytest.mark.parametrize(("name", "mode"), [("events-raw", Mode.RAW), ("events-adjusted", Mode.ADJUSTED)])
def test_bars_are_those_that_the_engine_fed(tmp_path: Path, name: str, mode: Mode) -> None:
    """In the mode that is asked for, with their start in UTC; splits and dividends are in the answer."""
    fed = QUESTIONS[name].lines

    (bars_of_file,), feed = read_bars(folder_of(tmp_path, name), "X", Resolution.DAILY, request(mode), CALENDAR)

    expected = [line for line in fed if line[0] == "bar"]
    starts = [
        datetime.fromtimestamp(time / 1000, UTC).astimezone(ZoneInfo("America/New_York")) for time in bars_of_file.time
    ]
    assert [start.replace(tzinfo=None) for start in starts] == [line[1] for line in expected]
    assert bars_of_file.close.tolist() == [line[7] for line in expected]
    found = described(feed, request(mode))
    assert (found["mode"], found["losses"]) == (mode, [])
    assert [event["type"] for event in found["events"]] == [line[0] for line in fed if line[0] != "bar"]


@pytest.mark.damaged_zips
def test_minutes_are_divided_by_day_and_losses_are_reported(tmp_path: Path) -> None:
    """The rest of a day is lost after a row that cannot be read, and a day without a file."""
    wanted = request(Mode.RAW, extended=True, end=date(2013, 10, 9))

    parts, feed = read_bars(folder_of(tmp_path, "minute-bad-row"), "X", Resolution.MINUTE, wanted, CALENDAR)

    assert [len(part) for part in parts] == [2, 3]
    bad, absent = described(feed, wanted)["losses"]
    assert (bad["kind"], str(bad["first_day"])) == ("damaged", "2013-10-07")
    assert bad["reason"].startswith("LEAN loses 2 readable rows of that day")
    assert (absent["kind"], absent["path"]) == ("absent", "equity/usa/minute/x/20131009_trade.zip")
