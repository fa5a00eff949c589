"""What LEAN's engine makes of the rows of a factor file. Pure.

The engine reads the file, so give these functions the rows that `read_factor_file` returns: what is printed is rounded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from attrs import frozen

from server.corporate_actions.factor_file import FactorRow
from server.lean.errors import FormatError

Floats = npt.NDArray[np.float64]

DISTRIBUTION_DIGITS = 2
"""The engine pays dividends in whole cents (LEAN: ``Dividend.ComputeDistribution``)."""


@frozen
class Factors:
    """What raw prices of a day are multiplied with. LEAN's ``Adjusted`` takes both, ``SplitAdjusted`` the split's."""

    price: Fraction = Fraction(1)
    split: Fraction = Fraction(1)

    @property
    def both(self) -> Fraction:
        """Their product (LEAN: ``CorporateFactorRow.PriceScaleFactor``)."""
        return self.price * self.split


@frozen
class Fired:
    """What happens to who holds a share overnight.

    Attributes:
        day: The day on which the engine tells the algorithm, before its open.
        reference: The raw close of the day before, in dollars.
        distribution: Dollars paid for each share held at that close, in whole cents; 0 without a dividend.
        split: What the price is multiplied with and the number of shares divided by; 1 without a split. Where both
            happen, the dividend is for each share before the split.
    """

    day: date
    reference: Fraction
    distribution: Fraction = Fraction(0)
    split: Fraction = Fraction(1)


def factors_on(rows: Sequence[FactorRow], day: date) -> Factors:
    """The factors of that day's prices: those of the first row not before it, or 1 after the last row.

    Source: LEAN, ``CorporateFactorProvider.GetScalingFactors``.

    Args:
        rows: Ascending.
    """
    at = bisect_left(rows, day, key=lambda row: row.date)
    return Factors(rows[at].price_factor, rows[at].split_factor) if at < len(rows) else Factors()


def adjusted(rows: Sequence[FactorRow], days: Sequence[date], prices: Floats) -> Floats:
    """Raw prices in dollars, one for each day, as LEAN's ``Adjusted`` shows them.

    Args:
        rows: Ascending.
        days: In any order, as many as there are prices.
    """
    factors = np.array([*(float(row.price_factor * row.split_factor) for row in rows), 1.0])
    dates = np.array([row.date.toordinal() for row in rows], np.int64)
    at = np.searchsorted(dates, np.array([day.toordinal() for day in days], np.int64), side="left")
    scaled: Floats = prices * factors[at]
    return scaled


def fired(rows: Sequence[FactorRow], days: Sequence[date]) -> list[Fired]:
    """The dividends paid and splits made while an engine goes through these days.

    An event fires on the day after the one that the row is dated, and only if the engine visited both: a row dated
    on a day without trading scales prices and never pays (LEAN:
    ``CorporateFactorProvider.HasDividendEventOnNextTradingDay``). The distribution is C - C times the ratio of the
    price factors, rounded to cents, half to even (LEAN: ``Dividend.ComputeDistribution``).

    Args:
        rows: Ascending.
        days: The trading days visited, ascending.

    Raises:
        FormatError: A row that fires has a reference price of 0, at which the engine stops.
    """
    next_days = dict(pairwise(days))
    found = []
    for row, newer in pairwise(rows):
        if row.date not in next_days or (row.price_factor, row.split_factor) == (
            newer.price_factor,
            newer.split_factor,
        ):
            continue
        if row.reference == 0:
            raise FormatError(f"the row of {row.date} has an event and the reference price 0; LEAN stops there")
        distribution = round(row.reference * (1 - row.price_factor / newer.price_factor), DISTRIBUTION_DIGITS)
        found.append(Fired(next_days[row.date], row.reference, distribution, row.split_factor / newer.split_factor))
    return found
