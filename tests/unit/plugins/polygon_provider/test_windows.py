"""Which requests are sent for which gaps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from server.data_download.availability import Gap
from server.lean.series import Resolution, Series
from server.plugins.polygon_provider.windows import TIMESPANS, CachedRange, Window, cached_windows, plan_windows
from tests.support.harness import calendar, gap

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
ALL = calendar().trading_days(date(2019, 1, 2), date(2024, 12, 31))
PLACE = {day: index for index, day in enumerate(ALL)}

MOST_SESSIONS = {Resolution.MINUTE: 52, Resolution.SECOND: 1}
"""52 sessions of 960 minutes are 49,920 bars, and an answer holds at most 50,000; a session has 57,600 seconds."""


def plan(gaps: Sequence[Gap], *, counted: bool, connections: int = 5, now: datetime = NOW) -> list[Window]:
    """The windows of gaps."""
    return plan_windows(gaps, calendar(), now, counted=counted, connections=connections)


def span(window: Window) -> int:
    """How many sessions a request covers."""
    return len(calendar().trading_days(window.first, window.last))


@st.composite
def wanted_days(draw: st.DrawFn) -> list[date]:
    """Trading days in runs with holes between them, as gaps are."""
    at = draw(st.integers(0, 200))
    days: list[date] = []
    for _ in range(draw(st.integers(1, 8))):
        length = draw(st.integers(1, 90))
        days += ALL[at : at + length]
        at += length + draw(st.integers(1, 80))
    kept = draw(st.integers(0, 3))
    return [day for n, day in enumerate(days) if kept == 0 or n % (kept + 1) == 0 or n == 0]


GAPS = st.lists(
    st.tuples(st.sampled_from(["SPY", "AAPL", "BRK.B"]), wanted_days()),
    min_size=1,
    max_size=3,
    unique_by=lambda g: g[0],
)


@given(wanted=GAPS, resolution=st.sampled_from(list(TIMESPANS)), counted=st.booleans(), connections=st.integers(1, 5))
@settings(deadline=None)
def test_every_wanted_day_is_asked_for_once(
    wanted: list[tuple[str, list[date]]], resolution: Resolution, counted: bool, connections: int
) -> None:
    """The windows of a symbol hold its days, all of them, each once, in order; no request is longer than allowed."""
    windows = plan([gap(s, days, resolution) for s, days in wanted], counted=counted, connections=connections)

    for symbol, days in wanted:
        mine = [window for window in windows if window.ticker == symbol]
        assert [day for window in mine for day in window.wanted] == days
    for window in windows:
        assert window.series.resolution is resolution
        assert span(window) <= MOST_SESSIONS.get(resolution, len(ALL))
        assert (window.first, window.last) == (window.wanted[0], window.wanted[-1])


def fewest(days: Sequence[date], size: int) -> int:
    """The least number of stretches of this many sessions that cover the days, by trying every first cut."""
    best = [0] * (len(days) + 1)
    for first in range(len(days) - 1, -1, -1):
        reachable = [end for end in range(first + 1, len(days) + 1) if PLACE[days[end - 1]] - PLACE[days[first]] < size]
        best[first] = 1 + min(best[end] for end in reachable)
    return best[0]


@given(days=wanted_days())
@settings(max_examples=60, deadline=None)
def test_where_requests_are_counted_there_are_as_few_as_possible(days: list[date]) -> None:
    """No other way of cutting needs fewer requests of 52 sessions at most."""
    assert len(plan([gap("SPY", days)], counted=True)) == fewest(days, 52)


@given(days=wanted_days(), counted=st.booleans())
@settings(deadline=None)
def test_daily_bars_take_one_request_for_a_symbol(days: list[date], counted: bool) -> None:
    """All daily bars there are fit one answer."""
    assert len(plan([gap("SPY", days, Resolution.DAILY)], counted=counted)) == 1


@given(days=wanted_days(), counted=st.booleans())
@settings(deadline=None)
def test_second_bars_take_one_request_for_a_day(days: list[date], counted: bool) -> None:
    """Nothing is joined, so that no window is longer than a session."""
    windows = plan([gap("SPY", days, Resolution.SECOND)], counted=counted)

    assert [(window.first, window.last) for window in windows] == [(day, day) for day in days]


@pytest.mark.parametrize(
    ("sessions", "counted", "most"), [(252, True, 5), (252, False, 18), (52, True, 1), (53, True, 2)]
)
def test_a_year_of_minutes(sessions: int, counted: bool, most: int) -> None:
    """252 sessions are five requests of 52, or as many as keep five connections busy."""
    assert len(plan([gap("SPY", ALL[:sessions])], counted=counted)) <= most


def test_three_symbols_of_half_a_year_keep_five_connections_busy() -> None:
    """At least one request for each connection, and no more than 18 in all."""
    gaps = [gap(symbol, ALL[:126]) for symbol in ("SPY", "AAPL", "MSFT")]

    assert 5 <= len(plan(gaps, counted=False)) <= 18


def test_few_days_are_not_cut_up() -> None:
    """One request for a week of minutes, though four connections would be idle."""
    assert len(plan([gap("SPY", ALL[:5])], counted=False)) == 1


def test_a_short_hole_is_asked_for_again_and_a_long_one_is_not() -> None:
    """Without a budget, days that are there already are asked for only if a request is saved by it."""
    near = plan([gap("SPY", [*ALL[:3], *ALL[6:9]])], counted=False)
    far = plan([gap("SPY", [*ALL[:3], *ALL[40:43]])], counted=False)

    assert (len(near), len(far)) == (1, 2)
    assert len(plan([gap("SPY", [*ALL[:3], *ALL[40:43]])], counted=True)) == 1


def at_new_york(day: date, hour: int, minute: int = 0) -> datetime:
    """An instant, by New York's clocks."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo("America/New_York")).astimezone(UTC)


