"""A vendor's records: sorted, without repeats, only valid ones, whatever their order."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.corporate_actions.events import (
    current_ticker,
    events_from,
    events_of_share,
    gather,
    ticker_for,
    tickers_of,
    unattributed_events,
)
from server.corporate_actions.model import Dividend, Events, Renames, Split, TickerChange
from server.lean.map_file import MapRow
from tests.support.corporate import dividend, split

DAYS = st.dates(date(2020, 1, 1), date(2020, 1, 4))
NUMBERS = st.sampled_from([Decimal(text) for text in ("1", "2", "2.0", "4", "0", "-1", "0.5", "NaN", "2E+6", "1E+999")])
IDS = st.sampled_from(["", "", "a", "b", "c"])
SPLITS = st.lists(st.tuples(IDS, st.builds(Split, ex_date=DAYS, old=NUMBERS, new=NUMBERS)), max_size=8)
DIVIDENDS = st.lists(st.tuples(IDS, st.builds(Dividend, ex_date=DAYS, amount=NUMBERS)), max_size=8)


def test_nothing_gives_nothing() -> None:
    """No records, no events; the vendor's own notices stay."""
    assert gather([], [], ["odd"]) == Events(notices=("odd",))


def test_ascending() -> None:
    """Events come sorted by their day."""
    found = gather(
        [("", split("2020-08-31", "4")), ("", split("2014-06-09", "7"))],
        [("", dividend("2020-05-08", "0.82")), ("", dividend("2019-11-07", "0.77"))],
    )

    assert found.splits == (split("2014-06-09", "7"), split("2020-08-31", "4"))
    assert found.dividends == (dividend("2019-11-07", "0.77"), dividend("2020-05-08", "0.82"))
    assert found.notices == ()


def test_a_split_listed_twice_counts_once() -> None:
    """Records that say the same are repeats, also under different ids and with the ratio in other numbers."""
    found = gather(
        [("a", split("2022-06-29", "10")), ("b", split("2022-06-29", "10.0")), ("", split("2022-06-29", "20", "2"))], []
    )

    assert [one.factor for one in found.splits] == [Decimal("0.1")]
    assert found.notices == ()


def test_one_record_listed_twice_counts_once() -> None:
    """Of records with one id that differ, one is kept and the other named."""
    found = gather([], [("a", dividend("2020-05-08", "0.82")), ("a", dividend("2020-05-11", "0.82"))])

    assert found.dividends == (dividend("2020-05-08", "0.82"),)
    assert found.notices == (
        "the dividend of 2020-05-11, $0.82 a share, has the same record id as "
        "the dividend of 2020-05-08, $0.82 a share, which is kept; it is left out",
    )


def test_two_dividends_of_one_day_both_count() -> None:
    """A regular and a special dividend of one day are two."""
    found = gather([], [("a", dividend("2020-05-08", "1")), ("b", dividend("2020-05-08", "0.25"))])

    assert found.dividends == (dividend("2020-05-08", "0.25"), dividend("2020-05-08", "1"))


def test_a_reverse_split_undone_at_once_stays() -> None:
    """A reverse split and a split of one day are two events."""
    found = gather([("a", split("2020-05-08", "1", "500")), ("b", split("2020-05-08", "500"))], [])

    assert {one.factor for one in found.splits} == {500, 1 / Decimal(500)}


@pytest.mark.parametrize(
    ("new", "old", "notice"),
    [
        ("0", "1", "the split of 2020-05-08, 0 for 1, is not a valid ratio; it is left out"),
        ("4", "-1", "the split of 2020-05-08, 4 for -1, is not a valid ratio; it is left out"),
        ("NaN", "1", "the split of 2020-05-08, NaN for 1, is not a valid ratio; it is left out"),
        ("1E+999999999", "1", "the split of 2020-05-08, 1E+999999999 for 1, is not a valid ratio; it is left out"),
        ("1.0", "1", "the split of 2020-05-08, 1.0 for 1, changes nothing; it is left out"),
    ],
)
def test_an_invalid_split_is_named(new: str, old: str, notice: str) -> None:
    """A ratio that is not positive or changes nothing is rejected, with a notice after the vendor's own."""
    assert gather([("", split("2020-05-08", new, old))], [], ["odd"]) == Events(notices=("odd", notice))


@pytest.mark.parametrize("amount", ["0", "-0.5", "Infinity"])
def test_an_invalid_dividend_is_named(amount: str) -> None:
    """An amount that is not positive is left out, with a notice."""
    notice = f"the dividend of 2020-05-08, ${amount} a share, is not a valid amount; it is left out"

    assert gather([], [("", dividend("2020-05-08", amount))]) == Events(notices=(notice,))


def test_an_extreme_ratio_is_one() -> None:
    """Two million for one is a ratio, and is written without an exponent."""
    found = gather(
        [("", split("2020-05-08", "2E+6")), ("a", split("2020-05-08", "3")), ("a", split("2020-05-09", "2E+6"))], []
    )

    assert len(found.splits) == 2
    assert "2000000 for 1" in found.notices[0]


