"""Bars as columns: filling, sessions and normalization give what they give for one bar after the other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.lean.factor_file import parse_factor_file
from server.lean.feed import Bar, Columns, Delisting, DelistingKind, Dividend, Mode, Rename, normalize, trade_paths
from server.lean.feed.columns import clock_ms, day_number, day_of
from server.lean.feed.fill_forward import Filling, fill_columns
from server.lean.feed.items import Event
from server.lean.feed.sessions import Sessions
from server.lean.series import Resolution
from server.trading_calendar import USEquityTradingCalendar
from tests.support.lean_feed import MemoryFiles

FIRST, LAST = date(2013, 11, 26), date(2013, 12, 3)  # with Thanksgiving and the early close after it
SESSIONS = Sessions.around(USEquityTradingCalendar.shipped(), FIRST, LAST)
MIDNIGHT = datetime(2013, 11, 26)
MINUTES = st.integers(0, 7 * 24 * 60 - 1)
NUMBERS = st.integers(1, 10**8)


def bars_of(minutes: Sequence[int], length: timedelta, second: int = 0) -> list[Bar]:
    """Bars that begin at these minutes after the first midnight."""
    starts = [MIDNIGHT + timedelta(minutes=minute, seconds=second) for minute in minutes]
    return [Bar(start, start + length, "X", 1.0, 2.0, 0.5, at + 1.0, 10.0) for at, start in enumerate(starts)]


def columns_of(bars: Sequence[Bar], events: Sequence[Event]) -> Columns:
    return Columns.of_bars(bars, [sum(event.end < bar.end for event in events) for bar in bars])


@example(  # a gap after the delisting
    minutes=[0, 1679, 1681], minutes_of_bar=1, second=0, days=[1], delisted=True, extended=True, to_end=False
)
@settings(deadline=None, max_examples=200)  # a loaded machine is no fault
@given(
    minutes=st.lists(MINUTES, max_size=12, unique=True).map(sorted),
    minutes_of_bar=st.sampled_from([1, 60]),
    second=st.sampled_from([0, 0, 0, 30]),
    days=st.lists(st.integers(0, 7), max_size=3, unique=True).map(sorted),
    delisted=st.booleans(),
    extended=st.booleans(),
    to_end=st.booleans(),
)
def test_gaps_are_filled_as_one_after_the_other(
    minutes: list[int],
    minutes_of_bar: int,
    second: int,
    days: list[int],
    delisted: bool,
    extended: bool,
    to_end: bool,
) -> None:
    """Within sessions, across nights, holidays and events, and to the end of the range."""
    length = timedelta(minutes=minutes_of_bar)
    bars = bars_of([minute // minutes_of_bar * minutes_of_bar for minute in minutes], length, second)
    bars = [bar for at, bar in enumerate(bars) if not at or bar.start > bars[at - 1].start]
    events: list[Event] = [Rename(FIRST + timedelta(days=day), "X", "Y", "X") for day in days]
    if delisted and events:
        events[-1] = Delisting(events[-1].day, "X", DelistingKind.DELISTED)
    filling = Filling(SESSIONS, length, extended, datetime(2013, 12, 4))
    items = sorted([*bars, *events], key=lambda item: item.end)

    found = fill_columns(filling, columns_of(bars, events), events, to_end=to_end)

    expected = [item for item in filling.fill(items, to_end=to_end) if isinstance(item, Bar)]
    assert list(found.bars()) == expected


@given(minute=MINUTES, length=st.sampled_from([1, 60, 1440]), extended=st.booleans())
def test_sessions_of_many_bars_as_of_one(minute: int, length: int, extended: bool) -> None:
    """Whether the exchange is open during a bar, the session before an instant, and the next open."""
    start = MIDNIGHT + timedelta(minutes=minute)
    end = start + timedelta(minutes=length)
    starts, ends = (np.array([clock_ms(instant)], np.int64) for instant in (start, end))

    assert SESSIONS.overlapping(starts, ends, extended=extended).item() is SESSIONS.overlaps(
        start, end, extended=extended
    )
    before = SESSIONS.session_before(end)
    assert before is not None
    assert tuple(one.item() for one in SESSIONS.last_before(ends)) == tuple(map(clock_ms, before))
    following = SESSIONS.next_open(start, extended=extended)
    assert following is not None
    assert SESSIONS.next_opens(starts, extended=extended).item() == clock_ms(following)


@given(
    prices=st.lists(NUMBERS, min_size=1, max_size=4),
    volume=NUMBERS,
    factor=st.integers(1, 10**7),
    split=st.sampled_from(["1", "0.25", "0.33333333"]),
    mode=st.sampled_from([Mode.ADJUSTED, Mode.SPLIT_ADJUSTED, Mode.TOTAL_RETURN]),
)
def test_prices_are_the_nearest_doubles(prices: list[int], volume: int, factor: int, split: str, mode: Mode) -> None:
    """Of the exact product; volumes are whole shares, half to even."""
    rows = parse_factor_file(f"20131126,{factor / 10**7:.7f},{split},1\n20501231,1,1,0\n")
    dollars = [price / 10_000 for price in prices]
    start = MIDNIGHT + timedelta(hours=10)
    bars = [Bar(start, start, "X", price, price, price, price, float(volume)) for price in dollars]
    dividend = Dividend(FIRST, "X", 0.37, 10.0)

    found = normalize(columns_of(bars, [dividend]), [dividend], rows, mode)

    scale = Fraction(split) * (Fraction(f"{factor / 10**7:.7f}") if mode is Mode.ADJUSTED else 1)
    added = Fraction("0.37") if mode is Mode.TOTAL_RETURN else 0
    exact = [Fraction(price, 10_000) * scale + added for price in prices]
    context = Context(prec=60)
    nearest = [float(context.divide(Decimal(one.numerator), Decimal(one.denominator))) for one in exact]
    assert found.numbers[:, 3].tolist() == nearest
    assert found.numbers[:, 4].tolist() == [float(round(volume / scale))] * len(prices)


@pytest.mark.parametrize("day", [date(1, 1, 1), date(1969, 12, 31), date(1970, 1, 1), date(9999, 12, 31)])
def test_days_are_numbers(day: date) -> None:
    """In both directions, before and after 1970."""
    assert day_of(day_number(day)) == day
    assert clock_ms(day) == clock_ms(datetime(day.year, day.month, day.day)) == day_number(day) * 86_400_000


def test_columns_of_nothing() -> None:
    """No bars, no days."""
    found = Columns.joined(())

    assert (len(found), found.days(), list(found.bars())) == (0, [], [])


def test_the_files_that_are_fed_from() -> None:
    """Under the ticker of each day, from the first row of the map and factor files on, to the last of the map file."""
    maps = "20131008,old,N\n20131009,old,N\n20131010,new,N\n"
    files = MemoryFiles({"equity/usa/map_files/new.csv": maps})
    days = [date(2013, 10, day) for day in (7, 8, 9, 10, 11)]

    assert trade_paths(files, ["NEW"], Resolution.DAILY, days) == {
        "equity/usa/daily/old.zip",
        "equity/usa/daily/new.zip",
    }
    assert trade_paths(files, ["OLD", "Z"], Resolution.MINUTE, days[2:]) == {
        "equity/usa/minute/old/20131009_trade.zip",
        "equity/usa/minute/new/20131010_trade.zip",
        *(f"equity/usa/minute/z/201310{day}_trade.zip" for day in ("09", "10", "11")),
    }
