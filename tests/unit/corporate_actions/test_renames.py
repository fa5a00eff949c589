"""Which ticker changes are accepted: META's as recorded, GOOG's of 2014, and each reason to leave one out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

import pytest
from attrs import field, frozen

from server.corporate_actions.model import Listing, Renames, TickerChange
from server.corporate_actions.renames import AcceptedRenames, ChangeWindow, accept_renames
from server.corporate_actions.rows import inception, map_rows
from server.lean.map_file import render_map_file
from server.trading_calendar import USEquityTradingCalendar
from tests.support.corporate import weekdays

CALENDAR = weekdays()
LAST_DAY = date(2025, 6, 2)
LISTED = Listing(ticker="META", active=True, exchange="XNAS", listed=date(2012, 5, 18))


def day(text: str) -> date:
    return date.fromisoformat(text)


def sessions(first: str, last: str) -> list[date]:
    return CALENDAR.trading_days(day(first), day(last))


def changes(*pairs: tuple[str, str], notices: tuple[str, ...] = ()) -> Renames:
    found = tuple(TickerChange(first_day=day(when), ticker=ticker) for when, ticker in pairs)
    return Renames(changes=found, notices=notices)


@frozen
class Evidence:
    """What traded, by ticker, which tickers another share had, which it took over, and whether the price goes on."""

    days: Mapping[str, Collection[date]] = field(factory=dict)
    others: Collection[str] = ()
    taken: Collection[str] = ()
    goes_on: bool = False

    def traded(self, window: ChangeWindow) -> dict[str, list[date]]:
        """The days of both tickers in a window; empty where neither traded."""
        found = {
            ticker: [one for one in self.days.get(ticker, ()) if window.first <= one <= window.last]
            for ticker in (window.old, window.new)
        }
        return found if any(found.values()) else {}

    def is_other_holder(self, ticker: str, on: date) -> bool | None:
        """Whether a ticker is one of `others`; unknown if none is."""
        return ticker in self.others if self.others else None

    def taken_over(self, ticker: str, on: date) -> bool:
        """Whether a ticker is one of `taken`."""
        return ticker in self.taken

    def continues(self, window: ChangeWindow, last: date, first: date) -> bool:
        """What was given."""
        return self.goes_on


RECORDED = changes(("2012-05-18", "FB"), ("2022-06-11", "META"))
"""The vendor's recorded list for META: the change is dated on a Saturday."""

PUBLISHED = changes(("2012-05-18", "FB"), ("2022-06-09", "META"))
"""The list in the vendor's documentation, and the day on which it was."""

TRADED = {"FB": sessions("2022-06-01", "2022-06-08"), "META": sessions("2022-06-09", "2022-06-21")}


def accepted(
    renames: Renames, symbol: str = "META", listing: Listing | None = LISTED, **evidence: Any
) -> AcceptedRenames:
    return accept_renames(symbol, renames, listing, CALENDAR, Evidence(**evidence), last_day=LAST_DAY)


def text_of(symbol: str, found: AcceptedRenames, listing: Listing | None, calendar: USEquityTradingCalendar) -> str:
    first = inception(listing, found.renames, calendar)
    return render_map_file(map_rows(symbol, listing, found.renames, first, calendar))


META_FILE = "20120518,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n"


@pytest.mark.parametrize("renames", [RECORDED, PUBLISHED])
def test_trading_gives_the_day(renames: Renames) -> None:
    """Whatever date is listed, the days on which either ticker traded give the change: LEAN's own file."""
    found = accepted(renames, days=TRADED)

    assert text_of("META", found, LISTED, CALENDAR) == META_FILE
    assert found.doubts == ()


def test_a_listed_session_counts_where_no_bars_are_known() -> None:
    """META's, as published, gives LEAN's own file."""
    assert text_of("META", accepted(PUBLISHED), LISTED, CALENDAR) == META_FILE


def test_a_listed_saturday_is_left_out_where_no_bars_are_known() -> None:
    """META's, as recorded, is two days late, which no rule can detect: no rename, and a doubt with the reason."""
    found = accepted(RECORDED)

    assert [one.ticker for one in found.changes] == ["META"]
    (doubt,) = found.doubts
    assert (doubt.symbol, doubt.day, doubt.kind) == ("META", day("2022-06-11"), "rename")
    assert doubt.message == (
        "FB is listed as an earlier ticker, which is left out: META is listed from 2022-06-11 on, which is not a "
        "trading day"
    )
    assert text_of("META", found, LISTED, CALENDAR) == "20120518,meta,Q\n20501231,meta,Q\n"


GOOGL = changes(("2004-08-19", "GOOG"), ("2014-04-03", "GOOGL"))
GOOG = changes(("2014-03-27", "GOOCV"), ("2014-04-03", "GOOG"))
OF_2014 = {
    "GOOG": sessions("2014-03-24", "2014-04-25"),
    "GOOGL": sessions("2014-04-03", "2014-04-25"),
    "GOOCV": sessions("2014-03-27", "2014-04-02"),
}


