"""Differences between an existing file and the built one, in sentences."""

from __future__ import annotations

from fractions import Fraction

import pytest
from attrs import evolve

from server.corporate_actions.existing_file import Differences, factor_differences, map_differences
from server.lean.factor_file import parse_factor_file
from server.lean.map_file import parse_map_file

OURS = parse_factor_file("20200102,0.95,0.25,1\n20200612,0.95,0.25,100.5\n20200828,1,0.25,499.23\n20501231,1,1,0")
MAP = parse_map_file("20120518,fb,Q\n20220608,fb,Q\n20501231,meta,Q\n")


def test_equal_files() -> None:
    """No difference, no sentence."""
    assert factor_differences(OURS, OURS) == map_differences(MAP, MAP) == Differences()


@pytest.mark.parametrize(
    ("field", "by", "count"),
    [
        ("price_factor", Fraction(1, 10**7), 0),
        ("price_factor", Fraction(2, 10**7), 1),
        ("split_factor", Fraction(1, 10**6), 0),
        ("split_factor", Fraction(-2, 10**6), 1),
        ("reference", Fraction(1, 10**4), 0),
        ("reference", Fraction(-2, 10**4), 1),
    ],
)
def test_tolerance(field: str, by: Fraction, count: int) -> None:
    """One unit of the last digit printed; of a split factor six significant digits, as vendors' ratios have."""
    theirs = [OURS[0], evolve(OURS[1], **{field: getattr(OURS[1], field) + by}), *OURS[2:]]

    assert factor_differences(OURS, theirs).count == factor_differences(theirs, OURS).count == count


def test_sentences() -> None:
    """The newest row first, which is the cause of what differs in older ones."""
    theirs = parse_factor_file("20200102,0.94,0.25,1\n20200827,0.99,0.25,500\n20200828,1,0.25,499.2\n20501231,1,1,0")

    assert factor_differences(OURS, theirs) == Differences(
        4,
        (
            "2020-08-28: close 499.23 in ours, 499.2 in theirs",
            "2020-08-27: only theirs has this row (price factor 0.99, split factor 0.25, close 500)",
            "2020-06-12: only ours has this row (price factor 0.95, split factor 0.25, close 100.5)",
            "2020-01-02: price factor 0.95 in ours, 0.94 in theirs",
        ),
    )
    assert factor_differences(OURS, theirs, limit=1).sentences == ("2020-08-28: close 499.23 in ours, 499.2 in theirs",)
    assert factor_differences(OURS, theirs, limit=1).count == 4


def test_map_sentences() -> None:
    """Tickers, exchanges, and rows that only one has."""
    theirs = parse_map_file("20120518,fb\n20501231,fb,Q\n")

    assert map_differences(MAP, theirs) == Differences(
        3,
        (
            "2050-12-31: META, exchange Q in ours, FB, exchange Q in theirs",
            "2022-06-08: only ours has this row (FB, exchange Q)",
            "2012-05-18: FB, exchange Q in ours, FB, no exchange in theirs",
        ),
    )
