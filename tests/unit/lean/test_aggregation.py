"""Hour and daily bars from minutes: sessions, labels, exact sums, of any minutes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, time
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from server.lean.aggregation import Sessions, aggregate, daily_bars, hour_bars, joined, regular_days
from server.lean.bars import PRICES, Bars, no_bars
from server.lean.layout import layout_of
from server.lean.numbers import volume_text
from server.lean.series import Resolution, Series
from tests.support.market import clock

HOUR, DAILY, MINUTE = Resolution.HOUR, Resolution.DAILY, Resolution.MINUTE
FULL, HALF = date(2013, 11, 27), date(2013, 11, 29)  # the day after Thanksgiving ends at 13:00
DAYS = (FULL, HALF)
_MINUTE_MS = 60_000


def at(day: date, text: str) -> int:
    """An instant by New York's clocks."""
    found = time.fromisoformat(text)
    return clock(day, (found.hour * 60 + found.minute) * _MINUTE_MS)


def sessions(days: Sequence[date] = DAYS) -> Sessions:
    """Regular sessions; that of the half day is short."""
    closes = [at(day, "13:00" if day == HALF else "16:00") for day in days]
    return Sessions(tuple(days), np.array([at(day, "09:30") for day in days]), np.array(closes))


def bars(*rows: tuple[int, float, float, float, float, float]) -> Bars:
    """Bars of rows: time, open, high, low, close, volume."""
    table = np.array([row[1:] for row in rows], np.float64).reshape(-1, 5)
    columns = dict(zip((*PRICES, "volume"), table.T, strict=True))
    return Bars(time=np.array([row[0] for row in rows], np.int64), **columns)


def flat(*times: int, volume: float = 1.0) -> Bars:
    """Bars of one price."""
    return bars(*((instant, 5.0, 5.0, 5.0, 5.0, volume) for instant in times))


def csv(series: Series, found: Bars, days: Sequence[date] = DAYS) -> list[str]:
    """The rows that are written."""
    texts = layout_of(series).render(found, days)
    return b"\n".join(text.csv for text in texts).decode().split("\n") if texts else []


def test_an_hour_is_labelled_by_its_start_and_has_its_first_highest_lowest_and_last_price() -> None:
    """09:30 to 10:00 is the bar of 09:00; an hour without a trade has no row."""
    found = hour_bars(
        bars(
            (at(FULL, "09:30"), 10, 11, 9, 10.5, 100),
            (at(FULL, "09:59"), 10.5, 10.6, 8.5, 9, 50),
            (at(FULL, "10:00"), 9, 9, 9, 9, 1),
            (at(FULL, "15:59"), 7, 8, 6, 7.5, 3),
        ),
        sessions(),
    )

    assert csv(Series("X", HOUR), found) == [
        "20131127 09:00,100000,110000,85000,90000,150",
        "20131127 10:00,90000,90000,90000,90000,1",
        "20131127 15:00,70000,80000,60000,75000,3",
    ]


def test_trades_outside_the_session_are_left_out() -> None:
    """Before 09:30, from the close on, and from the early close on."""
    outside = [at(FULL, "04:00"), at(FULL, "09:29"), at(FULL, "16:00"), at(FULL, "19:59")]
    outside += [at(HALF, "09:29"), at(HALF, "13:00"), at(HALF, "15:59")]
    inside = [at(FULL, "09:30"), at(FULL, "15:59"), at(HALF, "09:30"), at(HALF, "12:59")]

    assert len(hour_bars(flat(*sorted(outside)), sessions())) == 0
    assert csv(Series("X", HOUR), hour_bars(flat(*sorted([*outside, *inside])), sessions())) == [
        f"{label},50000,50000,50000,50000,1"
        for label in ("20131127 09:00", "20131127 15:00", "20131129 09:00", "20131129 12:00")
    ]


def test_a_daily_bar_is_the_aggregate_of_the_hours() -> None:
    """It is labelled with midnight; a day without hours has none."""
    hours = bars((at(FULL, "09:00"), 10, 12, 9, 11, 0.1), (at(FULL, "15:00"), 11, 13, 10, 10, 0.2))

    assert csv(Series("X", DAILY), daily_bars(hours, DAYS)) == ["20131127 00:00,100000,130000,90000,100000,0.3"]
    assert len(daily_bars(no_bars(), DAYS)) == 0
    assert len(hour_bars(no_bars(), sessions())) == 0