def test_a_ticker_that_passes_to_another_class_on_the_day_of_the_change() -> None:
    """GOOG became GOOGL and passed to class C, which was GOOCV before: the rows of LEAN's googl.csv and goog.csv."""
    class_a = accepted(GOOGL, "GOOGL", None, days=OF_2014, others=["GOOG"])
    class_c = accepted(GOOG, "GOOG", None, days=OF_2014, others=["GOOG"])

    assert text_of("GOOGL", class_a, None, CALENDAR) == "20040819,goog\n20140402,goog\n20501231,googl\n"
    assert text_of("GOOG", class_c, None, CALENDAR) == "20140327,goocv\n20140402,goocv\n20501231,goog\n"
    assert class_a.doubts == class_c.doubts == ()


def test_without_details_of_the_day_lists_and_prices_show_that_a_ticker_passed_on() -> None:
    """GOOG's own list says that it was taken on the day, and GOOCV's price goes on as GOOG's."""
    class_a = accepted(GOOGL, "GOOGL", None, days=OF_2014, taken=["GOOG"])
    class_c = accepted(GOOG, "GOOG", None, days=OF_2014, goes_on=True)

    assert text_of("GOOGL", class_a, None, CALENDAR) == "20040819,goog\n20140402,goog\n20501231,googl\n"
    assert text_of("GOOG", class_c, None, CALENDAR) == "20140327,goocv\n20140402,goocv\n20501231,goog\n"


def test_a_price_that_goes_on_does_not_move_a_change() -> None:
    """The new ticker traded before, and the change is listed for another day: it is left out."""
    listed = changes(("2014-03-27", "GOOCV"), ("2014-04-04", "GOOG"))

    assert [one.ticker for one in accepted(listed, "GOOG", None, days=OF_2014, goes_on=True).changes] == ["GOOG"]


@pytest.mark.parametrize("others", [[], ["AAA"]])
def test_a_ticker_that_goes_on_for_the_same_company_was_not_changed(others: list[str]) -> None:
    """A spin-off listed as a rename: the old ticker goes on, and nothing shows another holder of it."""
    found = accepted(GOOGL, "GOOGL", None, days=OF_2014, others=others)

    assert [one.ticker for one in found.changes] == ["GOOGL"]
    assert "GOOG traded until 2014-04-11 and GOOGL from 2014-04-03 on" in found.doubts[0].message


def test_a_halt_between_the_tickers_is_accepted_with_a_doubt() -> None:
    """The change is on the first day of the new ticker; no bar lies between."""
    traded = {"FB": sessions("2022-06-01", "2022-06-06"), "META": sessions("2022-06-09", "2022-06-21")}

    found = accepted(PUBLISHED, days=traded)

    assert found.changes[1].first_day == day("2022-06-09")
    assert "neither FB nor META traded between 2022-06-06 and 2022-06-09" in found.doubts[0].message


@pytest.mark.parametrize("listed", ["2020-01-02", "2022-06-09", "2024-01-02"])
def test_a_late_first_day_of_the_listing_proves_nothing(listed: str) -> None:
    """The bars of the old ticker exist, so the rename is right."""
    late = Listing(ticker="META", active=True, listed=day(listed))

    assert accepted(PUBLISHED, listing=late, days=TRADED).changes == PUBLISHED.changes


def test_a_change_before_the_listing_without_bars_is_left_out() -> None:
    """Nothing but the list speaks for it."""
    late = Listing(ticker="META", active=True, listed=day("2024-01-02"))

    found = accepted(PUBLISHED, listing=late)

    assert [one.ticker for one in found.changes] == ["META"]
    assert "before the listing of 2024-01-02, and no bars show it" in found.doubts[0].message


@pytest.mark.parametrize(
    ("traded", "reason"),
    [
        (
            {"FB": ["2022-06-08", "2022-06-09"], "META": ["2022-06-09"]},
            "FB traded until 2022-06-09 and META from 2022-06-09 on",
        ),
        ({"FB": ["2022-06-08"], "META": []}, "around 2022-06-09 META did not trade"),
        ({"META": ["2022-06-08"]}, "around 2022-06-09 FB did not trade"),
        ({"FB": ["2021-06-08"], "META": ["2022-06-09"]}, "FB did not trade"),
    ],
)
def test_what_traded_does_not_fit(traded: dict[str, list[str]], reason: str) -> None:
    """Both tickers on one day without another holder, or one of them never: the change is left out."""
    found = accepted(PUBLISHED, days={ticker: [day(text) for text in days] for ticker, days in traded.items()})

    assert [one.ticker for one in found.changes] == ["META"]
    assert found.doubts[0].message.endswith(reason)


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ((("2022-06-09", "FB"), ("2022-06-09", "META")), "META of 2022-06-09 comes after FB of 2022-06-09"),
        ((("2012-05-18", "FB"), ("2025-06-03", "META")), "META of 2025-06-03 is after the last session, 2025-06-02"),
        ((("2012-05-18", "FB"), ("2022-06-12", "META")), "from 2022-06-12 on, which is not a trading day"),
        ((("1990-01-02", "FB"), ("1997-05-01", "META")), "is before 1998-01-02, where the calendar begins"),
    ],
)
def test_changes_that_the_list_itself_contradicts(pairs: tuple[tuple[str, str], ...], reason: str) -> None:
    """Each is left out, after the vendor's own notices."""
    found = accepted(changes(*pairs, notices=("odd",)), listing=None)

    assert [one.ticker for one in found.changes] == ["META"]
    assert found.notices == ("odd",)
    assert found.doubts[0].message.endswith(reason)


