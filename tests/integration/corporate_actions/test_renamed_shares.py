"""Bars and files of shares that had several tickers."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

from server.data_download.request import DownloadRequest
from server.lean.series import Resolution
from tests.support.corporate_market import (
    close,
    factor,
)
from tests.support.corporate_rig import RigOn, at
from tests.support.harness import calendar
from tests.support.market import Market
from tests.support.reference_data import ReferenceData

FB_DAYS = calendar().trading_days(date(2022, 5, 25), date(2022, 6, 8))
META_DAYS = calendar().trading_days(date(2022, 6, 9), date(2022, 6, 24))


def renamed_market(resolution: str = "daily") -> Market:
    """FB's bars to the 8th, META's from the 9th on; another security was called META before."""
    other = calendar().trading_days(date(2022, 1, 3), date(2022, 1, 28))
    return (
        Market.synthetic(["FB"], FB_DAYS, "daily")
        | Market.synthetic(["META"], [*other, *META_DAYS], "daily")
        | Market.synthetic(["FB"], FB_DAYS, bars_per_day=5)
        | Market.synthetic(["META"], META_DAYS, bars_per_day=5)
    )


def renamed() -> ReferenceData:
    """The vendor's own list has the change on a Saturday."""
    data = ReferenceData()
    data.renamed(("FB", "2022-05-25"), ("META", "2022-06-11"))
    data.listed("META", exchange="XNAS", since="2022-05-25")
    data.dividend("META", "2022-01-20", "0.10")  # of the other security
    data.dividend("FB", "2022-06-02", "0.50")
    return data


def test_a_renamed_share_is_downloaded_under_the_ticker_of_each_day(rig_on: RigOn) -> None:
    """Each day's bars are requested and stored under its ticker; days count once; the files are META's."""
    market = renamed_market()
    rig, server = rig_on(renamed(), market)
    rig.now = at("2022-06-27")

    report = rig.download("META", FB_DAYS[0], META_DAYS[-1], Resolution.MINUTE)

    minutes = [request.window for request in server.requests if request.window and request.window[1] == "minute"]
    assert {window[0] for window in minutes} == {"FB", "META"}
    for symbol, _, start, end in minutes:
        mine = FB_DAYS if symbol == "FB" else META_DAYS
        assert str(mine[0]) <= start <= end <= str(mine[-1])
    folder = rig.data / "equity" / "usa" / "minute"
    assert sorted(path.name[:8] for path in (folder / "fb").iterdir()) == [f"{day:%Y%m%d}" for day in FB_DAYS]
    assert sorted(path.name[:8] for path in (folder / "meta").iterdir()) == [f"{day:%Y%m%d}" for day in META_DAYS]
    both = len(FB_DAYS) + len(META_DAYS)
    assert (report.days_requested, report.days_downloaded, report.days_failed) == (both, both, 0)
    assert rig.text("map", "META") == "20220525,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n"
    close_before = close(date(2022, 6, 1), "FB", market)
    price = factor(1 - Fraction("0.50") / Fraction(close_before))
    assert rig.text("factor", "META") == (f"20220525,{price},1,1\n20220601,{price},1,{close_before}\n20501231,1,1,0")
    (entry,) = report.corporate_actions
    assert any("events listed under META on 2022-01-20 are left out" in notice for notice in entry.notices)
    server.reset()

    again = rig.download("META", FB_DAYS[0], META_DAYS[-1], Resolution.MINUTE)
    assert (again.days_present, server.requests) == (both, [])


def test_a_foreign_map_file_is_used(rig_on: RigOn) -> None:
    """QuantConnect's map file gives the ticker of each day; failures name the requested ticker."""
    rig, server = rig_on(renamed(), renamed_market(), plan_start=date(2022, 6, 3))
    rig.now = at("2022-06-27")
    rig.environ["BACKTEST_SERVER_CORPORATE_ACTIONS"] = "off"
    rig.put("map", "META", "20120518,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n")

    report = rig.download("META", date(2022, 6, 1), date(2022, 6, 10))

    assert {request.window[0] for request in server.requests if request.window} == {"FB", "META"}
    (failure,) = report.failures
    assert (failure.symbol, failure.days) == ("FB", (date(2022, 6, 1), date(2022, 6, 2)))
    assert (report.days_requested, report.days_downloaded, report.days_failed) == (8, 6, 2)

    workspace = rig.open()
    request = DownloadRequest(
        symbols=("META", "FB"), resolution=Resolution.DAILY, start=date(2022, 6, 1), end=date(2022, 6, 10)
    )
    plan = workspace.downloader().plan(request)
    workspace.close()
    assert [state.value for state in plan.states["META"].values()] == ["missing"] * 2 + ["present"] * 6
    assert list(plan.states["META"]) == sorted(plan.states["META"])
    assert [state.value for state in plan.states["FB"].values()][:6] == ["missing"] * 2 + ["present"] * 4
    assert [gap.series.ticker for gap in plan.gaps] == ["FB"]


def test_a_damaged_map_file_is_reported_and_not_used(rig_on: RigOn) -> None:
    """LEAN ignores it as well."""
    rig, server = rig_on(renamed(), renamed_market())
    rig.now = at("2022-06-27")
    rig.environ["BACKTEST_SERVER_CORPORATE_ACTIONS"] = "off"
    rig.put("map", "META", "20120518,fb,Q\nnonsense\n")

    report = rig.download("META", META_DAYS[0], META_DAYS[-1])

    assert {request.window[0] for request in server.requests if request.window} == {"META"}
    assert any("the map file of META cannot be used" in notice for notice in report.notices)


def test_an_earlier_ticker_has_no_files_of_its_own(rig_on: RigOn) -> None:
    """FB's days are covered by META's files, and two map files with one ticker would be ambiguous to LEAN."""
    rig, _ = rig_on(renamed(), renamed_market())
    rig.now = at("2022-06-27")

    (made,) = rig.build("FB").outcomes

    assert (made.files.factor_file, made.files.map_file) == ("none", "none")
    assert "FB is now META" in made.files.notices[0]
    assert not rig.path("map", "FB").exists()


def test_a_change_that_the_plan_does_not_show_is_taken_at_its_date(rig_on: RigOn) -> None:
    """It is a trading day, and the bars begin a week later, so they do not contradict it."""
    reference = renamed()
    reference.renamed(("FB", "2022-05-25"), ("META", "2022-06-09"))
    rig, _ = rig_on(reference, renamed_market(), plan_start=date(2022, 6, 16))
    rig.now = at("2022-06-27")

    (made,) = rig.build("META").outcomes

    assert rig.text("map", "META") == "20220525,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n"
    assert rig.text("factor", "META") == "20220616,1,1,1\n20501231,1,1,0"
    assert any("begins on 2022-06-16" in notice for notice in made.files.notices)
