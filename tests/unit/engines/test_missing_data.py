"""What LEAN requested and did not get."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engines.lean_log import LeanLog, parse_log
from server.engines.missing_data import (
    DataSeries,
    data_requests,
    explains_end,
    missing_files,
    paths_in_log,
    relative_path,
)
from server.trading_calendar import USEquityTradingCalendar
from tests.support.lean_runs import log_text

CALENDAR = USEquityTradingCalendar.shipped()
START, END = date(2013, 10, 4), date(2013, 10, 8)
DAYS = (date(2013, 10, 4), date(2013, 10, 7), date(2013, 10, 8))
"""The trading days from START to END, between which a weekend is."""
SPY_HOUR = "equity/usa/hour/spy.zip"
NOT_FOUND = "ERROR:: SubscriptionDataSourceReader.InvalidSource(): File not found: "


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("/equity/usa/minute/spy/20131007_trade.zip", "equity/usa/minute/spy/20131007_trade.zip"),
        ("equity\\usa\\hour\\spy.zip", SPY_HOUR),
        ("./equity/usa/hour/spy.zip", SPY_HOUR),
        ("/srv/equity/data/equity/usa/hour/spy.zip", SPY_HOUR),
        ("/alternative/interest-rate/usa/interest-rate.csv", "alternative/interest-rate/usa/interest-rate.csv"),
        ("/my data/list.csv", "my data/list.csv"),
        ("prices.csv", "prices.csv"),
        ("", None),
        ("The list ends here: more than 100000 requests failed", None),
        ("... 12 more, see data-monitor-report", None),
    ],
)
def test_lines_of_the_data_monitor(line: str, path: str | None) -> None:
    """Paths are relative to the data folder; the notice that ends a long list is no path."""
    assert relative_path(line) == path


@given(st.text())
def test_any_line_is_read(line: str) -> None:
    """A path never begins with a slash, and reading it again changes nothing."""
    path = relative_path(line)

    assert path is None or (path and not path.startswith("/"))


def test_paths_of_a_log_are_below_some_data_folder() -> None:
    """A log has whole paths; those of other files than data are left out, repeated ones count once."""
    paths = ["/home/me/data/equity/usa/hour/spy.zip", "C:\\data\\equity\\usa\\hour\\spy.zip", "/home/me/main.py"]

    assert paths_in_log(paths) == (SPY_HOUR,)


@pytest.mark.parametrize(
    ("path", "series", "days", "kind"),
    [
        ("equity/usa/minute/brk.b/20131007_trade.zip", ("BRK.B", "minute", "trade"), (DAYS[1],), "trade"),
        ("equity/usa/second/spy/20131007_quote.zip", ("SPY", "second", "quote"), (DAYS[1],), "quote"),
        ("equity/usa/daily/nosuch.zip", ("NOSUCH", "daily", "trade"), DAYS, "trade"),
        (SPY_HOUR, ("SPY", "hour", "trade"), DAYS, "trade"),
        ("equity/usa/fundamental/coarse/20131007.csv", (None, "daily", "universe"), (DAYS[1],), "universe"),
        ("equity/usa/fundamental/coarse/20139907.csv", (None, "daily", "universe"), (), "universe"),
        ("equity/usa/shortable/atreyu/dates/20131007.csv", None, (), "shortable"),
        ("option/usa/minute/goog/20131007_quote_american.zip", None, (), "quote"),
        ("alternative/interest-rate/usa/interest-rate.csv", None, (), "alternative"),
    ],
)
def test_missing_files(path: str, series: tuple[str, str, str] | None, days: tuple[date, ...], kind: str) -> None:
    """A file has its series and day; one with all days has the algorithm's trading days."""
    (found,) = missing_files(data_requests([f"/{path}", f"/{path}"], None, {}, LeanLog()), START, END, CALENDAR)

    expected = DataSeries(ticker=series[0], resolution=series[1], data_type=series[2]) if series else None
    assert (found.path, found.series, found.days, found.kind) == (path, expected, days, kind)
    assert found.counts is (kind not in ("quote", "shortable"))


def test_a_range_that_is_not_known_has_no_days() -> None:
    """Where the algorithm's range is unknown or before the calendar, a file with all days has none."""
    requests = data_requests([SPY_HOUR], None, {}, LeanLog())

    for start, end in ((None, None), (START, None), (date(1990, 1, 1), date(1990, 2, 1)), (END, START)):
        assert missing_files(requests, start, end, CALENDAR)[0].days == ()


def test_corrupt_zips_are_missing_though_lean_counts_a_success() -> None:
    """A zip that the log names corrupt is missing; the log's second line about the same file adds nothing."""
    path = "equity/usa/minute/spy/20131008_trade.zip"
    corrupt = f"ERROR:: ZipDataCacheProvider.Fetch(): Corrupt zip file/entry: /d/{path}# Error: Ionic.Zip"
    requests = data_requests([], [f"/{path}"], {}, parse_log(log_text(corrupt, f"{NOT_FOUND}/d/{path}")))

    (found,) = missing_files(requests, START, END, CALENDAR)

    assert (found.path, found.reason) == (path, "corrupt")


def test_without_lists_the_log_and_the_counts_decide() -> None:
    """The log names files that were not found and has the counts; without any record nothing is known."""
    usage = "DataMonitor.GenerateReport():\nDATA USAGE:: Total data requests 3\nDATA USAGE:: Failed data requests 1"
    log = parse_log(log_text(f"{NOT_FOUND}/d/equity/usa/daily/spy.zip", usage))
    with_log, without = (data_requests(None, None, {}, one) for one in (log, LeanLog()))

    assert (with_log.known, with_log.total, with_log.failed, with_log.unlisted) == (True, 3, 1, 0)
    assert with_log.failed_paths == ("equity/usa/daily/spy.zip",)
    assert not without.known


@pytest.mark.parametrize(
    ("failed", "explained"),
    [
        ((), False),
        (("/equity/usa/minute/spy/20131008_trade.zip",), True),
        (("/equity/usa/minute/spy/20131007_trade.zip",), False),
        (("/equity/usa/minute/spy/20131008_quote.zip",), False),
        ((f"/{SPY_HOUR}",), False),
        (("/equity/usa/daily/nosuch.zip",), True),
        (("/equity/usa/fundamental/coarse/20131008.csv",), False),
    ],
)
def test_what_explains_that_a_curve_ends(failed: tuple[str, ...], explained: bool) -> None:
    """Trade bars of a later day do; quotes and the benchmark do not, since a run continues without them."""
    assert explains_end(data_requests(failed, None, {}, LeanLog()), DAYS[1]) is explained
