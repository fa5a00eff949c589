"""Reports of an engine's progress."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.backtest.progress import REPORT_SECONDS, ProgressReports, new_days
from server.engines.base import EngineProgress, Equity

FIRST = date(2024, 1, 2)


def curve(*values: float) -> Equity:
    """A curve of these values, one a day."""
    return Equity(tuple(FIRST + timedelta(days=day) for day in range(len(values))), values)


@pytest.mark.parametrize(
    ("before", "now", "first", "values"),
    [
        (curve(), curve(1, 2), 0, (1, 2)),
        (curve(1, 2), curve(1, 2, 3), 2, (3,)),
        (curve(1, 2), curve(1, 5, 3), 1, (5, 3)),  # the last day was not over
        (curve(1, 2), curve(1, 2), 2, ()),
        (curve(1, 2, 3), curve(9), 0, (9,)),  # another run
    ],
)
def test_only_new_days_are_sent(before: Equity, now: Equity, first: int, values: tuple[float, ...]) -> None:
    """From the first day on that differs."""
    found = new_days(before, now)

    assert found == Equity(now.dates[first:], values)


@given(st.lists(st.lists(st.floats(1, 2), min_size=1, max_size=8), min_size=1, max_size=6))
def test_a_listener_has_the_whole_curve(states: list[list[float]]) -> None:
    """If it replaces its curve from the first new day on; a curve never loses days within a run."""
    have: dict[date, float] = {}
    before = Equity()
    for values in states:
        now = curve(*values, *before.values[len(values) :])
        added = new_days(before, now)
        have = {day: value for day, value in have.items() if not added.dates or day < added.dates[0]}
        have.update(zip(added.dates, added.values, strict=True))
        before = now

        assert have == dict(zip(now.dates, now.values, strict=True))


def test_reports_are_limited() -> None:
    """What an engine sends too soon is left out; the next report has its days."""
    now, reports = [100.0], []
    send = ProgressReports(lambda progress, added: reports.append((progress, added)), lambda: now[0])

    send(EngineProgress(equity=curve(1), orders=1))
    now[0] += REPORT_SECONDS / 2
    send(EngineProgress(equity=curve(1, 2), orders=2))
    now[0] += REPORT_SECONDS / 2
    send(EngineProgress(equity=curve(1, 2, 3), orders=3))

    assert [progress.orders for progress, _ in reports] == [1, 3]
    assert [progress.equity.values for progress, _ in reports] == [(1,), (1, 2, 3)]
    assert [(added.equity.values, added.day) for _, added in reports] == [
        ((1,), FIRST),
        ((2, 3), FIRST + timedelta(days=2)),
    ]
