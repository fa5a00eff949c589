"""How far a run has come, by its result file."""

from __future__ import annotations

import json
import os
from datetime import date
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.engines.base import EngineProgress, Equity
from server.engines.progress import fraction_of, progress_of
from tests.support.lean_runs import lean_runs

START, END = date(2014, 1, 2), date(2014, 12, 31)
MIDNIGHT = 1388725200
"""Of the end of 2 January 2014 in New York."""


def content(**values: Any) -> bytes:
    """A result file with one day of equity."""
    charts = {"Strategy Equity": {"series": {"Equity": {"values": [[MIDNIGHT, 1, 1, 1, 101_000.5]]}}}}
    return json.dumps({"charts": charts, "orders": {}, "state": {"Status": "Running"}, **values}).encode()


def test_a_recorded_file_of_a_running_backtest() -> None:
    """It has the equity so far, and no dates of the algorithm: those come from LEAN's log."""
    recorded = (lean_runs(os.environ) / "rewritten-while-running" / "after-8-seconds.json").read_bytes()

    unknown, known = progress_of(recorded), progress_of(recorded, (START, END))

    assert unknown is not None
    assert known is not None
    # LEAN had sampled 141 midnights, 2014-01-01 to 2014-05-21, and was within the day after.
    assert (unknown.fraction, unknown.day, unknown.orders) == (None, date(2014, 5, 22), 0)
    assert len(unknown.equity.dates) == 142
    assert known.fraction == pytest.approx(141 / 364)


@pytest.mark.parametrize(
    ("day", "fraction"),
    [
        (date(2014, 1, 1), 0.0),
        (date(2014, 1, 2), 1 / 364),
        (END, 1.0),
        (date(2013, 12, 31), None),
        (date(2015, 1, 1), None),
    ],
)
def test_the_fraction_of_a_range(day: date, fraction: float | None) -> None:
    """By days; a day outside says that the range is another one."""
    assert fraction_of(day, START, END) == fraction


def test_a_range_of_one_day_and_a_reversed_one() -> None:
    """Neither divides by zero."""
    assert fraction_of(START, START, START) == 1.0
    assert fraction_of(START, END, START) is None


def test_the_dates_of_the_file_come_before_those_expected() -> None:
    """Once LEAN has written them."""
    configuration = {"startDate": "2014-01-02T00:00:00Z", "endDate": "2014-01-03T23:59:59Z"}

    found = progress_of(content(algorithmConfiguration=configuration), (START, END))

    assert found == EngineProgress(fraction=0.5, equity=Equity((START,), (101_000.5,)), orders=0)


@pytest.mark.parametrize(
    ("values", "orders"),
    [
        ({}, 0),
        ({"orders": {"7": {}, "12": {}}}, 12),  # only the last 100 orders are there
        ({"orders": {"7": {}}, "state": {"OrderCount": "150"}}, 150),
        ({"orders": {"7": {}}, "state": {"OrderCount": "many"}}, 7),
        ({"orders": None, "state": None}, 0),
        ({"orders": [], "state": []}, 0),
    ],
)
def test_the_number_of_orders(values: dict[str, Any], orders: int) -> None:
    """The larger one of LEAN's count and the largest id."""
    found = progress_of(content(**values))

    assert found is not None
    assert found.orders == orders


def test_a_half_written_file_has_no_progress() -> None:
    """At whichever byte LEAN is."""
    whole = content()

    assert progress_of(whole) is not None
    assert [progress_of(whole[:length]) for length in range(len(whole))] == [None] * len(whole)


@pytest.mark.parametrize("other", [b"{}", b"[1]", b'{"orders": {}}', b"null", b"\xef\xbb\xbf{}"])
def test_a_file_that_is_no_result(other: bytes) -> None:
    """An algorithm may write JSON, too."""
    assert progress_of(other) is None


@example(b'{"charts": {}, "state": ' + b"[" * 100_000)
@given(st.binary())
def test_any_content(garbage: bytes) -> None:
    """Nothing is raised."""
    progress_of(garbage)
    progress_of(b'{"charts": {"Strategy Equity": ' + garbage + b"}}")
    progress_of(b'{"charts": {}, "state": ' + garbage + b"}")


def test_the_day_is_the_last_of_the_curve_unless_given() -> None:
    """A report with only the new days of a curve keeps its day."""
    equity = Equity((START, END), (1.0, 2.0))

    assert EngineProgress(equity=equity).day == END
    assert EngineProgress().day is None
    assert EngineProgress(day=START).day == START
