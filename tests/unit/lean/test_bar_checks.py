"""Which bars are plausible."""

from __future__ import annotations

from datetime import date, timedelta

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.lean.bar_checks import implausible_rows, without_bad_days
from server.lean.bars import Bars
from server.lean.errors import FormatError
from tests.support.market import clock

DAYS = [date(2024, 3, 4) + timedelta(days=n) for n in range(4)]
PRICES = ("open", "high", "low", "close")


def bars_of(*rows: tuple[float, float, float, float, float]) -> Bars:
    """Two bars a day of open, high, low, close and volume."""
    table = np.array(rows, np.float64).reshape(-1, 5)
    time = np.array([clock(DAYS[n // 2], 34_200_000 + n % 2 * 60_000) for n in range(len(rows))], np.int64)
    columns = dict(zip((*PRICES, "volume"), table.T.copy(), strict=True))
    return Bars(time=time, **columns)


GOOD = (10.0, 11.0, 9.0, 10.5, 100.0)


@pytest.mark.parametrize(
    "row",
    [
        GOOD,
        (10.0, 10.0, 10.0, 10.0, 0.0),
        (0.00005, 0.00005, 0.00005, 0.00005, 0.000001),
        (999_999_999.99, 999_999_999.99, 0.01, 0.01, 1e15),
        (1e-12, 1e-12, 1e-12, 1e-12, 1e-12),
    ],
)
def test_plausible_bars_stay(row: tuple[float, float, float, float, float]) -> None:
    """The limits included: no volume, a price far below a cent, a price just below a billion."""
    bars = bars_of(GOOD, row, GOOD)
    kept, bad = without_bad_days(bars, DAYS[:2])

    assert (kept, bad) == (bars, {})


def test_no_bars_are_plausible() -> None:
    """A response without results."""
    assert without_bad_days(bars_of(), DAYS)[1] == {}


INF, NAN = np.inf, np.nan
BAD = [
    ((NAN, 11, 9, 10, 1), "has no open: it is missing or not a number"),
    ((10, NAN, 9, 10, 1), "has no high"),
    ((10, 11, NAN, 10, 1), "has no low"),
    ((10, 11, 9, NAN, 1), "has no close"),
    ((10, 11, 9, 10, NAN), "has no volume"),
    ((0, 11, 0, 10, 1), "has open 0, but prices are above 0 and below 1,000,000,000"),
    ((10, 11, 0, 10, 1), "has low 0,"),
    ((0, 0, 0, 0, 1), "has open 0,"),
    ((-10, -9, -11, -10, 1), "has open -10,"),
    ((10, INF, 9, 10, 1), "has high inf,"),
    ((10, 11, -INF, 10, 1), "has low -inf,"),
    ((10, 1e9, 9, 10, 1), "has high 1000000000,"),
    ((1e29, 1e29, 1e29, 1e29, 1), "has open 1e+29,"),
    ((1e-30, 1, 1e-30, 1, 1), "has open 1e-30,"),
    ((1e-12, 1, 1e-30, 1, 1), "has low 1e-30,"),
    ((10, 10, 10, 10, 2e15), "has volume 2e+15,"),
    ((10, 9, 11, 10, 1), "has low 11 above high 9"),
    ((12, 11, 9, 10, 1), "has open 12 outside its range, low 9 to high 11"),
    ((8.5, 11, 9, 10, 1), "has open 8.5 outside"),
    ((10, 11, 9, 11.5, 1), "has close 11.5 outside"),
    ((10, 11, 9, 8, 1), "has close 8 outside"),
    ((10, 11, 9, 10, -1), "has volume -1, but volumes are from 0 to 1e+15"),
    ((10, 11, 9, 10, INF), "has volume inf,"),
    ((10, 11, 9, 10, 2e15), "has volume 2e+15,"),
]


@pytest.mark.parametrize(("row", "words"), BAD)
def test_the_day_of_a_bad_bar_is_left_out(row: tuple[float, float, float, float, float], words: str) -> None:
    """With a reason that names the bar's time and field; the bars of other days stay as they are."""
    bars = bars_of(GOOD, GOOD, GOOD, row, GOOD, GOOD)
    kept, bad = without_bad_days(bars, DAYS[:3])

    assert list(bad) == [DAYS[1]]
    assert bad[DAYS[1]].startswith(f"the bar of 2024-03-05 09:31:00 New York {words}")
    assert kept.time.tolist() == [*bars.time[:2], *bars.time[4:]]
    assert kept.volume.tolist() == [100.0] * 4


def test_rows_of_a_file_are_named_by_their_position() -> None:
    """Each bad one, and none of the others; a file without rows has none."""
    bars = bars_of(GOOD, (10, 9, 11, 10, 1), GOOD, (10, 11, 9, 10, -1))

    assert implausible_rows(bars) == {
        1: "has low 11 above high 9",
        3: "has volume -1, but volumes are from 0 to 1e+15",
    }
    assert implausible_rows(bars_of()) == {}


def test_a_bad_bar_outside_the_days_is_an_error() -> None:
    """It cannot be said which day it makes bad."""
    with pytest.raises(FormatError, match="outside the days"):
        without_bad_days(bars_of(GOOD, GOOD, (0, 0, 0, 0, 0)), DAYS[:1])


number = st.one_of(st.sampled_from([0.0, -1.0, 1.0, 2.0, 3.0, NAN, INF, 1e29, 1e-30]), st.floats(0.01, 100))


@given(st.lists(st.tuples(number, number, number, number, number), max_size=8))
def test_what_stays_is_plausible_by_the_rule(rows: list[tuple[float, float, float, float, float]]) -> None:
    """A day stays if all of its bars are within the limits, one by one."""
    kept, bad = without_bad_days(bars_of(*rows), DAYS)

    def plausible(row: tuple[float, float, float, float, float]) -> bool:
        o, h, low, c, v = row
        return (
            all(1e-12 <= p < 1e9 for p in (o, h, low, c))
            and low <= min(o, c)
            and max(o, c) <= h
            and (v == 0 or 1e-12 <= v <= 1e15)
        )

    assert set(bad) == {DAYS[n // 2] for n, row in enumerate(rows) if not plausible(row)}
    stays = [row for n, row in enumerate(rows) if DAYS[n // 2] not in bad]
    columns = attrs.asdict(kept, recurse=False)
    assert list(zip(*(columns[name].tolist() for name in (*PRICES, "volume")), strict=True)) == stays