def test_clocks_that_change_do_not_shift_labels() -> None:
    """The Fridays before and the Mondays after both changes of 2024."""
    days = [date(2024, 3, 8), date(2024, 3, 11), date(2024, 11, 1), date(2024, 11, 4)]
    found = hour_bars(flat(*(at(day, "09:30") for day in days)), sessions(days))

    assert [row.split(",")[0] for row in csv(Series("X", HOUR), found, days)] == [f"{day:%Y%m%d} 09:00" for day in days]


def test_hours_of_other_programs_are_of_the_regular_session_or_not() -> None:
    """A day with an hour before 09:00 or after 15:00 is not; its 09:00 may hold trades before 09:30."""
    days = [date(2024, 3, number) for number in (4, 5, 6, 7)]
    hours = flat(
        *(at(days[0], text) for text in ("09:00", "15:00")),
        *(at(days[1], text) for text in ("08:00", "09:00")),
        *(at(days[2], text) for text in ("15:00", "16:00")),
    )

    assert regular_days(hours, days) == days[:1]
    assert regular_days(no_bars(), days) == regular_days(hours, []) == []


# --- any minutes ---

_PRICE = st.integers(1, 99_999_999)
_VOLUME = st.one_of(st.integers(0, 10**6), st.decimals(0, 10**6, places=6)).map(float)
"""Volumes of which no sum here has more than the 15 digits that LEAN prints."""
_MINUTES_OF_DAY = st.sets(st.integers(4 * 60, 20 * 60 - 1), max_size=40).map(sorted)


@st.composite
def _minutes(draw: st.DrawFn) -> Bars:
    rows = []
    for day in DAYS:
        for minute in draw(_MINUTES_OF_DAY):
            prices = sorted(draw(st.tuples(_PRICE, _PRICE, _PRICE, _PRICE)))
            low, first, second, high = (price / 10_000 for price in prices)
            rows.append((clock(day, minute * _MINUTE_MS), first, high, low, second, draw(_VOLUME)))
    return bars(*rows)


@given(_minutes())
def test_the_aggregate_of_any_minutes(minutes: Bars) -> None:
    """Prices are within their range, the volume is the exact sum, and days may be aggregated together or alone."""
    for target, label_ms in ((HOUR, 3_600_000), (DAILY, 86_400_000)):
        found = aggregate(minutes, MINUTE, target, sessions())
        alone = [
            aggregate(
                minutes[(minutes.time >= clock(day)) & (minutes.time < clock(day) + 86_400_000)],
                MINUTE,
                target,
                sessions([day]),
            )
            for day in DAYS
        ]

        assert csv(Series("X", target), found) == csv(Series("X", target), joined(alone))
        assert (found.high >= np.maximum(found.open, found.close)).all()
        assert (found.low <= np.minimum(found.open, found.close)).all()
        expected: dict[int, Fraction] = {}
        for instant, volume in zip(minutes.time.tolist(), minutes.volume.tolist(), strict=True):
            day = FULL if instant < clock(HALF) else HALF
            if at(day, "09:30") <= instant < at(day, "13:00" if day == HALF else "16:00"):
                label = clock(day) + (instant - clock(day)) // label_ms * label_ms
                expected[label] = expected.get(label, Fraction()) + Fraction(volume_text(volume))
        written = {
            label: Fraction(volume_text(volume))
            for label, volume in zip(found.time.tolist(), found.volume.tolist(), strict=True)
        }
        assert written == expected


@given(_minutes())
def test_daily_bars_are_the_same_from_hours_and_from_minutes(minutes: Bars) -> None:
    """Also from the hour rows as they are written."""
    hours = hour_bars(minutes, sessions())
    layout = layout_of(Series("X", HOUR))
    rows = csv(Series("X", HOUR), hours)
    read = layout.parse("\n".join(rows).encode(), None) if rows else no_bars()

    assert csv(Series("X", DAILY), aggregate(read, HOUR, DAILY, sessions())) == csv(
        Series("X", DAILY), aggregate(minutes, MINUTE, DAILY, sessions())
    )


def test_sums_of_many_fractions_are_exact() -> None:
    """390 minutes of 0.1 shares are 39 shares; added one after the other they are 39.000000000000156."""
    minutes = flat(*(at(FULL, "09:30") + number * _MINUTE_MS for number in range(390)), volume=0.1)

    assert sum([0.1] * 390) != 39
    assert aggregate(minutes, MINUTE, DAILY, sessions([FULL])).volume.tolist() == [39.0]
    large = flat(at(FULL, "09:30"), at(FULL, "09:31"), at(FULL, "09:32"), volume=2.0**53)
    assert hour_bars(large, sessions()).volume.tolist() == [3 * 2.0**53]
