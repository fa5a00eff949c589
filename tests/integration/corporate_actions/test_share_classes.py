"""Changes of ticker: GOOG, GOOGL and GOOCV in 2014, doubtful ones, and events listed under a later ticker."""

from __future__ import annotations

from datetime import date

import pytest

from tests.support import faults
from tests.support.corporate_rig import RigOn, at
from tests.support.reference_data import ReferenceData
from tests.support.share_market import daily_market, level, sessions

BEFORE, AFTER = sessions("2014-03-03", "2014-04-02"), sessions("2014-04-03", "2014-04-30")
WHEN_ISSUED = sessions("2014-03-27", "2014-04-02")
OF_2014 = daily_market(
    {
        "GOOG": {**level(BEFORE, 1135.1), **level(AFTER, 567)},
        "GOOGL": level(AFTER, 571.5),
        "GOOCV": level(WHEN_ISSUED, 565),
    }
)


def alphabet() -> ReferenceData:
    """Class A was GOOG until 2014-04-02, class C got that ticker on the 3rd; the split is listed under each."""
    data = ReferenceData()
    data.renamed(("GOOG", "2004-08-19"), ("GOOGL", "2014-04-03"))
    data.renamed(("GOOCV", "2014-03-27"), ("GOOG", "2014-04-03"))
    data.listed("GOOGL", since="2004-08-19", composite_figi="A", held=("2014-04-03", "2030-01-01"), name="Alphabet")
    data.listed("GOOG", since="2014-03-27", composite_figi="C", held=("2014-04-03", "2030-01-01"), name="Alphabet")
    data.listed("GOOG", composite_figi="A", delisted="2014-04-03", held=("2004-08-19", "2014-04-02"), name="Google")
    data.split("GOOGL", "2014-04-03", old=1, new=2)
    data.split("GOOG", "2014-04-03", old=1, new=2)
    return data


def test_the_files_of_lean(rig_on: RigOn) -> None:
    """The rows of LEAN's goog.csv, googl.csv and the factor file of GOOGL."""
    rig, _ = rig_on(alphabet(), OF_2014)
    rig.now = at("2014-06-02")

    report = rig.download(["GOOGL", "GOOG"], WHEN_ISSUED[0], AFTER[-1])

    assert report.complete
    assert rig.text("map", "GOOGL") == "20040819,goog,Q\n20140402,goog,Q\n20501231,googl,Q\n"
    assert rig.text("map", "GOOG") == "20140327,goocv,Q\n20140402,goocv,Q\n20501231,goog,Q\n"
    assert rig.text("factor", "GOOGL") == "20040819,1,0.5,1\n20140402,1,0.5,1135.1\n20501231,1,1,0"
    assert report.other_holders == ()
    assert [(doubt.symbol, doubt.kind) for doubt in report.doubts] == [("GOOG", "split")]  # of class A only


def test_the_files_of_lean_without_details_of_past_days(rig_on: RigOn) -> None:
    """The lists of changes and the bars are enough: GOOG's own list says that it was taken on that day."""
    data = alphabet()
    data.tickers.clear()
    for symbol in ("GOOG", "GOOGL"):
        data.listed(symbol, name="Alphabet", since="2014-03-27" if symbol == "GOOG" else "2004-08-19")
    rig, _ = rig_on(data, OF_2014)
    rig.now = at("2014-06-02")

    rig.download(["GOOGL", "GOOG"], WHEN_ISSUED[0], AFTER[-1])

    assert rig.text("map", "GOOGL") == "20040819,goog,Q\n20140402,goog,Q\n20501231,googl,Q\n"
    assert rig.text("map", "GOOG") == "20140327,goocv,Q\n20140402,goocv,Q\n20501231,goog,Q\n"
    assert rig.text("factor", "GOOGL") == "20040819,1,0.5,1\n20140402,1,0.5,1135.1\n20501231,1,1,0"


def test_a_listing_that_ends_on_the_day_of_the_change_does_not_deny_it(rig_on: RigOn) -> None:
    """The plan has no past days: class A is among the delisted holders of GOOG, with the day that class C took it."""
    data = alphabet()
    data.refused_dates = faults.not_entitled()
    rig, _ = rig_on(data, OF_2014)
    rig.now = at("2014-06-02")

    report = rig.download(["GOOGL", "GOOG"], WHEN_ISSUED[0], AFTER[-1])

    assert [doubt.kind for doubt in report.doubts if doubt.symbol == "GOOGL"] == []
    assert rig.text("map", "GOOGL") == "20040819,goog,Q\n20140402,goog,Q\n20501231,googl,Q\n"
    assert rig.text("map", "GOOG") == "20140327,goocv,Q\n20140402,goocv,Q\n20501231,goog,Q\n"


