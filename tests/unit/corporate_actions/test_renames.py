"""Which ticker changes are accepted: META's as recorded, and a test for each reason to reject a list."""

from __future__ import annotations

from datetime import date

import pytest

from server.corporate_actions.model import Listing, Renames, TickerChange
from server.corporate_actions.renames import ChangeWindow, change_windows, plausible_renames
from server.corporate_actions.rows import inception, map_rows
from server.lean.map_file import render_map_file
from server.trading_calendar import USEquityTradingCalendar
from tests.support.corporate import weekdays

CALENDAR = weekdays()
LAST_DAY = date(2025, 6, 2)
LISTED = Listing(ticker="META", active=True, exchange="XNAS", listed=date(2012, 5, 18))


def day(text: str) -> date:
    return date.fromisoformat(text)


def changes(*pairs: tuple[str, str], notices: tuple[str, ...] = ()) -> Renames:
    found = tuple(TickerChange(first_day=day(when), ticker=ticker) for when, ticker in pairs)
    return Renames(changes=found, notices=notices)


RECORDED = changes(("2012-05-18", "FB"), ("2022-06-11", "META"))
"""The vendor's recorded answer for META: the change is dated on a Saturday."""

PUBLISHED = changes(("2012-05-18", "FB"), ("2022-06-09", "META"))
"""The answer in the vendor's documentation, and the day on which it was."""

TRADED = {
    "FB": CALENDAR.trading_days(day("2022-06-01"), day("2022-06-08")),
    "META": CALENDAR.trading_days(day("2022-06-09"), day("2022-06-21")),
}


def accepted(renames: Renames, symbol: str = "META", listing: Listing | None = LISTED, **options: object) -> Renames:
    return plausible_renames(symbol, renames, listing, CALENDAR, last_day=LAST_DAY, **options)  # type: ignore[arg-type]


def text_of(renames: Renames) -> str:
    return render_map_file(map_rows("META", LISTED, renames, inception(LISTED, renames, CALENDAR), CALENDAR))


META_FILE = "20120518,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n"


def test_a_change_on_a_session_is_accepted() -> None:
    """META's, as published, gives LEAN's own file."""
    assert accepted(PUBLISHED) == PUBLISHED
    assert text_of(accepted(PUBLISHED)) == META_FILE


def test_a_change_on_a_saturday_is_rejected() -> None:
    """META's, as recorded, is two days late, which no rule can detect: no rename, and a notice with the reason."""
    found = accepted(RECORDED)

    assert found.changes == ()
    assert found.notices == (
        "the list of the tickers of META is not plausible, so no rename is taken from it: "
        "META is listed as following FB on 2022-06-11, which is not a trading day",
    )
    assert text_of(found) == "20120518,meta,Q\n20501231,meta,Q\n"


@pytest.mark.parametrize("renames", [RECORDED, PUBLISHED])
def test_what_traded_settles_the_day(renames: Renames) -> None:
    """Whatever date is listed, the days on which either ticker traded give the change: LEAN's own file."""
    assert text_of(accepted(renames, traded=TRADED)) == META_FILE


def test_change_windows() -> None:
    """Ten days before and after each change, under both tickers."""
    assert change_windows(RECORDED) == [ChangeWindow("FB", "META", day("2022-06-01"), day("2022-06-21"))]
    assert change_windows(changes(("2012-05-18", "META"))) == change_windows(Renames()) == []


@pytest.mark.parametrize(
    ("traded", "doubt"),
    [
        (
            {"FB": ["2022-06-08", "2022-06-09"], "META": ["2022-06-09"]},
            "when META is listed as following FB, FB traded until 2022-06-09 and META from 2022-06-09 on",
        ),
        (
            {"FB": ["2022-06-07"], "META": ["2022-06-09"]},
            "when META is listed as following FB, FB traded until 2022-06-07 and META from 2022-06-09 on",
        ),
        (
            {"FB": ["2022-06-08"], "META": []},
            "around 2022-06-09, when META is listed as following FB, META did not trade",
        ),
        ({"META": ["2022-06-08"]}, "around 2022-06-09, when META is listed as following FB, FB did not trade"),
        ({"FB": ["2021-06-08"], "META": ["2022-06-09"]}, "FB did not trade"),
    ],
)
def test_what_traded_does_not_fit(traded: dict[str, list[str]], doubt: str) -> None:
    """Both tickers on one day, neither on a day, or one of them never: there is no rename."""
    found = accepted(PUBLISHED, traded={ticker: [day(text) for text in days] for ticker, days in traded.items()})

    assert found.changes == ()
    assert found.notices[0].endswith(doubt)


