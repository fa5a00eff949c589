"""How LEAN's engine applies the rows of a factor file: adjusted prices, dividends and splits. Pure.

The engine reads the file, so these functions take the rows that `parse_factor_file` returns: printed numbers are
rounded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from itertools import pairwise

from attrs import frozen

from server.lean.errors import FormatError
from server.lean.factor_file import FactorRow

DISTRIBUTION_DIGITS = 2
"""The engine pays dividends in whole cents (LEAN: ``Dividend.ComputeDistribution``)."""


@frozen
class Factors:
    """The multipliers of a day's raw prices. LEAN's ``Adjusted`` applies both, ``SplitAdjusted`` the split's."""

    price: Fraction = Fraction(1)
    split: Fraction = Fraction(1)

    @property
    def both(self) -> Fraction:
        """Their product (LEAN: ``CorporateFactorRow.PriceScaleFactor``)."""
        return self.price * self.split


@frozen
class CorporateEvent:
    """A dividend, a split, or both, between two sessions.

    Attributes:
        day: The day on which the engine reports it to the algorithm, before its open.
        reference: The raw close of the day before, in dollars.
        distribution: Dollars paid for each share held at that close, in whole cents; 0 without a dividend.
        split: The multiplier of the price and divisor of the number of shares; 1 without a split. With both, the
            dividend is for each share before the split.
    """

    day: date
    reference: Fraction
    distribution: Fraction = Fraction(0)
    split: Fraction = Fraction(1)


def factors_on(rows: Sequence[FactorRow], day: date) -> Factors:
    """Return the factors of a day's prices: those of the first row not before it, or 1 after the last row.

    Source: LEAN, ``CorporateFactorProvider.GetScalingFactors``.

    Args:
        rows: Ascending.
        day: The day of the prices.
    """
    at = bisect_left(rows, day, key=lambda row: row.date)
    return Factors(rows[at].price_factor, rows[at].split_factor) if at < len(rows) else Factors()


def corporate_events(rows: Sequence[FactorRow], days: Sequence[date]) -> list[CorporateEvent]:
    """Return the dividends paid and splits made while an engine visits these days.

    An event takes place on the day after its row's date, and only if the engine visited both: a row dated on a day
    without trading scales prices and never pays (LEAN: ``CorporateFactorProvider.HasDividendEventOnNextTradingDay``).
    The distribution is C - C times the ratio of the price factors, rounded to cents, half to even (LEAN:
    ``Dividend.ComputeDistribution``).

    Args:
        rows: Ascending.
        days: The trading days visited, ascending.

    Raises:
        FormatError: A row with an event has a reference price of 0, at which the engine stops.
    """
    next_days = dict(pairwise(days))
    events = []
    for row, newer in pairwise(rows):
        if row.date not in next_days or not changes_factors(row, newer):
            continue
        if row.reference == 0:
            raise FormatError(f"the row of {row.date} has an event and the reference price 0; LEAN stops there")
        distribution = round(row.reference * (1 - row.price_factor / newer.price_factor), DISTRIBUTION_DIGITS)
        split = row.split_factor / newer.split_factor
        events.append(CorporateEvent(next_days[row.date], row.reference, distribution, split))
    return events


def changes_factors(row: FactorRow, newer: FactorRow) -> bool:
    """Return whether there is an event between a row and the next one."""
    return (row.price_factor, row.split_factor) != (newer.price_factor, newer.split_factor)
