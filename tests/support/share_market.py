"""Daily bars with given closes, for tests of what closes say about events and holders of a ticker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from tests.support.harness import calendar
from tests.support.market import Market, midnight


def sessions(first: str, last: str) -> list[date]:
    """The sessions of a range, both ends included."""
    return calendar().trading_days(date.fromisoformat(first), date.fromisoformat(last))


def daily_market(closes: Mapping[str, Mapping[date, float]]) -> Market:
    """The daily bars of symbols by their closes; each opens where the one before closed."""
    return Market.of({(symbol, "day"): _bars(by_day) for symbol, by_day in closes.items()})


def level(days: Sequence[date], close: float) -> dict[date, float]:
    """One close for all days."""
    return dict.fromkeys(days, close)


def _bars(by_day: Mapping[date, float]) -> list[dict[str, float]]:
    bars, before = [], 0.0
    for day, close in sorted(by_day.items()):
        open_ = before or close
        prices = {"o": open_, "h": max(open_, close), "l": min(open_, close), "c": close}
        bars.append({"t": midnight(day), **prices, "v": 1000})
        before = close
    return bars
