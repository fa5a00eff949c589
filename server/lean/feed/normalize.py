"""Prices and volumes in the mode that an algorithm asks for.

Source: LEAN, ``SubscriptionData.Create``, ``Extensions.Normalize``: prices are multiplied by the factor of the bar's
day, volumes are divided by it and rounded to whole shares; ``TotalReturn`` adds the dividends paid since the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Context, Decimal
from fractions import Fraction

from server.lean.factor_file import FactorRow
from server.lean.feed.items import Bar, Dividend, Item, Mode
from server.lean.price_adjustment import factors_on

_EXACT = Context(prec=60)


def normalize(items: Iterable[Item], rows: Sequence[FactorRow], mode: Mode) -> Iterator[Item]:
    """Return bars with their prices and volumes normalized, and events as they are.

    Args:
        items: Raw, in the order in which they are fed.
        rows: Of the factor file, ascending.
        mode: The mode.
    """
    factors: dict[date, Fraction] = {}
    dividends = Fraction(0)
    for item in items:
        if isinstance(item, Bar):
            day = item.start.date()
            factor = factors.get(day)
            if factor is None:
                factor = factors[day] = _factor(rows, day, mode)
            yield item if mode is Mode.RAW else _scaled(item, factor, dividends, mode)
        else:
            if isinstance(item, Dividend):
                dividends += Fraction(repr(item.amount))
            yield item


def _factor(rows: Sequence[FactorRow], day: date, mode: Mode) -> Fraction:
    factors = factors_on(rows, day)
    return factors.both if mode is Mode.ADJUSTED else factors.split


def _scaled(bar: Bar, factor: Fraction, dividends: Fraction, mode: Mode) -> Bar:
    if factor == 1 and not dividends:
        return bar
    scale = _decimal(factor)
    added = _decimal(dividends) if mode is Mode.TOTAL_RETURN else Decimal(0)

    def scaled(price: float) -> float:
        return float(_EXACT.add(_EXACT.multiply(Decimal(repr(price)), scale), added))

    return bar._replace(
        open=scaled(bar.open),
        high=scaled(bar.high),
        low=scaled(bar.low),
        close=scaled(bar.close),
        volume=float(round(Fraction(repr(bar.volume)) / factor)),
    )


def _decimal(number: Fraction) -> Decimal:
    """A number with at most 28 decimals, which is what a factor file has."""
    return _EXACT.divide(Decimal(number.numerator), Decimal(number.denominator))
