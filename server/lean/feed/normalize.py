"""Prices and volumes in the mode that an algorithm asks for.

Source: LEAN, ``SubscriptionData.Create``, ``Extensions.Normalize``: prices are multiplied by the factor of the bar's
day, volumes are divided by it and rounded to whole shares; ``TotalReturn`` adds the dividends paid since the start.
After a dividend volumes are whole shares in each of these modes, even where the factor is 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt
from attrs import evolve

from server.lean.factor_file import FactorRow
from server.lean.feed.columns import VOLUME, Columns, Numbers, day_number
from server.lean.feed.items import Dividend, Event, Mode

_EXACT = Context(prec=60)
_NEAR_HALF = 2.0**-20
"""Shares around a half within which a quotient is rounded exactly."""


def normalize(bars: Columns, events: Sequence[Event], rows: Sequence[FactorRow], mode: Mode) -> Columns:
    """Return bars with their prices and volumes normalized.

    Args:
        bars: Raw.
        events: The share's events, of which each bar has the number that come before it.
        rows: Of the factor file, ascending.
        mode: The mode.
    """
    if mode is Mode.RAW:
        return bars
    amounts = (Fraction(repr(event.amount)) if isinstance(event, Dividend) else Fraction(0) for event in events)
    paid = list(accumulate(amounts, initial=Fraction(0)))
    numbers = bars.numbers.copy()
    for begin, end, factor, dividends in _runs(bars, paid, rows, mode):
        if factor != 1 or dividends:
            added = dividends if mode is Mode.TOTAL_RETURN else Fraction(0)
            numbers[begin:end, :VOLUME] = _scaled(numbers[begin:end, :VOLUME], factor, added)
            numbers[begin:end, VOLUME] = _divided(numbers[begin:end, VOLUME], factor)
    return evolve(bars, numbers=numbers)


def _runs(
    bars: Columns, paid: Sequence[Fraction], rows: Sequence[FactorRow], mode: Mode
) -> Iterator[tuple[int, int, Fraction, Fraction]]:
    """The runs of bars with the same factor and dividends: begin, end, and both."""
    dates = np.array([day_number(row.date) for row in rows], np.int64)
    at = np.searchsorted(dates, bars.day_numbers)
    changes = np.flatnonzero((np.diff(at) != 0) | (np.diff(bars.events_before) != 0)) + 1
    for begin, end in pairwise([0, *changes.tolist(), len(bars)]) if len(bars) else ():
        place = int(at[begin])
        factor = _factor(rows[place], mode) if place < len(rows) else Fraction(1)
        yield begin, end, factor, paid[int(bars.events_before[begin])]


def _factor(row: FactorRow, mode: Mode) -> Fraction:
    """The multiplier of raw prices (LEAN: ``CorporateFactorProvider.GetPriceFactor``)."""
    return row.price_factor * row.split_factor if mode is Mode.ADJUSTED else row.split_factor


def _scaled(prices: Numbers, factor: Fraction, dividends: Fraction) -> Numbers:
    """The nearest doubles of prices times a factor plus dividends."""
    scale, added = _decimal(factor), _decimal(dividends)
    found, places = np.unique(prices, return_inverse=True)
    scaled = [float(_EXACT.add(_EXACT.multiply(Decimal(repr(price)), scale), added)) for price in found.tolist()]
    table: Numbers = np.array(scaled, np.float64)[places].reshape(prices.shape)
    return table


def _divided(volumes: npt.NDArray[np.float64], factor: Fraction) -> npt.NDArray[np.float64]:
    """Volumes divided by a factor in whole shares, half to even."""
    quotients = volumes / float(factor)
    found = np.rint(quotients)
    tolerance = np.maximum(_NEAR_HALF, np.abs(quotients) * 2.0**-50)
    for row in np.flatnonzero(np.abs(np.abs(quotients - np.floor(quotients)) - 0.5) <= tolerance).tolist():
        found[row] = round(Fraction(repr(float(volumes[row]))) / factor)
    return found


def _decimal(number: Fraction) -> Decimal:
    """A number with at most 28 decimals, which is what a factor file has."""
    return _EXACT.divide(Decimal(number.numerator), Decimal(number.denominator))
