"""Which days of a ticker belong to the share that has it now: the issue's rules about holders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from attrs import Factory, define, frozen
from hypothesis import given
from hypothesis import strategies as st

from server.corporate_actions.identity import PAUSE_SESSIONS, Tenure, find_tenure, is_same_holder
from server.corporate_actions.model import Listing
from tests.support.corporate import weekdays

CALENDAR = weekdays()


def listing(figi: str = "", name: str = "", **more: Any) -> Listing:
    return Listing(ticker="META", active=True, figi=figi, name=name, **more)


def days(first: str, last: str) -> list[date]:
    return CALENDAR.trading_days(date.fromisoformat(first), date.fromisoformat(last))


@frozen
class Held:
    """A holder from a day on; None for days on which the vendor has no details."""

    since: date
    holder: Listing | None


@define
class Vendor:
    """The vendor's reference data by day; `asked` are the days that were requested."""

    history: Sequence[Held]
    asked: list[date] = Factory(list)

    def on(self, day: date) -> Listing | None:
        if day not in self.asked:
            self.asked.append(day)
        return next((held.holder for held in reversed(self.history) if held.since <= day), None)


def held(*history: tuple[str, Listing | None]) -> Vendor:
    return Vendor([Held(date.fromisoformat(since), holder) for since, holder in history])


def tenure(spans: Sequence[Sequence[date]], current: Listing, vendor: Vendor) -> Tenure:
    return find_tenure("META", "META", spans, current, vendor.on)


ETF = listing("FIGI-ETF", "Roundhill Ball Metaverse ETF")
META = listing("FIGI-META", "Meta Platforms, Inc.")
ETF_DAYS, META_DAYS = days("2021-07-01", "2022-01-28"), days("2022-06-09", "2022-12-30")


# --- two listings ---


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (listing("F", "Facebook"), listing("F", "Meta"), True),
        (listing("F", "Facebook", listed=date(2012, 5, 18)), listing("F", "Facebook", listed=date(2024, 1, 2)), True),
        (listing("F", "Alphabet"), listing("G", "Alphabet"), False),
    ],
)
def test_figis_decide(one: Listing, other: Listing, same: bool, paused: bool) -> None:
    """Equal ones are one holder whatever name or first day; different ones are two."""
    assert is_same_holder(one, other, paused=paused) is same


@pytest.mark.parametrize(
    ("one", "other", "paused", "same"),
    [
        (listing("", "Facebook"), listing("", "Meta"), True, False),
        (listing("F", "Facebook"), listing("", "Meta"), True, False),
        (listing("", "Facebook"), listing("", "Meta"), False, None),
        (listing("", "Meta Platforms, Inc."), listing("", "META PLATFORMS INC"), True, None),
        (listing("", ""), listing("", "Meta"), True, None),
    ],
)
def test_without_figis_another_name_and_a_pause(one: Listing, other: Listing, paused: bool, same: bool | None) -> None:
    """Both are needed; a pause alone, or another name alone, shows nothing."""
    assert is_same_holder(one, other, paused=paused) is same


# --- one holder ---


def test_a_share_that_always_had_its_ticker_costs_one_lookup() -> None:
    """The holder of the first day is the share."""
    vendor = held(("2000-01-03", META))

    assert tenure([META_DAYS], META, vendor) == Tenure(first_day=META_DAYS[0])
    assert vendor.asked == [META_DAYS[0]]


def test_without_figis_and_pauses_nothing_is_looked_up() -> None:
    """Names alone show nothing."""
    vendor = held(("2000-01-03", listing("", "Facebook, Inc.")))

    assert tenure([META_DAYS], listing("", "Meta Platforms"), vendor) == Tenure(first_day=META_DAYS[0])
    assert vendor.asked == []


def test_no_days() -> None:
    """A share without bars."""
    assert tenure([], META, held()) == Tenure()


def test_a_pause_of_one_holder() -> None:
    """A long halt: the FIGI is the same before it."""
    vendor = held(("2000-01-03", META))

    assert tenure([ETF_DAYS, META_DAYS], META, vendor) == Tenure(first_day=ETF_DAYS[0])


def test_days_that_the_vendor_does_not_know_belong_to_the_share() -> None:
    """404 or 403 for each past day, no pause: nothing shows another holder."""
    assert tenure([META_DAYS], META, held()) == Tenure(first_day=META_DAYS[0])


# --- several holders ---


def test_an_etf_before_the_company() -> None:
    """META's: the days until 2022-01-28 are those of another FIGI."""
    found = tenure([ETF_DAYS, META_DAYS], META, held(("2021-06-30", ETF), ("2022-06-09", META)))

    assert (found.first_day, found.is_limited, found.doubts) == (META_DAYS[0], True, ())
    (other,) = found.other_holders
    assert (other.symbol, other.ticker, other.first_day, other.last_day) == (
        "META",
        "META",
        *ETF_DAYS[:: len(ETF_DAYS) - 1],
    )
    assert (other.name, other.figi) == ("Roundhill Ball Metaverse ETF", "FIGI-ETF")


def test_the_same_without_figis() -> None:
    """Another name and a pause."""
    vendor = held(("2021-06-30", listing("", "An ETF")), ("2022-06-09", listing("", "Meta")))

    found = tenure([ETF_DAYS, META_DAYS], listing("", "Meta"), vendor)

    assert (found.first_day, [one.name for one in found.other_holders]) == (META_DAYS[0], ["An ETF"])