@given(splits=SPLITS, dividends=DIVIDENDS, data=st.data())
def test_the_order_of_records_does_not_matter(
    splits: list[tuple[str, Split]], dividends: list[tuple[str, Dividend]], data: st.DataObject
) -> None:
    """Whatever a vendor lists, and in whatever order: the same events, the same notices, no two alike."""
    other = gather(data.draw(st.permutations(splits)), data.draw(st.permutations(dividends)))
    found = gather(splits, dividends)

    assert found == other
    assert len({(one.ex_date, one.factor) for one in found.splits}) == len(found.splits)
    assert len(set(found.dividends)) == len(found.dividends)
    assert [one.ex_date for one in found.splits] == sorted(one.ex_date for one in found.splits)


# --- all tickers of a share ---

META = [
    MapRow(date(2012, 5, 18), "FB", "Q"),
    MapRow(date(2022, 6, 8), "FB", "Q"),
    MapRow(date(2050, 12, 31), "META", "Q"),
]


def test_events_count_under_the_ticker_of_their_day() -> None:
    """Events listed under a ticker of other days are another share's, or repeats; only the former get a notice."""
    fb = Events(dividends=(dividend("2022-06-08", "1"),), splits=(split("2012-05-17", "2"),))
    meta = Events(
        dividends=(dividend("2022-01-20", "0.1"), dividend("2022-06-08", "1"), dividend("2022-06-09", "2")),
        notices=("odd",),
    )

    found = events_of_share(META, {"FB": fb, "META": meta})

    assert found.dividends == (dividend("2022-06-08", "1"), dividend("2022-06-09", "2"))
    assert found.splits == (split("2012-05-17", "2"),)
    assert found.notices == (
        "odd",
        "events listed under META on 2022-01-20 are left out: the share had another ticker then",
    )


def test_an_event_that_two_tickers_list_counts_once() -> None:
    """The order of the tickers does not matter."""
    event = Events(dividends=(dividend("2022-06-09", "2"),))

    for order in (("FB", "META"), ("META", "FB")):
        found = events_of_share(META, dict.fromkeys(order, event))
        assert (found.dividends, found.notices) == (event.dividends, ())


@pytest.mark.parametrize(
    ("day", "ticker"),
    [("1999-01-04", "FB"), ("2012-05-18", "FB"), ("2022-06-08", "FB"), ("2022-06-09", "META"), ("2051-01-03", "META")],
)
def test_ticker_of_a_day(day: str, ticker: str) -> None:
    """The first one for all days before, the last one for all after."""
    assert ticker_for("META", META, date.fromisoformat(day)) == ticker


def test_tickers_of_a_share() -> None:
    """Each ticker once; only an earlier one has another current ticker."""
    renames = Renames(
        changes=(
            TickerChange(first_day=date(2012, 5, 18), ticker="FB"),
            TickerChange(first_day=date(2022, 6, 9), ticker="META"),
        )
    )

    assert tickers_of("META", META) == ["FB", "META"]
    assert tickers_of("SPY", []) == ["SPY"]
    assert [current_ticker(symbol, renames) for symbol in ("FB", "META", "SPY")] == ["META", None, None]


# --- events listed under another ticker ---

RESTATED = {
    "FB": Events(dividends=(dividend("2022-06-08", "1"),)),
    "META": Events(
        splits=(split("2015-03-02", "2"), split("2022-01-20", "1", "3")),
        dividends=(dividend("2022-06-08", "1.5"), dividend("2022-06-09", "2")),
    ),
}
"""A split of FB's time that is listed under META only, one of the ETF, and a dividend that both list."""


def test_unattributed_events_are_those_that_the_ticker_of_their_day_does_not_list() -> None:
    """The dividend of 2022-06-08 is listed under FB, so what META lists is a repeat, whatever its amount."""
    assert unattributed_events(META, RESTATED) == {"META": [date(2015, 3, 2), date(2022, 1, 20)]}
    assert unattributed_events([], {"META": RESTATED["META"]}) == {}


def test_a_dividend_does_not_hide_a_split_of_its_day() -> None:
    """An event of another type is not listed twice."""
    listed = {"FB": RESTATED["FB"], "META": Events(splits=(split("2022-06-08", "2"),))}

    assert unattributed_events(META, listed) == {"META": [date(2022, 6, 8)]}


def test_restated_events_count() -> None:
    """Where no other share had the ticker; the others are left out, with a notice."""
    found = events_of_share(META, RESTATED, {"META": [date(2015, 3, 2), date(2022, 6, 8)]})

    assert found.splits == (split("2015-03-02", "2"),)
    assert found.dividends == (dividend("2022-06-08", "1"), dividend("2022-06-09", "2"))
    assert found.notices == (
        "events listed under META on 2 days from 2022-01-20 to 2022-06-08 are left out: the share had another ticker "
        "then",
    )


def test_events_from_a_first_day() -> None:
    """Those up to it adjust nothing, or are another holder's."""
    events = Events(
        splits=(split("2022-06-09", "2"), split("2022-06-10", "3")),
        dividends=(dividend("2022-01-20", "1"), dividend("2022-06-10", "2")),
        notices=("odd",),
    )

    assert events_from(events, date(2022, 6, 9)) == Events(
        splits=(split("2022-06-10", "3"),), dividends=(dividend("2022-06-10", "2"),), notices=("odd",)
    )


@given(restated=st.sets(st.sampled_from([one.ex_date for one in RESTATED["META"].every])))
def test_a_restated_event_is_never_counted_twice(restated: set[date]) -> None:
    """Whichever days are free: one split or dividend a day at most here."""
    found = events_of_share(META, RESTATED, {"META": restated})

    assert len({(type(one), one.ex_date) for one in found.every}) == len(found.every)
