"""Splits and dividends against closes in a download: what is applied, and what is reported."""

from __future__ import annotations

from datetime import date

import pytest

from server.core.json import to_json
from tests.support.corporate_rig import RigOn, at
from tests.support.reference_data import ReferenceData
from tests.support.share_market import daily_market, level, sessions

DAYS = sessions("2016-12-01", "2017-02-28")
FIRST, LAST = DAYS[0], DAYS[-1]


def reference() -> ReferenceData:
    data = ReferenceData()
    data.listed("T", since="2016-12-01", exchange="XNYS")
    return data


def closes(change: str, ratio: float = 0.5, before: float = 136.0) -> dict[date, float]:
    """136 until a day, and that times a ratio from it on."""
    return {day: before if str(day) < change else before * ratio for day in DAYS}


@pytest.mark.parametrize("listed", ["2017-01-11", "2017-01-12", "2017-01-13"])
def test_a_split_listed_a_session_early_or_late(rig_on: RigOn, listed: str) -> None:
    """The closes halve on the 12th: the factor row is that of 20170111, with a notice where the list differs."""
    data = reference()
    data.split("T", listed, old=1, new=2)
    rig, _ = rig_on(data, daily_market({"T": closes("2017-01-12")}))
    rig.now = at("2017-06-01")

    report = rig.download("T", FIRST, LAST)

    assert rig.text("factor", "T") == "20161201,1,0.5,1\n20170111,1,0.5,136\n20501231,1,1,0"
    moved = [notice for notice in report.notices if "it is applied on 2017-01-12" in notice]
    assert (len(moved), report.doubts) == (int(listed != "2017-01-12"), ())


def test_the_close_that_a_moved_split_needs_is_fetched(rig_on: RigOn) -> None:
    """The range ends with the day of the listed split: the session after it is fetched, and decides."""
    data = reference()
    data.split("T", "2017-01-11", old=1, new=2)
    rig, _ = rig_on(data, daily_market({"T": closes("2017-01-12")}))
    rig.now = at("2017-06-01")

    rig.download("T", FIRST, date(2017, 1, 6))

    assert "20170111,1,0.5,136" in (rig.text("factor", "T") or "")


def test_of_two_ratios_the_closes_show_one(rig_on: RigOn) -> None:
    """2:1 and 3:1 on one day, and the close halves."""
    data = reference()
    data.split("T", "2017-01-12", old=1, new=3)
    data.split("T", "2017-01-12", old=1, new=2)
    rig, _ = rig_on(data, daily_market({"T": closes("2017-01-12")}))
    rig.now = at("2017-06-01")

    report = rig.download("T", FIRST, LAST)

    assert rig.text("factor", "T") == "20161201,1,0.5,1\n20170111,1,0.5,136\n20501231,1,1,0"
    assert any("the closes show 2:1, so the other is left out" in notice for notice in report.notices)


def test_a_spin_off_is_a_doubt_until_it_is_accepted(rig_on: RigOn) -> None:
    """In the report, as JSON, and as a notice; an accepted one is listed as such and raises nothing."""
    rig, server = rig_on(reference(), daily_market({"T": closes("2017-01-12", 0.3)}))
    rig.now = at("2017-06-01")

    report = rig.download("T", FIRST, LAST)

    (doubt,) = to_json(report.doubts)
    assert {name: doubt[name] for name in ("symbol", "day", "kind", "accepted")} == {
        "symbol": "T",
        "day": "2017-01-12",
        "kind": "price_change",
        "accepted": False,
    }
    assert doubt["message"].startswith("the close changed from $136 to $40.8, and no event is listed that explains it")
    assert any("T 2017-01-12: doubtful" in notice for notice in report.notices)
    assert rig.text("factor", "T") == "20161201,1,1,1\n20501231,1,1,0"
    server.reset()

    rig.environ["BACKTEST_SERVER_ACCEPTED_DOUBTS"] = "MO 2008-03-31, T 2017-01-12"
    again = rig.download("T", FIRST, LAST)
    assert ([doubt.accepted for doubt in again.doubts], again.notices, server.requests) == ([True], (), [])

    (outcome,) = rig.build("T", refresh=True).outcomes
    assert [doubt.accepted for doubt in outcome.findings.doubts] == [True]

    without = rig.download("T", FIRST, date(2017, 1, 11))
    assert without.doubts == ()


