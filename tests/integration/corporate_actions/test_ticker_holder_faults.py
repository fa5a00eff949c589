"""Holders of a ticker where the vendor fails, a run is interrupted, or the files are of another program."""

from __future__ import annotations

from server.core.cancel import CancelToken
from tests.support import faults
from tests.support.corporate_rig import RigOn, at
from tests.support.etf_and_company import (
    ETF,
    ETF_DAYS,
    FIRST,
    LAST,
    MARKET,
    META_DAYS,
    META_MAP,
    downloaded,
    meta,
)
from tests.support.faults import Fault
from tests.support.polygon_server import Request
from tests.support.reference_data import SPLITS, ReferenceData
from tests.support.share_market import daily_market, level, sessions


def fails_on_past_days(request: Request, n: int) -> Fault | None:
    return faults.server_error() if "date" in request.query else None


def fails_but_for_bars(request: Request, n: int) -> Fault | None:
    return None if request.window else faults.server_error()


def test_a_vendor_that_fails_for_past_days(rig_on: RigOn) -> None:
    """Nothing wrong is written; the download succeeds with a notice, and the next hour it is tried again."""
    rig, server = rig_on(meta(), MARKET)
    rig.environ["BACKTEST_SERVER_RETRY_ATTEMPTS"] = "1"
    rig.now = at("2022-08-15")
    server.on_request = fails_on_past_days

    report = rig.download("META", FIRST, LAST)

    assert report.complete
    assert (rig.text("map", "META"), rig.text("factor", "META")) == (None, None)
    assert "META has no factor file" in report.notices[0]

    server.on_request = None
    rig.now = at("2022-08-15", 14)
    report = rig.download("META", FIRST, LAST)
    assert rig.text("map", "META") == META_MAP
    assert [one.name for one in report.other_holders] == [ETF["name"]]


def test_a_failure_later_does_not_forget_what_was_found(rig_on: RigOn) -> None:
    """A settled range stays settled, with its findings, while requests for other days fail."""
    rig, server, report = downloaded(rig_on, meta())
    rig.environ["BACKTEST_SERVER_RETRY_ATTEMPTS"] = "1"
    rig.next_day("2022-09-15")
    server.on_request = fails_but_for_bars
    market_days = sessions("2022-08-01", "2022-08-05")
    server.market = daily_market(
        {"META": {**level(ETF_DAYS, 12.5), **level(META_DAYS, 184), **level(market_days, 185)}}
    )

    rig.download("META", market_days[0], market_days[-1])
    server.reset()

    again = rig.download("META", FIRST, LAST)
    assert SPLITS not in [request.path for request in server.requests]
    assert again.other_holders == report.other_holders
    assert set(report.notices) <= set(again.notices)


def test_a_run_that_is_interrupted_while_the_holder_is_looked_up(rig_on: RigOn) -> None:
    """Nothing is written; the next run completes it, with the bars of the first."""
    rig, server = rig_on(meta(), MARKET)
    rig.now = at("2022-08-15")
    cancel = CancelToken()

    def stop(request: Request, n: int) -> None:
        if "date" in request.query:
            cancel.cancel()

    server.on_request = stop
    report = rig.download("META", FIRST, LAST, cancel=cancel)
    assert report.cancelled
    assert (rig.text("map", "META"), rig.text("factor", "META")) == (None, None)

    server.on_request = None
    server.reset()
    again = rig.download("META", FIRST, LAST)
    assert (again.days_present, rig.text("map", "META")) == (len(ETF_DAYS) + len(META_DAYS), META_MAP)
    assert [request.window for request in server.requests if request.window] == []


def test_a_map_file_of_another_program_that_joins_two_companies(rig_on: RigOn) -> None:
    """It is kept; the factor file begins with the share, no change is counted across holders, and both are reported."""
    rig, _ = rig_on(meta(), MARKET)
    rig.now = at("2022-08-15")
    rig.put("map", "META", "20100104,meta,Q\n20501231,meta,Q\n")

    report = rig.download("META", FIRST, LAST)

    assert rig.text("map", "META") == "20100104,meta,Q\n20501231,meta,Q\n"
    assert rig.text("factor", "META") == "20220609,1,1,1\n20501231,1,1,0"
    assert (len(report.other_holders), report.doubts) == (1, ())


def test_both_files_of_another_program_join_two_companies(rig_on: RigOn) -> None:
    """LEAN reads both: a doubt of the share's first day, until the files are replaced."""
    rig, _ = rig_on(meta(), MARKET)
    rig.now = at("2022-08-15")
    rig.put("map", "META", "20100104,meta,Q\n20501231,meta,Q\n")
    rig.put("factor", "META", "20100104,0.9,1,1\n20200106,0.9,1,12\n20501231,1,1,0")

    report = rig.download("META", FIRST, LAST)

    assert [(doubt.day, doubt.kind) for doubt in report.doubts] == [(META_DAYS[0], "other_holder")]
    assert "--replace excludes them" in report.doubts[0].message

    rig.build("META", replace=True)
    assert (rig.text("map", "META"), rig.download("META", FIRST, LAST).doubts) == (META_MAP, ())


def test_a_map_file_of_another_program_that_excludes_an_older_holder(rig_on: RigOn) -> None:
    """Like LEAN's fb.csv, which begins on 20120518: the pause before its first day is no doubt."""
    data = ReferenceData()
    data.listed("META", since="2012-05-18")
    rig, _ = rig_on(data, MARKET)
    rig.now = at("2022-08-15")
    rig.put("map", "META", META_MAP)

    report = rig.download("META", FIRST, LAST)

    assert report.doubts == ()
    assert rig.text("factor", "META") == "20220609,1,1,1\n20501231,1,1,0"


def test_past_days_that_the_plan_does_not_include_are_asked_for_once(rig_on: RigOn) -> None:
    """403 for a day holds for each earlier one, of every symbol; the delisted shares are listed for each.

    The first and the last day of the first symbol are refused.
    """
    names = ["AA", "BB", "CC"]
    data = ReferenceData(refused_dates=faults.not_entitled())
    for name in names:
        data.listed(name, since="2012-05-18", composite_figi=name)
    rig, server = rig_on(data, daily_market({name: level(META_DAYS, 100) for name in names}))
    rig.now = at("2022-08-15")

    report = rig.download(names, META_DAYS[0], LAST)

    assert {entry.factor_file for entry in report.corporate_actions} == {"written"}
    assert len([request for request in server.requests if "date" in request.query]) == 2
    assert len(server.requests) == len(names) * 6 + 2
