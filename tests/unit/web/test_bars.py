"""Bars for a chart: read from LEAN's files, merged into fewer points."""

from __future__ import annotations

import numpy as np
import pytest

from server.lean.bars import Bars
from server.web.bars import thinned


def bars(first: int, opens: list[float]) -> Bars:
    """Bars a minute apart; each closes a dollar above its open, a dollar within its low and its high."""
    opened = np.array(opens)
    time = first + 60_000 * np.arange(len(opens))
    volume = np.full(len(opens), 10.0)
    return Bars(time=time, open=opened, high=opened + 2, low=opened - 1, close=opened + 1, volume=volume)


def test_bars_that_fit_are_unchanged() -> None:
    """A point for each bar."""
    found = thinned([bars(0, [1.0, 5.0])], 10)

    assert found == {
        "time": [0, 60_000],
        "open": [1.0, 5.0],
        "high": [3.0, 7.0],
        "low": [0.0, 4.0],
        "close": [2.0, 6.0],
        "volume": [10.0, 10.0],
        "bars_total": 2,
        "bars_per_point": 1,
    }


def test_a_point_merges_the_bars_of_one_part() -> None:
    """First open, highest high, lowest low, last close, total volume; the last point of a part may have fewer bars."""
    found = thinned([bars(0, [4.0, 9.0, 1.0]), bars(10_000_000, [2.0])], 2)

    assert found["bars_per_point"] == 2
    assert found["bars_total"] == 4
    assert found["time"] == [0, 120_000, 10_000_000]
    assert found["open"] == [4.0, 1.0, 2.0]
    assert found["high"] == [11.0, 3.0, 4.0]
    assert found["low"] == [3.0, 0.0, 1.0]
    assert found["close"] == [10.0, 2.0, 3.0]
    assert found["volume"] == [20.0, 10.0, 10.0]


@pytest.mark.parametrize("parts", [[], [bars(0, [])]])
def test_no_bars_are_no_points(parts: list[Bars]) -> None:
    """The columns are empty."""
    found = thinned(parts, 10)

    assert (found["time"], found["close"], found["bars_total"]) == ([], [], 0)
