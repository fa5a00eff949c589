"""A ticker with several holders: whose days the files cover, what is reported, and how many requests that takes."""

from __future__ import annotations

from datetime import date

import pytest

from server.core.json import to_json
from server.lean.series import Resolution
from tests.support import faults
from tests.support.corporate_rig import RigOn, at
from tests.support.etf_and_company import (
    COMPANY,
    ETF,
    ETF_DAYS,
    FIRST,
    JOINED_MAP,
    LAST,
    MARKET,
    META_DAYS,
    META_MAP,
    downloaded,
    meta,
)
from tests.support.faults import Fault
from tests.support.market import Market
from tests.support.reference_data import ReferenceData
from tests.support.share_market import daily_market, level, sessions


@pytest.mark.parametrize("figis", [True, False])
def test_an_etf_before_the_company(rig_on: RigOn, figis: bool) -> None:
    """By FIGI, or by name and pause: the files begin with the company; the ETF's bars are stored and reported."""
    rig, server, report = downloaded(rig_on, meta(figis=figis))

    assert rig.text("map", "META") == META_MAP
    assert rig.text("factor", "META") == "20220609,1,1,1\n20501231,1,1,0"
    assert to_json(report.other_holders) == [
        {
            "symbol": "META",
            "ticker": "META",
            "first_day": "2021-07-01",
            "last_day": "2022-01-28",
            "name": "Roundhill Ball Metaverse ETF",
            "figi": "BBG011Z0L1T8" if figis else "",
        }
    ]
    assert report.doubts == ()
    assert any("belong to another holder of the ticker (Roundhill" in notice for notice in report.notices)
    server.reset()

    again = rig.download("META", FIRST, LAST)
    assert (again.other_holders, server.requests) == (report.other_holders, [])


@pytest.mark.parametrize(
    "refusal", [faults.ticker_not_found(), faults.not_entitled(), faults.bad_request("date is too early")]
)
def test_a_pause_that_nothing_explains(rig_on: RigOn, refusal: Fault) -> None:
    """No details of past days, and no delisted share: nothing is cut, and the pause is a doubt."""
    data = ReferenceData(refused_dates=refusal)
    data.listed("META", **COMPANY)
    rig, server, report = downloaded(rig_on, data)

    assert rig.text("map", "META") == JOINED_MAP
    assert [(doubt.day, doubt.kind) for doubt in report.doubts] == [
        (META_DAYS[0], "pause"),
        (META_DAYS[0], "price_change"),
    ]
    assert report.other_holders == ()
    server.reset()

    earlier = rig.download("META", FIRST, ETF_DAYS[-1])
    assert [doubt.kind for doubt in earlier.doubts] == ["pause"]
    later = rig.download("META", META_DAYS[1], LAST)
    assert (later.doubts, later.notices, server.requests) == ((), (), [])


def test_the_list_of_delisted_shares_where_the_plan_has_no_past_days(rig_on: RigOn) -> None:
    """403 for each past day: the ETF is found among the delisted shares."""
    rig, _, report = downloaded(rig_on, meta(refused_dates=faults.not_entitled()))

    assert rig.text("map", "META") == META_MAP
    assert [one.name for one in report.other_holders] == [ETF["name"]]


@pytest.mark.parametrize("delisted", ["2022-06-08", "2022-06-09"])
def test_a_delisted_holder_whose_last_day_is_uncertain(rig_on: RigOn, delisted: str) -> None:
    """The ticker never paused. The vendor's day is the former holder's last one or the one after: closes decide."""
    before = sessions("2022-05-02", "2022-06-08")
    data = ReferenceData(refused_dates=faults.not_entitled())
    data.listed("META", delisted=delisted, name="A fund", composite_figi="FUND")
    data.listed("META", **COMPANY, composite_figi="META")
    market = daily_market({"META": {**level(before, 12.5), **level(META_DAYS, 184)}})
    rig, _ = rig_on(data, market)
    rig.now = at("2022-08-15")

    report = rig.download("META", before[0], LAST)

    assert rig.text("map", "META") == META_MAP
    assert [(other.first_day, other.last_day) for other in report.other_holders] == [(before[0], before[-1])]
    assert report.doubts == ()


