"""Texts of counts, sizes, days and lists."""

from __future__ import annotations

from datetime import date

import pytest

from server.core.text import count_text, days_text, list_text, size_text, traffic_text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 days"), (1, "1 day"), (2, "2 days"), (999, "999 days"), (1234567, "1,234,567 days")]
)
def test_counts(number: int, text: str) -> None:
    """Only one thing is singular; thousands are separated."""
    assert count_text(number, "day") == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (1_500_000, "1.5 MB"),
        (2_340_000_000, "2.3 GB"),
        (5_000_000_000_000, "5,000.0 GB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    """A size has the largest decimal unit that it reaches."""
    assert size_text(size) == text


def test_traffic() -> None:
    """Requests come with the bytes received for them."""
    assert traffic_text(1, 0) == "1 request, 0 B"
    assert traffic_text(2, 1_500) == "2 requests, 1.5 kB"


@pytest.mark.parametrize(
    ("days", "text"),
    [
        ([], "none"),
        (["2024-01-02"], "2024-01-02"),
        ([date(2024, 1, 2)], "2024-01-02"),
        ([date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 31)], "2024-01-02 to 2024-01-31, 3 days"),
        (["2024-01-02", "2024-01-03"], "2024-01-02 to 2024-01-03, 2 days"),
    ],
)
def test_days(days: list[str] | list[date], text: str) -> None:
    """One day is written alone, several as the first, the last and their number."""
    assert days_text(days) == text


@pytest.mark.parametrize(
    ("names", "most", "text"),
    [
        ([], 5, ""),
        (["A"], 5, "A"),
        (["A", "B", "C"], 3, "A, B, C"),
        (["A", "B", "C"], 2, "A, B and 1 more"),
        ([str(number) for number in range(2000)], 1, "0 and 1,999 more"),
    ],
)
def test_lists(names: list[str], most: int, text: str) -> None:
    """A long list is cut, with the number of names that are left out."""
    assert list_text(names, most) == text
