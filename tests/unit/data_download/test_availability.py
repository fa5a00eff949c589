"""Which of the requested days are fetched."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.data_download.availability import DayState, EmptyMark, Gap, SeriesState, find_gap
from server.lean.series import Resolution, Series
from tests.support.harness import calendar, sessions

DAYS = sessions(date(2024, 3, 4), 6)
NOW = datetime(2024, 6, 3, 12, tzinfo=UTC)


def known(**facts: object) -> SeriesState:
    """What is known, nothing unless given."""
    return SeriesState(series=Series("SPY", Resolution.MINUTE), **{"on_disk": set(), "empty": {}, **facts})  # type: ignore[arg-type]


def found(state: SeriesState, now: datetime = NOW) -> Gap | None:
    """The gap in the days of this module."""
    return find_gap(DAYS, state, now, calendar().settled_through(now))


def asked(ago: timedelta, times: int) -> EmptyMark:
    """A day without bars that was last asked for so long ago."""
    return EmptyMark((NOW - ago).timestamp(), times)


def test_parts_of_gaps() -> None:
    """Narrowed to days, or joined with another one of its series; days that are fetched again stay marked."""
    gap = Gap(series=Series("SPY", Resolution.MINUTE), days=tuple(DAYS[:3]), refresh=frozenset(DAYS[1:2]))

    assert gap.narrowed([DAYS[1], DAYS[5]]) == Gap(series=gap.series, days=(DAYS[1],), refresh=frozenset({DAYS[1]}))
    assert gap.narrowed(DAYS[:1]) == Gap(series=gap.series, days=(DAYS[0],))
    assert gap.narrowed(DAYS[4:]) is None
    other = Gap(series=gap.series, days=(DAYS[0], DAYS[5]), refresh=frozenset(DAYS[5:]))
    assert other.joined(gap) == Gap(series=gap.series, days=(*DAYS[:3], DAYS[5]), refresh=frozenset({DAYS[1], DAYS[5]}))


def test_what_is_neither_there_nor_known_to_be_empty_is_missing() -> None:
    """The missing days in order, and none other."""
    gap = found(known(on_disk=set(DAYS[:2]), empty={DAYS[3]: asked(timedelta(days=1), 1)}))

    assert gap == Gap(series=Series("SPY", Resolution.MINUTE), days=(DAYS[2], DAYS[4], DAYS[5]))


def test_nothing_is_missing() -> None:
    """All days there, or known to be empty: no gap."""
    assert found(known(on_disk=set(DAYS))) is None
    assert found(known(on_disk=set(DAYS[1:]), empty={DAYS[0]: asked(timedelta(0), 1)})) is None


@pytest.mark.parametrize(
    ("times", "days"), [(1, 2), (2, 7), (3, 30)], ids=["after 2 days", "after 7 days", "after 30 days"]
)
def test_empty_days_are_asked_for_again(times: int, days: int) -> None:
    """The wait grows with the answers; such a day must not be answered from a cache."""
    for ago, expected in ((timedelta(days=days, seconds=-1), None), (timedelta(days=days), (DAYS[0],))):
        gap = found(known(on_disk=set(DAYS[1:]), empty={DAYS[0]: asked(ago, times)}))

        assert (gap.days if gap else None) == expected
        assert gap is None or gap.refresh == {DAYS[0]}


@pytest.mark.parametrize("times", [1, 4])
def test_a_request_in_the_future_does_not_count(times: int) -> None:
    """A clock that was ahead made it; the session may not even have begun."""
    gap = found(known(on_disk=set(DAYS[1:]), empty={DAYS[0]: asked(timedelta(seconds=-1), times)}))

    assert gap is not None
    assert (gap.days, gap.refresh) == ((DAYS[0],), {DAYS[0]})


def test_a_day_that_was_empty_four_times_is_believed() -> None:
    """It is not asked for again."""
    assert found(known(on_disk=set(DAYS[1:]), empty={DAYS[0]: asked(timedelta(days=3650), 4)})) is None


def test_a_damaged_day_is_fetched_even_if_it_was_empty_once() -> None:
    """A file that cannot be read is missing."""
    gap = found(known(on_disk=set(DAYS[1:]), damaged={DAYS[0]}, empty={DAYS[0]: asked(timedelta(0), 1)}))

    assert gap is not None
    assert gap.days == (DAYS[0],)


def test_a_provisional_day_is_fetched_again_once_it_is_settled() -> None:
    """Before that it counts as there; afterwards it is wanted, and not from a cache."""
    state = known(on_disk=set(DAYS), provisional={DAYS[5]})
    evening = datetime(2024, 3, 12, 0, 30, tzinfo=UTC)  # 20:30 in New York, in summer time

    assert DAYS[5] == date(2024, 3, 11)
    assert found(state, evening - timedelta(seconds=1)) is None
    gap = found(state, evening)
    assert gap is not None
    assert (gap.days, gap.refresh) == ((DAYS[5],), {DAYS[5]})


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({"on_disk": {DAYS[0]}}, DayState.PRESENT),
        ({"on_disk": {DAYS[0]}, "provisional": {DAYS[0]}}, DayState.PROVISIONAL),
        ({"on_disk": {DAYS[0]}, "empty": {DAYS[0]: asked(timedelta(0), 1)}}, DayState.PRESENT),
        ({"damaged": {DAYS[0]}}, DayState.DAMAGED),
        ({"empty": {DAYS[0]: asked(timedelta(0), 1)}}, DayState.EMPTY),
        ({"provisional": {DAYS[0]}}, DayState.MISSING),
        ({}, DayState.MISSING),
    ],
)
def test_the_state_of_a_day(facts: dict[str, object], state: DayState) -> None:
    """A good file counts for more than whatever is remembered; a mark without its file counts for nothing."""
    assert known(**facts).of(DAYS[0]) is state


SUBSETS = st.sets(st.sampled_from(DAYS))


@given(
    on_disk=SUBSETS,
    damaged=SUBSETS,
    provisional=SUBSETS,
    empty=st.dictionaries(st.sampled_from(DAYS), st.integers(1, 5)),
)
def test_the_gap_is_made_of_wanted_days_only(
    on_disk: set[date], damaged: set[date], provisional: set[date], empty: dict[date, int]
) -> None:
    """Ascending, each once; every missing day is in it and no day that is there for good."""
    marks = {day: asked(timedelta(days=10), times) for day, times in empty.items()}
    gap = found(known(on_disk=on_disk, damaged=damaged - on_disk, provisional=provisional, empty=marks))

    days = gap.days if gap else ()
    assert list(days) == sorted(set(days))
    assert set(DAYS) - on_disk - set(empty) <= set(days) <= set(DAYS)
    assert not set(days) & (on_disk - provisional)
    assert (gap.refresh if gap else frozenset()) <= set(days)
