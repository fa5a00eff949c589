"""Which bars have numbers that cannot be right, or that LEAN's row format cannot hold. Pure.

LEAN's reader does not validate (LEAN: ``TradeBar.ParseEquity``, ``StreamReaderExtensions.GetDecimal``): a bar with a
price of 0 or a high below its low becomes a wrong bar without an error, and a number beyond C#'s ``decimal`` ends the
reading of the day. One bad bar makes its whole day bad, since LEAN has no notion of a day that lacks a bar.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import numpy.typing as npt

from server.lean.bars import PRICES, Bars
from server.lean.row_rendering import instant_text, place_in_days

PRICE_LIMIT = 1e9
"""A price in dollars is below this: times 10,000 and with 15 digits it is far within LEAN's decimal."""

LARGEST_VOLUME = 1e15
"""The largest volume, in shares."""

SMALLEST = 1e-12
"""The smallest number other than 0: LEAN's decimal has 28 decimal places, of which 15 digits may need most."""


def without_bad_days(bars: Bars, days: Sequence[date]) -> tuple[Bars, dict[date, str]]:
    """Return the bars of the days on which every bar is plausible, and why each other day is left out.

    Prices are finite, above 0 and below 1e9; low <= open, close <= high; volumes are from 0 to 1e15.

    Args:
        bars: The bars; NaN is a number that is missing or cannot be read.
        days: Trading days, ascending; all bars are within them.

    Returns:
        The bars of the other days, and for each day with a bad bar a reason that names the first one and its field.

    Raises:
        FormatError: There is a bad bar, and one outside the days.
    """
    if not len(bars):
        return bars, {}
    plausible = _plausible(bars)
    if plausible.all():
        return bars, {}
    place, _ = place_in_days(bars, days)
    bad_places, first = np.unique(place[~plausible], return_index=True)
    rows = np.flatnonzero(~plausible)[first]
    reasons = {days[at]: _reason(bars, int(row)) for at, row in zip(bad_places.tolist(), rows, strict=True)}
    return bars[~np.isin(place, bad_places)], reasons


def implausible_rows(bars: Bars) -> dict[int, str]:
    """Return what is wrong with each bar that is not plausible, by its position: ``has low 2 above high 1``."""
    rows = np.flatnonzero(~_plausible(bars)) if len(bars) else ()
    return {int(row): _fault(_numbers(bars, int(row))) for row in rows}


def _plausible(bars: Bars) -> npt.NDArray[np.bool_]:
    """Return for each bar whether its numbers are plausible; a comparison with NaN is false."""
    low, high, volume = bars.low, bars.high, bars.volume
    good = (low >= SMALLEST) & (high < PRICE_LIMIT)
    for price in (bars.open, bars.close):
        good &= (low <= price) & (price <= high)
    good &= (volume >= SMALLEST) | (volume == 0)
    good &= volume <= LARGEST_VOLUME
    return good


def _reason(bars: Bars, row: int) -> str:
    return f"the bar of {instant_text(int(bars.time[row]))} {_fault(_numbers(bars, row))}"


def _numbers(bars: Bars, row: int) -> dict[str, float]:
    return {name: float(getattr(bars, name)[row]) for name in (*PRICES, "volume")}


def _fault(numbers: dict[str, float]) -> str:
    """Return what is wrong with a bad bar, as a predicate."""
    for name, number in numbers.items():
        if np.isnan(number):
            return f"has no {name}: it is missing or not a number"
    for name in PRICES:
        if not SMALLEST <= numbers[name] < PRICE_LIMIT:
            return f"has {name} {numbers[name]:.15g}, but prices are above 0 and below {PRICE_LIMIT:,.0f}"
    low, high = numbers["low"], numbers["high"]
    if low > high:
        return f"has low {low:.15g} above high {high:.15g}"
    for name in ("open", "close"):
        if not low <= numbers[name] <= high:
            return f"has {name} {numbers[name]:.15g} outside its range, low {low:.15g} to high {high:.15g}"
    return f"has volume {numbers['volume']:.15g}, but volumes are from 0 to {LARGEST_VOLUME:g}"