def test_a_list_that_ends_with_another_ticker_is_not_about_the_symbol() -> None:
    """None of its changes is accepted."""
    found = accepted(changes(("2012-05-18", "META"), ("2022-06-09", "FB")))

    assert found.changes == ()
    assert "ends with FB" in found.doubts[0].message


def test_a_change_after_the_delisting_is_left_out() -> None:
    """A share that is gone is renamed no more."""
    gone = Listing(ticker="META", active=False, delisted=date(2020, 3, 13))

    assert accepted(PUBLISHED, listing=gone).doubts[0].message.endswith("is after the delisting of 2020-03-13")


def test_one_doubtful_change_does_not_invalidate_the_others() -> None:
    """An entry that never traded is left out, wherever it is in the list; the others are linked."""
    spurious = {
        "oldest": changes(("2010-01-04", "ZZZ"), ("2012-05-18", "FB"), ("2022-06-09", "META")),
        "middle": changes(("2012-05-18", "FB"), ("2015-03-07", "ZZZ"), ("2022-06-11", "META")),
    }
    traded = {**TRADED, "FB": [*sessions("2012-05-18", "2012-06-01"), *TRADED["FB"]]}
    for renames in spurious.values():
        found = accepted(renames, days=traded)

        assert [(one.first_day, one.ticker) for one in found.changes] == [
            (day("2012-05-18"), "FB"),
            (day("2022-06-09"), "META"),
        ]
        assert [("ZZZ" in doubt.message, doubt.kind) for doubt in found.doubts] == [(True, "rename")]


def test_a_share_that_returned_to_a_ticker() -> None:
    """QQQ was QQQQ from 2004 to 2011."""
    listed = changes(("1999-03-10", "QQQ"), ("2004-12-01", "QQQQ"), ("2011-03-23", "QQQ"))
    traded = {
        "QQQ": [*sessions("2004-11-01", "2004-11-30"), *sessions("2011-03-23", "2011-04-20")],
        "QQQQ": [*sessions("2004-12-01", "2004-12-31"), *sessions("2011-03-01", "2011-03-22")],
    }

    found = accepted(listed, "QQQ", None, days=traded)

    assert text_of("QQQ", found, None, CALENDAR) == "19990310,qqq\n20041130,qqq\n20110322,qqqq\n20501231,qqq\n"


def test_a_ticker_that_is_listed_twice_in_a_row_is_one() -> None:
    """There is no change between them."""
    found = accepted(changes(("2012-05-18", "META"), ("2022-06-09", "META")))

    assert [(one.first_day, one.ticker) for one in found.changes] == [(day("2012-05-18"), "META")]
    assert found.doubts == ()


def test_a_first_ticker_from_before_the_calendar() -> None:
    """The first entry is no change; its day need not be a session."""
    old = changes(("1990-01-06", "AAA"), ("2016-08-22", "META"))

    assert accepted(old, listing=None).renames == old


@pytest.mark.parametrize("renames", [Renames(), changes(("2012-05-18", "META"))])
def test_a_list_without_changes_is_accepted(renames: Renames) -> None:
    """A share that was never renamed."""
    assert accepted(renames, days=TRADED).renames == renames


def test_trading_that_puts_changes_into_another_order() -> None:
    """The change that would come first is left out."""
    listed = changes(("2022-06-10", "FB"), ("2022-06-14", "META"))
    traded = {"FB": sessions("2022-06-06", "2022-06-07"), "META": sessions("2022-06-08", "2022-06-24")}

    found = accepted(listed, listing=None, days=traded)

    assert [one.ticker for one in found.changes] == ["META"]
    assert found.doubts[0].message.endswith("META traded before the first day of FB, 2022-06-10")


def test_holidays_are_no_sessions() -> None:
    """The calendar decides which days are sessions."""
    open_days = [one for one in sessions("1998-01-02", "2026-12-31") if one != day("2022-06-09")]
    calendar = USEquityTradingCalendar(open_days, {}, CALENDAR.last_day)

    found = accept_renames("META", PUBLISHED, LISTED, calendar, Evidence(), last_day=LAST_DAY)

    assert [one.ticker for one in found.changes] == ["META"]