@pytest.mark.parametrize("resolution", TIMESPANS)
@pytest.mark.parametrize(("hour", "minute", "settled"), [(4, 0, False), (20, 29, False), (20, 30, True)])
def test_days_that_are_not_settled_are_asked_for_apart(
    resolution: Resolution, hour: int, minute: int, settled: bool
) -> None:
    """Today's answer is not to be cached and may be refused; a half hour after 20:00 today is a day like others."""
    windows = plan([gap("SPY", ALL[:5], resolution)], counted=True, now=at_new_york(ALL[4], hour, minute))

    today = next(window for window in windows if ALL[4] in window.wanted)
    assert today.settled is settled
    assert all(window.settled for window in windows if window is not today)
    if not settled:
        assert today.wanted == (ALL[4],)
        assert sum(len(window.wanted) for window in windows) == 5


def test_only_what_must_not_come_from_the_cache_is_refreshed() -> None:
    """The window that holds a day to be refreshed is, the other is not."""
    windows = plan([gap("SPY", [*ALL[:2], *ALL[100:102]], refresh=[ALL[101]])], counted=True)

    assert [window.refresh for window in windows] == [False, True]


def test_a_window_is_written_as_the_vendor_documents() -> None:
    """Days as New York dates, never adjusted, ascending, the largest page there is."""
    windows = [
        Window(series=Series("BRK.B", resolution), wanted=(date(2024, 3, 7), date(2024, 3, 11)))
        for resolution in (Resolution.DAILY, Resolution.MINUTE, Resolution.SECOND)
    ]

    assert [window.target for window in windows] == [
        f"/v2/aggs/ticker/BRK.B/range/1/{span}/2024-03-07/2024-03-11?adjusted=false&sort=asc&limit=50000"
        for span in ("day", "minute", "second")
    ]


def test_no_gaps_need_no_requests() -> None:
    """Nothing in, nothing out."""
    assert plan([], counted=True) == []


def test_the_tests_own_calendar_is_long_enough() -> None:
    """The days that are drawn do not run out of the calendar."""
    assert len(ALL) > 1400
    assert ALL[-1] < NOW.date() - timedelta(days=30)


def cached(window: Window) -> CachedRange:
    """The cached response to a window."""
    return CachedRange(host="api.polygon.io", series=window.series, first=window.first, last=window.last)


@given(wanted=GAPS, before=GAPS, resolution=st.sampled_from(list(TIMESPANS)), counted=st.booleans())
@settings(deadline=None)
def test_cached_requests_are_repeated_for_the_days_they_cover(
    wanted: list[tuple[str, list[date]]], before: list[tuple[str, list[date]]], resolution: Resolution, counted: bool
) -> None:
    """Every wanted day once: in the window of a cached response if one covers it, else in the rest."""
    earlier = plan([gap(symbol, days, resolution) for symbol, days in before], counted=counted)

    windows, rest = cached_windows(
        [gap(symbol, days, resolution) for symbol, days in wanted], [cached(window) for window in earlier], ALL[-1]
    )

    assert {window.target for window in windows} <= {window.target for window in earlier}
    covered = {(one.ticker, day) for one in earlier for day in ALL if one.first <= day <= one.last}
    from_cache = [(window.ticker, day) for window in windows for day in window.wanted]
    others = [(left.series.ticker, day) for left in rest for day in left.days]
    asked = [(symbol, day) for symbol, days in wanted for day in days]
    assert sorted([*from_cache, *others]) == sorted(asked)
    assert set(from_cache) == set(asked) & covered


def test_days_to_refresh_and_unsettled_days_are_not_taken_from_the_cache() -> None:
    """Nor are responses of another resolution, or of a later page."""
    minutes = CachedRange(host="x", series=Series("SPY", Resolution.MINUTE), first=ALL[0], last=ALL[9])
    asked = gap("SPY", ALL[:10], refresh=ALL[2:4])

    windows, (rest,) = cached_windows([asked], [minutes], ALL[6])

    assert [window.wanted for window in windows] == [(*ALL[:2], *ALL[4:7])]
    assert rest.days == (*ALL[2:4], *ALL[7:10])
    assert rest.refresh == frozenset(ALL[2:4])
    assert cached_windows([gap("SPY", ALL[:10], Resolution.SECOND)], [minutes], ALL[9])[0] == []
    assert cached_windows([asked], [evolve(minutes, page="cursor=2")], ALL[9])[0] == []
