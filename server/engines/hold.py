"""The value of shares that are bought once and held. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from attrs import frozen

START_EQUITY = 100_000.0
"""Dollars at the start, LEAN's default."""


@frozen
class DayPrices:
    """One symbol's regular session: first open and last close in dollars."""

    open: float
    close: float


def equal_weight_equity(
    sessions: Mapping[str, Mapping[date, DayPrices]], days: Sequence[date], start: float = START_EQUITY
) -> list[float]:
    """Return the value in dollars, at each day's close, of equal parts held in each symbol.

    A symbol is bought, in fractions of a share, at the open of its first bar; until then its part is cash. A day
    without bars has the last close.

    Args:
        sessions: Prices by symbol and day.
        days: The trading days, ascending.
        start: Dollars at the start.
    """
    part = start / len(sessions) if sessions else start
    worth = dict.fromkeys(sessions, part)
    shares: dict[str, float] = {}
    equity = []
    for day in days:
        for symbol, prices in sessions.items():
            today = prices.get(day)
            if today is None:
                continue
            if symbol not in shares:
                if today.open <= 0:
                    continue
                shares[symbol] = part / today.open
            worth[symbol] = shares[symbol] * today.close
        equity.append(sum(worth.values()) if worth else start)
    return equity


def max_drawdown(values: Sequence[float], start: float = START_EQUITY) -> float:
    """Return the largest fall from a peak, of which the start is the first, as a fraction of that peak."""
    peak, deepest = start, 0.0
    for value in values:
        peak = max(peak, value)
        deepest = max(deepest, (peak - value) / peak)
    return deepest