def test_a_split_that_no_close_shows_is_applied_with_a_doubt(rig_on: RigOn) -> None:
    """Nothing is changed."""
    data = reference()
    data.split("T", "2017-01-12", old=1, new=2)
    rig, _ = rig_on(data, daily_market({"T": level(DAYS, 136)}))
    rig.now = at("2017-06-01")

    report = rig.download("T", FIRST, LAST)

    assert rig.text("factor", "T") == "20161201,1,0.5,1\n20170111,1,0.5,136\n20501231,1,1,0"
    assert [(doubt.day, doubt.kind) for doubt in report.doubts] == [(date(2017, 1, 12), "split")]


def test_dividends_that_may_be_one(rig_on: RigOn) -> None:
    """$0.50 on two days of a week: both are applied, with a doubt; a special one of $20 of $136 is one, too."""
    data = reference()
    for day, amount in (("2017-01-05", "0.5"), ("2017-01-09", "0.5"), ("2017-02-01", "20")):
        data.dividend("T", day, amount)
    market = daily_market({"T": {day: 136.0 if str(day) < "2017-02-01" else 116.0 for day in DAYS}})
    rig, _ = rig_on(data, market)
    rig.now = at("2017-06-01")

    report = rig.download("T", FIRST, LAST)

    assert (rig.text("factor", "T") or "").count("\n") == 4
    assert [(str(doubt.day), doubt.kind) for doubt in report.doubts] == [
        ("2017-01-09", "near_duplicate"),
        ("2017-02-01", "large_dividend"),
    ]


def test_a_reverse_split_after_a_halt(rig_on: RigOn) -> None:
    """No bar for a week; the close after it is ten times the one before."""
    halted = {
        day: close for day, close in closes("2017-01-12", 10, 2).items() if not "2017-01-05" < str(day) < "2017-01-12"
    }
    data = reference()
    data.split("T", "2017-01-10", old=10, new=1)
    rig, _ = rig_on(data, daily_market({"T": halted}))
    rig.now = at("2017-06-01")

    report = rig.download("T", FIRST, LAST)

    assert report.doubts == ()


def test_no_details_but_events(rig_on: RigOn) -> None:
    """404, as for many delisted tickers: events and closes give a factor file; the notice says what is missing."""
    data = ReferenceData()
    data.split("T", "2017-01-12", old=1, new=2)
    rig, _ = rig_on(data, daily_market({"T": closes("2017-01-12")}))
    rig.now = at("2017-06-01")

    report = rig.download("T", FIRST, LAST)

    assert rig.text("factor", "T") == "20161201,1,0.5,1\n20170111,1,0.5,136\n20501231,1,1,0"
    assert rig.text("map", "T") == "20161201,t\n20501231,t\n"
    assert report.notices == (
        "the vendor has no details of T: its map file has no exchange and no last day, and its files begin with its "
        "first bar",
    )


def test_events_from_before_the_calendar(rig_on: RigOn) -> None:
    """Those of before 1998 adjust nothing, under the share's ticker or another one."""
    data = reference()
    data.renamed(("S", "1980-12-12"), ("T", "2017-01-12"))
    data.tickers[0]["list_date"] = "1980-12-12"
    for ticker in ("S", "T"):
        data.dividend(ticker, "1996-05-06", "0.12")
    data.split("T", "1997-12-31", old=1, new=2)
    market = {
        "S": level(sessions("2016-12-01", "2017-01-11"), 136),
        "T": level(sessions("2017-01-12", "2017-02-28"), 136),
    }
    rig, _ = rig_on(data, daily_market(market))
    rig.now = at("2017-06-01")

    report = rig.download("T", FIRST, LAST)

    assert report.complete
    assert rig.text("factor", "T") == "19980102,1,1,1\n20501231,1,1,0"
    assert report.doubts == ()


def test_a_spin_off_that_an_edited_factor_file_has(rig_on: RigOn) -> None:
    """The user added its value as a dividend, $95.2 of $136: the file explains the change, and is kept."""
    rig, _ = rig_on(reference(), daily_market({"T": closes("2017-01-12", 0.3)}))
    rig.now = at("2017-06-01")
    edited = "20161201,0.3,1,1\n20170111,0.3,1,136\n20501231,1,1,0"
    rig.put("factor", "T", edited)

    report = rig.download("T", FIRST, LAST)

    assert (report.doubts, rig.text("factor", "T")) == ((), edited)
