"""Bars whose time is not the start of a bar, and the days that fail for them."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from server.lean.series import Resolution, Series
from server.plugins.polygon_provider.bar_times import days_of_misplaced_bars, misplaced_bars
from server.plugins.polygon_provider.windows import Window

DAYS = (date(2024, 3, 7), date(2024, 3, 8), date(2024, 3, 11), date(2024, 3, 12))  # the clocks change on the 10th
NAN = float("nan")


def at(day: int, hour: int = 0, minute: int = 0, second: float = 0) -> float:
    """A New York time of March 2024, in milliseconds."""
    start = datetime(2024, 3, day, hour, minute, tzinfo=ZoneInfo("America/New_York")).timestamp()
    return start * 1000 + second * 1000


def failing(resolution: Resolution, times: list[float], wanted: tuple[date, ...] = DAYS) -> dict[int, str]:
    """The days of March that fail for bars of these times, each with the reason."""
    window = Window(series=Series("SPY", resolution), wanted=wanted)
    time = np.array(times, np.float64)
    found = days_of_misplaced_bars(time, misplaced_bars(time, window), window)
    return {day.day: reason for day, reason in found.items()}


@pytest.mark.parametrize(
    ("resolution", "times"),
    [
        (Resolution.DAILY, [at(7), at(8), at(11), at(12)]),
        (Resolution.MINUTE, [at(7), at(8, 9, 31), at(11, 23, 59)]),
        (Resolution.SECOND, [at(7, second=1), at(11, 4, second=59)]),
        (Resolution.DAILY, []),
    ],
)
def test_bars_on_their_grid_are_in_place(resolution: Resolution, times: list[float]) -> None:
    """On both sides of a change of the clocks."""
    assert failing(resolution, times) == {}


DAILY_CASES = {
    "the close of the day": ([at(7), at(8, 16), at(11), at(12)], [8]),
    "all stamped with the close": ([at(7, 16), at(8, 16), at(11, 16), at(12, 16)], [7, 8, 11, 12]),
    "midnight in UTC": ([at(7), at(8), at(10, 20), at(12)], [11]),
    "no time": ([at(7), NAN, at(11), at(12)], [8]),
    "no time in the first": ([NAN, at(8), at(11), at(12)], [7]),
    "no time in the last": ([at(7), at(8), at(11), NAN], [12]),
    "two without a time": ([at(7), NAN, NAN, at(12)], [8, 11]),
    "no time at all": ([NAN, NAN], [7, 8, 11, 12]),
    "a second bar of a day": ([at(7), at(8), at(8, 16), at(11), at(12)], [8]),
    "a second bar without a time": ([at(7), at(8), NAN, at(11), at(12)], []),
    "standard time after the change": ([at(7), at(8), at(11, 1), at(12)], [11]),
    "between two milliseconds": ([at(7), at(8) + 0.5, at(11), at(12)], [8]),
}


@pytest.mark.parametrize(("times", "days"), DAILY_CASES.values(), ids=DAILY_CASES.keys())
def test_the_day_of_a_misplaced_daily_bar_fails(times: list[float], days: list[int]) -> None:
    """The day of its time, or any day that the bar may be of."""
    assert sorted(failing(Resolution.DAILY, times)) == days


MINUTE_CASES = {
    "a second off": ([at(7, 9), at(8, 9, 30, 1), at(8, 9, 31)], [8]),
    "a millisecond off": ([at(7, 9), at(8, 9, 30, 0.001), at(11, 9)], [8]),
    "no time within a day": ([at(7, 9), at(8, 9, 30), NAN, at(8, 9, 32), at(11, 9)], [8]),
    "no time between two days": ([at(7, 9), at(8, 15, 59), NAN, at(11, 4), at(12, 4)], [8, 11]),
    "no time at the end": ([at(7, 9), at(11, 9), NAN], [11, 12]),
}


@pytest.mark.parametrize(("times", "days"), MINUTE_CASES.values(), ids=MINUTE_CASES.keys())
def test_the_day_of_a_misplaced_minute_fails(times: list[float], days: list[int]) -> None:
    """Without a time it may be of the day before or after it in the answer."""
    assert sorted(failing(Resolution.MINUTE, times)) == days


def test_days_that_are_not_wanted_do_not_fail() -> None:
    """A bar of such a day is not used."""
    assert failing(Resolution.DAILY, [at(7), at(8, 16), at(12)], (DAYS[0], DAYS[3])) == {}


def test_the_reason_names_the_time() -> None:
    """In New York, and as the vendor wrote it."""
    reasons = failing(Resolution.DAILY, [at(7), at(8, 16), NAN, at(12)])

    assert reasons[8] == (
        "a bar begins at 2024-03-08 16:00:00 New York (t 1709931600000), which is not the start of a daily bar"
    )
    assert reasons[11].endswith("has no time: it is missing or not a number")