@pytest.mark.parametrize("past_days", [True, False])
def test_two_shares_that_exchange_their_tickers(rig_on: RigOn, past_days: bool) -> None:
    """Both tickers trade before and after the day; each share is one series."""
    before, after = sessions("2022-02-01", "2022-02-28"), sessions("2022-03-01", "2022-03-31")
    closes = {"XA": {**level(before, 20), **level(after, 300)}, "XB": {**level(before, 299), **level(after, 21)}}
    data = ReferenceData(refused_dates=None if past_days else faults.not_entitled())
    shares = {"20": (("XA", "2019-01-02"), ("XB", "2022-03-01")), "299": (("XB", "2019-01-02"), ("XA", "2022-03-01"))}
    for figi, changes in shares.items():
        data.listed(changes[1][0], held=("2022-03-01", "2030-01-01"), since="2019-01-02", composite_figi=figi)
    for figi, ((ticker, first), _) in shares.items():
        data.listed(ticker, held=(first, "2022-02-28"), delisted="2022-03-01", since=first, composite_figi=figi)
    for changes in shares.values():
        listed = ReferenceData()
        listed.renamed(*changes)
        data.histories[changes[1][0]] = listed.histories[changes[1][0]]
    rig, _ = rig_on(data, daily_market(closes))
    rig.now = at("2022-06-01")

    report = rig.download(["XA", "XB"], before[0], after[-1])

    assert rig.text("map", "XA") == "20190102,xb,Q\n20220228,xb,Q\n20501231,xa,Q\n"
    assert rig.text("map", "XB") == "20190102,xa,Q\n20220228,xa,Q\n20501231,xb,Q\n"
    assert (report.doubts, report.other_holders) == ((), ())


def test_bars_under_the_old_ticker_are_used_for_both(rig_on: RigOn) -> None:
    """Each day is requested under the ticker that the share had."""
    rig, _ = rig_on(alphabet(), OF_2014)
    rig.now = at("2014-06-02")

    rig.download("GOOGL", BEFORE[0], AFTER[-1])

    folder = rig.data / "equity" / "usa" / "daily"
    assert {path.stem for path in folder.glob("*.zip")} == {"goog", "googl"}


FB_DAYS, META_DAYS = sessions("2022-05-02", "2022-06-08"), sessions("2022-06-09", "2022-07-29")
ETF_DAYS = sessions("2021-07-01", "2022-01-28")
SPLIT, PAID = date(2022, 5, 16), date(2021, 12, 20)


def meta(*, etf: bool = True) -> ReferenceData:
    """A split of FB's days and one of the ETF's that are listed under META only."""
    data = ReferenceData()
    data.renamed(("FB", "2022-05-02"), ("META", "2022-06-09"))
    data.listed("META", since="2022-05-02", composite_figi="F", held=("2022-06-09", "2030-01-01"))
    if etf:
        data.listed("META", name="ETF", composite_figi="E", delisted="2022-01-31", held=("2021-07-01", "2022-01-30"))
    data.split("META", SPLIT, old=1, new=2)
    return data


MARKET = {
    "FB": {day: 200.0 if day < SPLIT else 100.0 for day in FB_DAYS},
    "META": {**level(ETF_DAYS, 12.5), **level(META_DAYS, 100)},
}


def test_a_split_that_is_listed_under_the_later_ticker_only(rig_on: RigOn) -> None:
    """No other company had META in May: it counts, with FB's close."""
    rig, _ = rig_on(meta(), daily_market(MARKET))
    rig.now = at("2022-08-15")

    report = rig.download("META", FB_DAYS[0], META_DAYS[-1])

    assert rig.text("factor", "META") == "20220502,1,0.5,1\n20220513,1,0.5,200\n20501231,1,1,0"
    assert report.doubts == ()