@pytest.mark.parametrize("before", [None, listing("", "META"), listing()])
def test_a_pause_alone_is_a_doubt(before: Listing | None) -> None:
    """Nothing is excluded; the doubt is of the first day after the pause."""
    found = tenure([ETF_DAYS, META_DAYS], listing("", "Meta"), held(("2021-06-30", before)))

    assert (found.first_day, found.is_limited, found.other_holders) == (ETF_DAYS[0], False, ())
    (doubt,) = found.doubts
    assert (doubt.symbol, doubt.day, doubt.kind) == ("META", META_DAYS[0], "pause")
    assert "did not trade for 60 sessions or more between 2022-01-28 and 2022-06-09" in doubt.message
    assert PAUSE_SESSIONS == 60


def test_a_ticker_that_passes_to_another_share_on_one_day() -> None:
    """GOOG: class A until 2014-04-02, class C from the 3rd on, without a pause."""
    class_a, class_c = listing("A", "Google Inc."), listing("C", "Google Inc.")
    all_days = days("2013-01-02", "2014-12-31")
    vendor = held(("2004-08-19", class_a), ("2014-04-03", class_c))

    found = find_tenure("GOOG", "GOOG", [all_days], class_c, vendor.on)

    assert found.first_day == date(2014, 4, 3)
    assert [(one.first_day, one.last_day) for one in found.other_holders] == [(date(2013, 1, 2), date(2014, 4, 2))]
    assert len(vendor.asked) <= 2 + len(all_days).bit_length()


A, B, C = listing("A", "Alpha"), listing("B", "Beta"), listing("C", "Gamma")


@pytest.mark.parametrize("paused", [False, True])
def test_a_ticker_of_three_companies(paused: bool) -> None:
    """Each is listed, the oldest first; with pauses between them or without."""
    spans = [days("2010-01-04", "2010-12-31"), days("2012-01-03", "2012-12-31"), days("2014-01-02", "2014-12-31")]
    if not paused:
        spans = [days("2010-01-04", "2014-12-31")]
    vendor = held(("2005-01-03", A), ("2011-06-01", B), ("2013-06-03", C))

    found = tenure(spans, C, vendor)

    first = date(2014, 1, 2) if paused else date(2013, 6, 3)
    assert (found.first_day, found.doubts) == (first, ())
    assert [one.name for one in found.other_holders] == ["Alpha", "Beta"]
    ends = [(date(2010, 1, 4), date(2010, 12, 31)), (date(2012, 1, 3), date(2012, 12, 31))]
    if not paused:
        ends = [(date(2010, 1, 4), date(2011, 5, 31)), (date(2011, 6, 1), date(2013, 5, 31))]
    assert [(one.first_day, one.last_day) for one in found.other_holders] == ends


def test_a_share_that_returned_after_another_holder() -> None:
    """A, B, A: LEAN's files can only begin after B, and A is no other holder."""
    spans = [days("2010-01-04", "2010-12-31"), days("2012-01-03", "2012-12-31"), days("2014-01-02", "2014-12-31")]
    vendor = held(("2005-01-03", A), ("2011-06-01", B), ("2013-06-03", A))

    found = tenure(spans, A, vendor)

    assert (found.first_day, found.is_limited) == (date(2014, 1, 2), True)
    assert [one.name for one in found.other_holders] == ["Beta"]


def test_only_days_of_another_holder() -> None:
    """None of the days on disk is the share's."""
    found = tenure([ETF_DAYS], META, held(("2021-06-30", ETF), ("2022-06-09", META)))

    assert (found.first_day, found.is_limited) == (None, True)
    assert [(one.first_day, one.last_day) for one in found.other_holders] == [(ETF_DAYS[0], ETF_DAYS[-1])]


def test_an_older_pause_is_the_other_holders() -> None:
    """A pause in the days of another holder is no doubt about the share."""
    older = days("2019-01-02", "2019-06-28")
    vendor = held(("2018-01-02", None), ("2021-06-30", ETF), ("2022-06-09", META))

    found = tenure([older, ETF_DAYS, META_DAYS], META, vendor)

    assert found.doubts == ()
    assert [(one.first_day, one.last_day) for one in found.other_holders] == [(older[0], ETF_DAYS[-1])]


@given(
    first=st.integers(0, 299),
    second=st.integers(0, 299),
    cuts=st.sets(st.integers(1, 299), max_size=3),
)
def test_the_first_day_is_found_wherever_it_is(first: int, second: int, cuts: set[int]) -> None:
    """A, then B, then C, changing on any days, with pauses anywhere: C's days begin where they do."""
    all_days = days("2020-01-01", "2021-12-31")[:300]
    begin_b, begin_c = sorted((first, second))
    vendor = Vendor([Held(all_days[0], A), Held(all_days[begin_b], B), Held(all_days[begin_c], C)])
    edges = [0, *sorted(cuts), 300]
    spans = [all_days[one:other] for one, other in pairwise(edges)]

    found = tenure(spans, C, vendor)

    assert found.first_day == all_days[begin_c]
    assert found.is_limited == (begin_c > 0)
    covered = [day for one in found.other_holders for day in all_days if one.first_day <= day <= one.last_day]
    assert covered == all_days[:begin_c]
    assert len(vendor.asked) <= 2 * len(spans) + 1 + 2 * 9
