"""The bars of New York days."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.lean.bars import PRICES, Bars
from server.lean.days import is_instant, select_days
from tests.support.market import clock

FIRST = date(2024, 3, 7)
"""Clocks change three days later."""

OPEN = 34_200_000


@given(
    wanted=st.sets(st.integers(0, 9), min_size=1).map(sorted),
    having=st.sets(st.integers(0, 9)).map(sorted),
    per_day=st.integers(1, 3),
)
def test_only_the_bars_of_wanted_days_stay(wanted: list[int], having: list[int], per_day: int) -> None:
    """And the days that have any are named, in order."""
    days = [FIRST + timedelta(days=n) for n in range(10)]
    time = np.array([clock(days[n], OPEN + minute * 60_000) for n in having for minute in range(per_day)], np.int64)
    numbers = np.arange(len(time), dtype=np.float64)
    bars = Bars(time=time, **dict.fromkeys((*PRICES, "volume"), numbers))

    kept, found = select_days(bars, [days[n] for n in wanted])

    both = [n for n in wanted if n in having]
    assert found == [days[n] for n in both]
    assert kept.time.tolist() == [clock(days[n], OPEN + minute * 60_000) for n in both for minute in range(per_day)]
    assert kept.volume.tolist() == [n for n, t in enumerate(time.tolist()) if t in set(kept.time.tolist())]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (202403080000, True),
        (202403082359, True),
        (202402290930, True),
        (202302290930, False),
        (202413080000, False),
        (202403082400, False),
        (202403080060, False),
        (202403080099, False),
        (20240308, False),
        (0, False),
    ],
)
def test_instants(number: int, expected: bool) -> None:
    """A day of the calendar, and a time from 00:00 to 23:59."""
    assert is_instant(number) is expected


def test_no_days() -> None:
    """No bars stay."""
    bars = Bars(time=np.array([clock(FIRST)]), **dict.fromkeys((*PRICES, "volume"), np.ones(1)))

    kept, having = select_days(bars, [])

    assert (len(kept), having) == (0, [])
