"""Any content of files: the reader ends, without an exception, and what it feeds is in order."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.lean.feed import FeedRequest, Mode, read_feed
from server.lean.series import Resolution
from server.trading_calendar import USEquityTradingCalendar
from tests.support.lean_feed import ENGINE_RAN_ON, MemoryFiles

CALENDAR = USEquityTradingCalendar.shipped()
PATHS = {
    Resolution.DAILY: "equity/usa/daily/x.zip",
    Resolution.HOUR: "equity/usa/hour/x.zip",
    Resolution.MINUTE: "equity/usa/minute/x/20131007_trade.zip",
    Resolution.SECOND: "equity/usa/second/x/20131007_trade.zip",
}

DAYS = st.sampled_from(["00010101", "20131004", "20131005", "20131007", "20131008", "20131009", "99991231", "garbage"])
TIMES = st.sampled_from(["34200000", "34260000", "57600000", "86400000", "-1", "99999999999", "20131007 09:30"])
DATED = st.builds("{} {}".format, DAYS, st.sampled_from(["00:00", "09:00", "15:00", "25:00", ""]))
NUMBERS = st.sampled_from(["10000", "0", "-5", "1.5", "9" * 30, "0." + "1" * 30, "", "x", "1e6"])
ROWS = st.builds(lambda first, rest: ",".join([first, *rest]), TIMES | DATED, st.lists(NUMBERS, min_size=4, max_size=6))
CSV = st.builds("{}".join, st.just(["", ""])) | st.builds("\n".join, st.lists(ROWS | st.text(max_size=8), max_size=8))
FACTORS = st.lists(
    st.builds("{},{},{},{}".format, DAYS, *[st.sampled_from(["1", "0.5", "0", "-1", "x"])] * 3), max_size=5
)
TICKERS = st.lists(st.builds("{},{}".format, DAYS, st.sampled_from(["x", "y", "../z", ""])), max_size=4)


@pytest.mark.parametrize("resolution", Resolution)
@settings(max_examples=40)
@given(
    content=st.dictionaries(st.sampled_from(["x.csv", "__MACOSX/x"]), CSV, max_size=2) | st.binary(max_size=40),
    factors=FACTORS,
    tickers=TICKERS,
    mode=st.sampled_from(Mode),
    extended=st.booleans(),
    fill=st.booleans(),
)
def test_the_reader_ends(
    resolution: Resolution,
    content: dict[str, str] | bytes,
    factors: list[str],
    tickers: list[str],
    mode: Mode,
    extended: bool,
    fill: bool,
) -> None:
    """Items ascend by the instant at which they are fed, and lie within the range."""
    files = {
        PATHS[resolution]: content,
        "equity/usa/factor_files/x.csv": "\n".join(factors),
        "equity/usa/map_files/x.csv": "\n".join(tickers),
    }
    first, last = date(2013, 10, 7), date(2013, 10, 9)
    request = FeedRequest(
        start=first, end=last, mode=mode, today=ENGINE_RAN_ON, extended_hours=extended, fill_forward=fill
    )

    feed = read_feed(MemoryFiles(files), ["X"], resolution, request, CALENDAR)

    ends = [item.end for item in feed.items]
    assert ends == sorted(ends)
    assert all(first <= item.start.date() <= last for item in feed.items)
    assert all(str(loss) for loss in feed.losses)
