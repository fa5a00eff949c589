"""The verdict on a result by its data requests."""

from __future__ import annotations

from datetime import date

import pytest

from server.engines.lean_log import LeanLog, parse_log
from server.engines.missing_data import data_requests, missing_files
from server.engines.verdict import verdict_text
from server.trading_calendar import USEquityTradingCalendar
from tests.support.lean_runs import log_text

CALENDAR = USEquityTradingCalendar.shipped()
START, END = date(2013, 10, 4), date(2013, 10, 8)
SPY_HOUR = "equity/usa/hour/spy.zip"
COMPLETE = "complete: LEAN got every file that it requested and that counts; the data itself was not checked"


def verdict(*failed: str, counts: dict[str, int] | None = None, log: LeanLog | None = None) -> str:
    """The verdict on a run from START to END with these failed requests."""
    log = log or LeanLog()
    requests = data_requests(failed, None, counts or {}, log)
    return verdict_text(missing_files(requests, START, END, CALENDAR), requests, START, CALENDAR, log.absent_folders)


@pytest.mark.parametrize(
    ("failed", "begins"),
    [
        ((), COMPLETE),
        (
            ("/equity/usa/minute/spy/20131007_quote.zip", "/equity/usa/shortable/atreyu/symbols/spy.csv"),
            "complete: LEAN got every file that it requested and that counts; not counted: 1 missing quote file; "
            "not counted: 1 missing shortable file; ",
        ),
        (("/equity/usa/daily/spy.zip",), "gaps: 1 file missing (equity/usa/daily/spy.zip); "),
        (("/alternative/interest-rate/usa/interest-rate.csv",), "gaps: 1 file missing"),
        (("/equity/usa/minute/spy/20131007_openinterest.zip",), "gaps: 1 file missing"),
        (("/equity/usa/fundamental/coarse/20131001.csv",), "gaps: 1 file missing"),
        ((f"/{SPY_HOUR}", f"/{SPY_HOUR}"), "untrusted: the benchmark SPY has no hour bars"),
        (("/equity/usa/fundamental/coarse/20131007.csv",), "untrusted: the universe was empty on days"),
        (("/equity/usa/fundamental/coarse/20131003.csv",), "untrusted: the universe was empty on days"),
    ],
)
def test_verdict(failed: tuple[str, ...], begins: str) -> None:
    """Quotes and shortable files do not count, any other file is a gap; universe days and the benchmark are worse.

    LEAN offers the universe of 2013-10-03 on the first day of the range, and that of 2013-10-01 before it.
    """
    found = verdict(*failed)

    assert found.startswith(begins)
    assert found.endswith("; the data itself was not checked")


def test_the_benchmark_is_the_one_that_the_log_names() -> None:
    """With another benchmark, hour bars of SPY are only a gap."""
    log = parse_log(log_text("X.Y(): Adding internal benchmark data feed IBM,#0,IBM,Hour,TradeBar"))

    assert verdict(f"/{SPY_HOUR}", log=log).startswith("gaps: 1 file missing")
    assert verdict("/equity/usa/hour/ibm.zip", log=log).startswith("untrusted: the benchmark IBM")


def test_no_folder_of_map_files_is_not_trusted() -> None:
    """LEAN then applies neither splits nor dividends."""
    line = "LocalDiskMapFileProvider.GetMapFileResolver(usa): The specified directory does not exist: /d/map_files"

    assert verdict(log=parse_log(log_text(f"ERROR:: {line}"))).startswith(
        "untrusted: LEAN found no folder /d/map_files"
    )


def test_a_list_that_was_cut_is_a_gap() -> None:
    """Newer versions list at most 100,000 failed requests and end with a notice; the counts have all."""
    counts = {"failed-data-requests-count": 7, "total-data-requests-count": 9}

    found = verdict("/equity/usa/minute/spy/20131007_quote.zip", "Further requests are not listed", counts=counts)

    assert found.startswith("gaps: 6 failed requests that LEAN did not list; not counted: 1 missing quote file; ")


def test_without_any_record_nothing_is_known() -> None:
    """A folder with neither lists nor counts nor a log may miss anything."""
    found = verdict_text((), data_requests(None, None, {}, LeanLog()), START, CALENDAR)

    assert found.startswith("untrusted: LEAN left no record of its data requests")