def test_events_of_another_company_under_the_later_ticker(rig_on: RigOn) -> None:
    """The ETF's dividends of 2021 lie between a split that counts and events of today: they are left out."""
    data = meta()
    for day in ("2021-09-20", "2021-12-20"):
        data.dividend("META", day, "0.10")
    data.split("META", "2020-03-02", old=1, new=3)
    data.histories["FB"] = data.histories["META"] = [
        {"ticker_change": {"ticker": ticker}, "type": "ticker_change", "date": day}
        for ticker, day in (("META", "2022-06-09"), ("FB", "2012-05-18"))
    ]
    fb = {**level(sessions("2020-02-03", "2020-02-28"), 600), **level(sessions("2020-03-02", "2022-05-13"), 200)}
    rig, server = rig_on(
        data, daily_market({**MARKET, "FB": {**fb, **level(sessions("2022-05-16", "2022-06-08"), 100)}})
    )
    rig.now = at("2022-08-15")

    report = rig.download("META", date(2020, 2, 3), META_DAYS[-1])

    rows = (rig.text("factor", "META") or "").split("\n")
    assert rows[1:] == ["20200228,1,0.16666667,600", "20220513,1,0.5,200", "20501231,1,1,0"]
    (entry,) = report.corporate_actions
    assert any("events listed under META on 2 days from 2021-09-20 to 2021-12-20" in text for text in entry.notices)
    assert report.doubts == ()
    assert len([request for request in server.requests if "date" in request.query]) <= 7


def test_a_vendor_without_past_days_leaves_the_split_out_where_bars_show_a_holder(rig_on: RigOn) -> None:
    """404 and no bars: it counts; bars of the other company: it does not."""
    for day, counts in ((SPLIT, True), (date(2021, 12, 20), False)):
        data = ReferenceData(refused_dates=faults.ticker_not_found())
        data.renamed(("FB", "2021-07-01"), ("META", "2022-06-09"))
        data.listed("META", since="2021-07-01")
        data.split("META", day, old=1, new=2)
        closes = {one: 200.0 if one < day else 100.0 for one in sessions("2021-07-01", "2022-06-08")}
        rig, _ = rig_on(data, daily_market({**MARKET, "FB": closes}))
        rig.now = at("2022-08-15")
        rig.data = rig.root / str(counts)
        rig.environ["LEAN_DATA_FOLDER"] = str(rig.data)

        rig.download("META", date(2021, 7, 1), META_DAYS[-1])

        assert ("0.5" in (rig.text("factor", "META") or "")) == counts


def test_one_doubtful_change_does_not_hide_the_others(rig_on: RigOn) -> None:
    """The oldest ticker never traded: it is left out with a doubt, and FB is linked."""
    data = ReferenceData()
    data.renamed(("ZZZ", "2022-05-02"), ("FB", "2022-05-09"), ("META", "2022-06-09"))
    data.listed("META", since="2024-01-02", composite_figi="F", held=("2012-05-18", "2030-01-01"))
    rig, _ = rig_on(data, daily_market(MARKET))
    rig.now = at("2022-08-15")

    report = rig.download("META", date(2022, 5, 9), META_DAYS[-1])

    assert rig.text("map", "META") == "20220502,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n"
    assert [(doubt.day, doubt.kind) for doubt in report.doubts if doubt.kind == "rename"] == [
        (date(2022, 5, 9), "rename")
    ]


def test_an_older_holder_of_the_first_ticker(rig_on: RigOn) -> None:
    """LEAN's fb.1.csv ends in 2003: META's files begin with the share's own FB, whatever the list of changes says."""
    old = sessions("2003-01-02", "2003-03-28")
    data = ReferenceData()
    data.renamed(("FB", "2003-01-02"), ("META", "2022-06-09"))
    data.listed("META", since="2012-05-18", composite_figi="F", held=("2022-06-09", "2030-01-01"))
    data.listed("FB", name="FBR Asset", composite_figi="O", delisted="2003-03-31", held=("1999-09-29", "2003-03-30"))
    data.listed("FB", composite_figi="F", delisted="2022-06-09", held=("2012-05-18", "2022-06-08"))
    rig, _ = rig_on(data, daily_market({**MARKET, "FB": {**level(old, 30), **level(FB_DAYS, 200)}}))
    rig.now = at("2022-08-15")

    report = rig.download("META", old[0], META_DAYS[-1])

    assert rig.text("map", "META") == "20220502,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n"
    assert [(one.ticker, one.first_day, one.last_day, one.name) for one in report.other_holders] == [
        ("FB", old[0], old[-1], "FBR Asset")
    ]