@pytest.mark.parametrize(
    ("pairs", "doubt"),
    [
        ((("2022-06-09", "META"), ("2012-05-18", "FB")), "FB of 2012-05-18 comes after META of 2022-06-09"),
        ((("2022-06-09", "FB"), ("2022-06-09", "META")), "META of 2022-06-09 comes after FB of 2022-06-09"),
        ((("2012-05-18", "META"), ("2022-06-09", "META")), "META follows itself on 2022-06-09"),
        (
            (("2012-05-18", "META"), ("2014-06-09", "FB"), ("2022-06-09", "META")),
            "META is in it twice, with another ticker in between",
        ),
        ((("2012-05-18", "META"), ("2022-06-09", "FB")), "it ends with FB"),
        ((("2012-05-17", "FB"), ("2022-06-09", "META")), "FB of 2012-05-17 is before the listing of 2012-05-18"),
        ((("2012-05-18", "FB"), ("2025-06-03", "META")), "META of 2025-06-03 is after the last session, 2025-06-02"),
        ((("2012-05-18", "FB"), ("2099-06-03", "META")), "META of 2099-06-03 is after the last session, 2025-06-02"),
        ((("2012-05-18", "FB"), ("2022-06-12", "META")), "on 2022-06-12, which is not a trading day"),
    ],
)
def test_doubts(pairs: tuple[tuple[str, str], ...], doubt: str) -> None:
    """Each rejects the whole list, and its notice follows the vendor's own."""
    found = accepted(changes(*pairs, notices=("odd",)))

    assert found.changes == ()
    assert found.notices[0] == "odd"
    assert found.notices[1].startswith(
        "the list of the tickers of META is not plausible, so no rename is taken from it: "
    )
    assert found.notices[1].endswith(doubt)


def test_a_change_after_the_delisting_is_rejected() -> None:
    """A share that is gone is renamed no more."""
    gone = Listing(ticker="META", active=False, delisted=date(2020, 3, 13))

    assert (
        accepted(PUBLISHED, listing=gone).notices[0].endswith("META of 2022-06-09 is after the delisting of 2020-03-13")
    )


def test_a_change_before_the_calendar_is_rejected() -> None:
    """Whether it was on a session cannot be known."""
    old = changes(("1990-01-02", "AAA"), ("1997-05-01", "META"))

    assert accepted(old, listing=None).notices[0].endswith("is before 1998-01-02, where the calendar begins")


def test_a_first_ticker_from_before_the_calendar() -> None:
    """The first entry is no change; its day need not be a session."""
    old = changes(("1990-01-06", "AAA"), ("2016-08-22", "META"))

    assert accepted(old, listing=None) == old


@pytest.mark.parametrize("renames", [Renames(), changes(("2012-05-18", "META"))])
def test_a_list_without_changes_is_accepted(renames: Renames) -> None:
    """A share that was never renamed."""
    assert accepted(renames, traded=TRADED) == renames


def test_days_that_two_changes_share() -> None:
    """Changes that trading puts into another order are rejected."""
    listed = changes(("2022-05-02", "AAA"), ("2022-06-07", "FB"), ("2022-06-14", "META"))
    traded = {
        "AAA": CALENDAR.trading_days(day("2022-05-25"), day("2022-06-09")),
        "FB": [day("2022-06-10"), *CALENDAR.trading_days(day("2022-06-01"), day("2022-06-02"))],
        "META": CALENDAR.trading_days(day("2022-06-03"), day("2022-06-24")),
    }

    assert accepted(listed, listing=None, traded=traded).changes == ()


def test_holidays_are_no_sessions() -> None:
    """The calendar decides which days are sessions."""
    sessions = [one for one in CALENDAR.trading_days(date(1998, 1, 2), date(2026, 12, 31)) if one != day("2022-06-09")]
    calendar = USEquityTradingCalendar(sessions, {}, CALENDAR.last_day)

    found = plausible_renames("META", PUBLISHED, LISTED, calendar, last_day=LAST_DAY)

    assert found.changes == ()
