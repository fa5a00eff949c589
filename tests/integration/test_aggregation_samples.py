"""Hour and daily bars that are aggregated from LEAN's sample files, against LEAN's own hour and daily files."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from server.lean.aggregation import Sessions, daily_bars, hour_bars, joined, regular_days
from server.lean.bars import PRICES, Bars
from server.lean.layout import layout_of
from server.lean.series import Resolution, Series
from tests.support.market import clock

HOUR, DAILY, MINUTE = Resolution.HOUR, Resolution.DAILY, Resolution.MINUTE
OPEN_MS, CLOSE_MS = 34_200_000, 57_600_000


def _bars_of(root: Path, series: Series, day: date | None) -> Bars:
    layout = layout_of(series)
    return layout.parse(layout.member_content((root / layout.path(day)).read_bytes(), day), day)


def test_minutes_of_the_samples_give_the_volumes_of_their_hours(lean_sample_data: Path) -> None:
    """84 hours of BAC and SPY in October 2013, as far as two files of QuantConnect's agree with one another.

    All volumes are equal (180 of the 189 hours of all samples are); prices differ by cents, one high by 1.26, since
    trades of hour bars were filtered differently.
    """
    days = [date(2013, 10, number) for number in (4, 7, 8, 9, 10, 11)]
    opens, closes = (np.array([clock(day, offset) for day in days]) for offset in (OPEN_MS, CLOSE_MS))
    sessions = Sessions(tuple(days), opens, closes)
    equal: Counter[str] = Counter()
    for ticker in ("BAC", "SPY"):
        hours = _bars_of(lean_sample_data, Series(ticker, HOUR), None)
        minutes = joined([_bars_of(lean_sample_data, Series(ticker, MINUTE), day) for day in days])
        found = hour_bars(minutes, sessions)
        theirs = hours[np.isin(hours.time, found.time)]

        assert len(theirs) == len(found) == 7 * len(days)
        for name in ("volume", *PRICES):
            equal[name] += int((getattr(found, name) == getattr(theirs, name)).sum())
            if name != "volume":
                assert np.abs(getattr(found, name) / getattr(theirs, name) - 1).max() < 0.01
    assert equal == {"volume": 84, "open": 66, "high": 76, "low": 76, "close": 70}


@pytest.mark.parametrize("ticker", ["AAPL", "BAC", "SPY"])
def test_all_daily_bars_of_the_samples_are_the_aggregate_of_their_hours(lean_sample_data: Path, ticker: str) -> None:
    """5,849 rows of each, equal as texts."""
    layout = layout_of(Series(ticker, DAILY))
    content = layout.member_content((lean_sample_data / layout.path(None)).read_bytes(), None)
    rows = {day: row.decode() for day, row in layout.rows_by_day(content.rstrip(b"\n"), None).items()}
    hours = _bars_of(lean_sample_data, Series(ticker, HOUR), None)
    days = sorted(rows)

    assert len(days) == 5849
    assert regular_days(hours, days) == days
    assert {text.day: text.csv.decode() for text in layout.render(daily_bars(hours, days), days)} == rows
