"""Jobs and events as they are read from rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.jobs.job import JobState, read_event, read_job

ROW = ("0123456789ab", "download", "completed", '{"a": 1}', '{"b": 2}', None, 86400.0, 86401.5, None)
NAMES = ("id", "kind", "state", "request", "result", "retry_of", "created_at", "started_at", "finished_at")

values = st.none() | st.integers() | st.floats() | st.text() | st.binary()


def test_a_row_is_a_job() -> None:
    """JSON and instants are converted."""
    job = read_job(ROW)

    assert (job.id, job.kind, job.state) == ("0123456789ab", "download", JobState.COMPLETED)
    assert (job.request, job.result) == ({"a": 1}, {"b": 2})
    assert job.created_at == datetime(1970, 1, 2, tzinfo=UTC)
    assert job.started_at == datetime(1970, 1, 2, 0, 0, 1, 500_000, tzinfo=UTC)
    assert job.finished_at is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "../../x"),
        ("kind", "other"),
        ("state", "other"),
        ("request", "{"),
        ("request", "[1]"),
        ("request", '{"a": Infinity}'),
        ("result", '{"a": "\\ud800"}'),
        ("result", "[" * 100_000),
        ("result", None),
        ("retry_of", 5),
        ("created_at", None),
        ("started_at", "noon"),
        ("finished_at", 1e300),
    ],
)
def test_a_row_with_an_invalid_value_is_a_failed_job(name: str, value: Any) -> None:
    """Its error names the column; the other values are read."""
    job = read_job([value if column == name else old for column, old in zip(NAMES, ROW, strict=True)])

    assert job.state is JobState.FAILED
    assert job.result["error"]["code"] == "damaged_row"
    assert f"(invalid: {name})" in job.result["error"]["message"]
    assert name == "request" or job.request == {"a": 1}


@given(st.tuples(*[values] * len(NAMES)))
def test_no_row_is_too_odd(row: tuple[Any, ...]) -> None:
    """It is a job in a final state, or one in the state of the row."""
    job = read_job(row)

    assert job.state is JobState.FAILED or job.state.value == row[2]


@pytest.mark.parametrize("data", ["{", "[]", "5", None, b"\xff", '{"a": NaN}'])
def test_unreadable_events(data: Any) -> None:
    """They are left out."""
    assert read_event(1, data) is None


def test_a_readable_event() -> None:
    """It has its number and its data."""
    event = read_event(7, '{"kind": "notice"}')

    assert event is not None
    assert (event.number, event.data) == (7, {"kind": "notice"})
