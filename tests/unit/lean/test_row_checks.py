"""Rows with numbers that cannot be right."""

from __future__ import annotations

from datetime import date

import pytest

from server.lean.row_checks import implausible_days

FIRST, SECOND = date(2024, 3, 4), date(2024, 3, 5)
GOOD = "1000000,1100000,900000,1000000,0"


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ("0,1100000,900000,1000000,1", "has open 0, but prices"),
        ("1000000,9999999999999,900000,1000000,1", None),
        ("1000000,10000000000000,900000,1000000,1", "has high 1000000000, but prices"),
        ("1000000,1" + "0" * 400 + ",900000,1000000,1", "has high inf, but prices"),
        ("1000000,800000,900000,1000000,1", "has low 90 above high 80"),
        ("1100001,1100000,900000,1000000,1", "has open 110.0001 outside"),
        ("1000000,1100000,900000,899999,1", "has close 89.9999 outside"),
        ("1000000,1100000,900000,1000000,1000000000000000", None),
        ("1000000,1100000,900000,1000000,1000000000000001", "has volume 1e+15"),
    ],
)
def test_the_first_bad_row_of_each_day_is_named(numbers: str, fault: str | None) -> None:
    """By its place in the file and its field; the limits themselves as for bars from a provider."""
    rows = {
        FIRST: f"20240304 09:00,{GOOD}\n20240304 10:00,{GOOD}".encode(),
        SECOND: f"20240305 09:00,{GOOD}\n20240305 10:00,{numbers}\n20240305 11:00,{numbers}".encode(),
    }

    found = implausible_days(rows, dated=True)

    assert list(found) == ([SECOND] if fault else [])
    assert fault is None or found[SECOND].startswith(f"row 4 {fault}")


def test_a_file_of_one_day() -> None:
    """Rows that begin with milliseconds."""
    rows = {FIRST: f"34200000,{GOOD}\n34260000,0,0,0,0,0".encode()}

    assert implausible_days(rows, dated=False)[FIRST].startswith("row 2 has open 0,")
    assert implausible_days({}, dated=False) == {}