def test_another_name_alone_shows_nothing(rig_on: RigOn) -> None:
    """A company that changed its name, without FIGIs and without a pause."""
    days = sessions("2021-07-01", "2022-07-29")
    data = ReferenceData()
    data.listed("META", name="Facebook, Inc.", delisted="2022-01-31", held=("2012-05-18", "2022-01-28"))
    data.listed("META", held=("2022-01-29", "2030-01-01"), **COMPANY)
    rig, _ = rig_on(data, daily_market({"META": level(days, 184)}))
    rig.now = at("2022-08-15")

    report = rig.download("META", days[0], days[-1])

    assert rig.text("map", "META") == JOINED_MAP
    assert (report.other_holders, report.doubts) == ((), ())


def test_one_figi_before_and_after_a_pause(rig_on: RigOn) -> None:
    """A long halt of one company whose name changed: neither cut nor doubtful."""
    data = ReferenceData()
    data.listed("META", name="Facebook", composite_figi="F", delisted="2022-01-31", held=("2012-05-18", "2022-01-28"))
    data.listed("META", composite_figi="F", held=("2022-01-29", "2030-01-01"), **COMPANY)
    market = daily_market({"META": {**level(ETF_DAYS, 180), **level(META_DAYS, 184)}})

    rig, _, report = downloaded(rig_on, data, market=market)

    assert rig.text("map", "META") == JOINED_MAP
    assert (report.other_holders, report.doubts) == ((), ())


def test_a_ticker_that_another_share_took_after_a_rename(rig_on: RigOn) -> None:
    """The list for FB is still Meta's. The fund that has the ticker now gets files of its own, without Meta's days."""
    old, new = sessions("2022-05-02", "2022-06-08"), sessions("2025-03-03", "2025-03-31")
    market = daily_market({"FB": {**level(old, 190), **level(new, 41)}, "META": level(META_DAYS, 184)})
    data = ReferenceData()
    data.listed("FB", since="2025-03-03", name="A fund", composite_figi="FUND")
    data.listed("META", since="2012-05-18", held=("2022-06-09", "2030-01-01"), composite_figi="META")
    data.listed("FB", held=("2012-05-18", "2022-06-08"), delisted="2022-06-09", name="Meta", composite_figi="META")
    data.renamed(("FB", "2012-05-18"), ("META", "2022-06-09"))
    rig, _ = rig_on(data, market)
    rig.now = at("2025-06-02")

    report = rig.download("FB", old[0], new[-1])

    assert rig.text("map", "FB") == "20250303,fb,Q\n20501231,fb,Q\n"
    assert rig.text("factor", "FB") == "20250303,1,1,1\n20501231,1,1,0"
    assert [(other.first_day, other.last_day, other.name) for other in report.other_holders] == [
        (old[0], old[-1], "Meta")
    ]
    assert [doubt.kind for doubt in report.doubts] == ["rename"]  # the list

    rig.download("META", old[0], META_DAYS[-1])
    assert rig.text("map", "META") == "20120518,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n"


def test_only_days_of_the_other_holder(rig_on: RigOn) -> None:
    """They are stored and counted; the files begin after them, and later days move nothing."""
    rig, _ = rig_on(meta(), MARKET)
    rig.now = at("2022-08-15")

    report = rig.download("META", FIRST, date(2021, 12, 31))

    assert report.complete
    assert [(one.first_day, one.last_day) for one in report.other_holders] == [(FIRST, date(2021, 12, 31))]
    assert rig.text("map", "META") == "20220103,meta,Q\n20501231,meta,Q\n"

    rig.download("META", META_DAYS[0], LAST)
    assert rig.text("map", "META") == META_MAP
    assert rig.text("factor", "META") == "20220609,1,1,1\n20501231,1,1,0"


