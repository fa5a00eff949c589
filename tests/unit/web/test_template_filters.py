"""Numbers, durations and instants as the pages show them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from server.web.template_filters import days, duration, instant, number, size, utc


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.004, "0.00 s"),
        (9.994, "9.99 s"),
        (10, "10.0 s"),
        (60, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (7260, "2 h 01 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """More digits for shorter ones."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999 B"), (1000, "1.0 kB"), (2_340_000, "2.3 MB"), (1_500_000_000, "1.5 GB")]
)
def test_sizes(count: int, text: str) -> None:
    """In decimal units."""
    assert size(count) == text


def test_numbers_have_separators() -> None:
    """A comma every three digits."""
    assert number(1_234_567) == "1,234,567"


def test_instants_are_utc() -> None:
    """Of values and of ISO texts, in any zone."""
    at = datetime(2024, 1, 2, 9, 30, tzinfo=timezone(timedelta(hours=-5)))

    assert utc(at) == utc("2024-01-02T14:30:00+00:00") == "2024-01-02 14:30:00 UTC"
    assert instant(at) == "2024-01-02T14:30:00.000+00:00"
    assert instant(datetime(2024, 1, 2, 14, 30, tzinfo=UTC)) == instant(at)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], "none"),
        (["2024-01-02"], "2024-01-02"),
        (["2024-01-02", "2024-01-03", "2024-01-04"], "2024-01-02 to 2024-01-04, 3 days"),
    ],
)
def test_days(value: list[str], text: str) -> None:
    """One day, or the first, the last and their number."""
    assert days(value) == text
