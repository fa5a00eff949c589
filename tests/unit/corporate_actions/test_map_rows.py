"""The rows of map files, by LEAN's rules."""

from __future__ import annotations

from datetime import date

import pytest

from server.corporate_actions.model import Listing, Renames, TickerChange
from server.corporate_actions.rows import inception, map_rows
from server.lean.map_file import render_map_file
from tests.support.corporate import weekdays

CALENDAR = weekdays()


def day(text: str) -> date:
    return date.fromisoformat(text)


def changes(*pairs: tuple[str, str]) -> Renames:
    return Renames(changes=tuple(TickerChange(first_day=day(when), ticker=ticker) for when, ticker in pairs))


def listing(ticker: str, **facts: object) -> Listing:
    days = {name: day(fact) if isinstance(fact, str) else fact for name, fact in facts.items() if name != "exchange"}
    exchange = facts.get("exchange", "XNAS")
    return Listing(ticker=ticker, active=bool(days.pop("active", True)), exchange=exchange, **days)  # type: ignore[arg-type]


def file_of(ticker: str, found: Listing | None, renames: Renames = Renames(), first: str | None = None) -> str:  # noqa: B008
    begin = day(first) if first else inception(found, renames, CALENDAR)
    return render_map_file(map_rows(ticker, found, renames, begin, CALENDAR))


# --- rows ---


def test_meta() -> None:
    """LEAN's own file of Meta: FB up to and including the day before the change."""
    renames = changes(("2012-05-18", "FB"), ("2022-06-09", "META"))

    text = file_of("META", listing("META", listed="2012-05-18"), renames)

    assert text == "20120518,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n"


def test_a_change_on_monday() -> None:
    """The old ticker's last day is the Friday."""
    renames = changes(("2013-03-04", "AAA"), ("2016-08-22", "BBB"), ("2019-01-07", "BBB.A"))

    text = file_of("BBB.A", listing("BBB.A", exchange="XNYS"), renames)

    assert text == "20130304,aaa,N\n20160819,aaa,N\n20190104,bbb,N\n20501231,bbb.a,N\n"


def test_one_ticker() -> None:
    """A share as old as LEAN's data, that was never renamed: LEAN's own file of Apple."""
    assert file_of("AAPL", listing("AAPL", listed="1980-12-12")) == "19980102,aapl,Q\n20501231,aapl,Q\n"


def test_nothing_known() -> None:
    """Without reference data: no exchange, and no bound but the calendar's."""
    assert file_of("SPY", None) == "19980102,spy\n20501231,spy\n"


def test_delisted() -> None:
    """A listing that says inactive and when ends the file there; with a rename before."""
    gone = listing("BBB", active=False, delisted="2020-03-13", listed="2013-03-04")

    assert file_of("BBB", gone, changes(("2013-03-04", "AAA"), ("2016-08-22", "BBB"))) == (
        "20130304,aaa,Q\n20160819,aaa,Q\n20200313,bbb,Q\n"
    )


@pytest.mark.parametrize(
    ("said", "row"), [("2020-03-14", "20200313"), ("2020-03-15", "20200313"), ("2020-03-16", "20200316")]
)
def test_delisted_on_a_day_without_trading(said: str, row: str) -> None:
    """The last session before is the last day."""
    assert file_of("BBB", listing("BBB", active=False, delisted=said, listed="2013-03-04")).endswith(f"\n{row},bbb,Q\n")


@pytest.mark.parametrize(
    "facts",
    [
        {"active": True, "delisted": "2020-03-13"},
        {"active": False},
        {"active": False, "delisted": "2013-03-04"},
        {"active": False, "delisted": "2010-03-13"},
        {"active": False, "delisted": "2099-01-02"},
    ],
)
def test_a_delisting_that_is_not_confirmed(facts: dict[str, object]) -> None:
    """Inactive without a day, a day of one that is active, or before it began: LEAN must not sell what is held."""
    assert file_of("BBB", listing("BBB", listed="2013-03-04", **facts)).endswith("\n20501231,bbb,Q\n")


@pytest.mark.parametrize(
    ("code", "letter"),
    [
        ("XNAS", "Q"),
        ("XNMS", "Q"),
        ("XNYS", "N"),
        ("ARCX", "P"),
        ("BATS", "Z"),
        ("XASE", "A"),
        ("XLON", ""),
        (None, ""),
    ],
)
def test_exchange_letters(code: str | None, letter: str) -> None:
    """LEAN's letters; a market that it has none for is left open."""
    end = f",{letter}" if letter else ""

    assert file_of("SPY", listing("SPY", exchange=code)) == f"19980102,spy{end}\n20501231,spy{end}\n"


@pytest.mark.parametrize(
    ("listed", "first_ticker", "first_data", "begins"),
    [
        (None, None, None, "1998-01-02"),
        ("2012-05-18", None, None, "2012-05-18"),
        ("2012-05-18", "2013-01-02", "2014-01-02", "2012-05-18"),
        ("2012-05-18", "2013-01-02", "2011-01-03", "2011-01-03"),
        (None, "2013-01-02", None, "2013-01-02"),
        ("2012-05-19", None, None, "2012-05-21"),
        ("1962-01-02", None, None, "1998-01-02"),
        ("2099-01-02", None, None, "1998-01-02"),
    ],
)
def test_inception(listed: str | None, first_ticker: str | None, first_data: str | None, begins: str) -> None:
    """The earliest day known, since LEAN reads nothing before it; on a session, and within the calendar."""
    renames = changes((first_ticker, "FB")) if first_ticker else Renames()
    data = day(first_data) if first_data else None

    assert inception(listing("FB", listed=listed), renames, CALENDAR, data) == day(begins)


def test_changes_before_the_first_day() -> None:
    """Only the ticker that the share had on the first day remains of them; a change on the second day needs no row."""
    renames = changes(("2013-03-04", "AAA"), ("2016-08-22", "BBB"), ("2019-01-07", "CCC"))

    assert file_of("CCC", None, renames, first="2017-01-02") == "20170102,bbb\n20190104,bbb\n20501231,ccc\n"
    assert file_of("CCC", None, renames, first="2019-01-04") == "20190104,bbb\n20501231,ccc\n"
    assert file_of("CCC", None, renames, first="2019-01-07") == "20190107,ccc\n20501231,ccc\n"