def test_minute_bars_of_the_other_holder(rig_on: RigOn) -> None:
    """Files of single days count as well; daily bars are fetched once, from the close before the oldest event on."""
    market = MARKET | Market.synthetic(["META"], [*ETF_DAYS[-3:], *META_DAYS[:3]], bars_per_day=5)
    rig, server = rig_on(meta(), market)
    rig.now = at("2022-08-15")

    report = rig.download("META", ETF_DAYS[-3], META_DAYS[2], Resolution.MINUTE)

    assert [(one.first_day, one.last_day) for one in report.other_holders] == [(date(2021, 12, 17), ETF_DAYS[-1])]
    assert rig.text("map", "META") == META_MAP
    daily = [request for request in server.requests if request.window and request.window[1] == "day"]
    assert len(daily) == 1


def test_a_share_with_one_holder_costs_one_request_more(rig_on: RigOn) -> None:
    """The holder of the first day; for the newest session not even that."""
    days = sessions("2022-06-09", "2022-08-12")
    data = ReferenceData()
    data.listed("META", since="2012-05-18", composite_figi="F")
    rig, server = rig_on(data, daily_market({"META": level(days, 184)}))
    rig.now = at("2022-08-15")

    rig.download("META", days[-1], days[-1])
    assert [request.query.get("date") for request in server.requests if "date" in request.query] == []
    rig.download("META", days[0], days[-1])
    assert [request.query["date"] for request in server.requests if "date" in request.query] == [str(days[0])]


def test_a_late_first_day_of_the_listing(rig_on: RigOn) -> None:
    """It proves nothing: the FIGI of the first bar is the share's, although its list_date is two years later."""
    days = sessions("2022-06-09", "2022-07-29")
    data = ReferenceData()
    data.listed("META", since="2024-01-02", composite_figi="F", held=("2012-05-18", "2030-01-01"))
    rig, _ = rig_on(data, daily_market({"META": level(days, 184)}))
    rig.now = at("2024-08-15")

    report = rig.download("META", days[0], days[-1])

    assert rig.text("map", "META") == META_MAP
    assert (report.other_holders, report.doubts) == ((), ())


def test_a_ticker_of_three_companies(rig_on: RigOn) -> None:
    """The files are those of the last one; the others are listed with their days."""
    spans = [
        sessions("2016-01-04", "2016-03-31"),
        sessions("2018-01-02", "2018-03-29"),
        sessions("2020-01-02", "2020-03-31"),
    ]
    data = ReferenceData()
    for number, days in enumerate(spans):
        end = days[-1] if number < 2 else None
        data.listed("ABC", name=f"Company {number}", composite_figi=f"F{number}", since=days[0], delisted=end)
    market = daily_market({"ABC": {day: 10.0 + 90 * at for at, days in enumerate(spans) for day in days}})
    rig, _ = rig_on(data, market)
    rig.now = at("2020-08-03")

    report = rig.download("ABC", spans[0][0], spans[2][-1])

    assert rig.text("map", "ABC") == "20200102,abc,Q\n20501231,abc,Q\n"
    assert [(one.name, one.first_day, one.last_day) for one in report.other_holders] == [
        (f"Company {number}", spans[number][0], spans[number][-1]) for number in (0, 1)
    ]
    assert report.doubts == ()


def test_a_delisted_share_after_another_holder(rig_on: RigOn) -> None:
    """The last holder of a ticker that is not in use: its files begin with it and end with its last day."""
    first, second = sessions("2016-01-04", "2016-03-31"), sessions("2018-01-02", "2018-03-29")
    data = ReferenceData()
    data.listed("ABC", name="Old", composite_figi="F0", since=first[0], delisted="2016-04-01")
    data.listed("ABC", name="New", composite_figi="F1", since=second[0], delisted="2018-03-30")
    rig, _ = rig_on(data, daily_market({"ABC": {**level(first, 10), **level(second, 100)}}))
    rig.now = at("2020-08-03")

    report = rig.download("ABC", first[0], second[-1])

    assert rig.text("map", "ABC") == "20180102,abc,Q\n20180329,abc,Q\n"
    assert [one.name for one in report.other_holders] == ["Old"]
