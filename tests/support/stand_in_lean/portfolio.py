"""A buy-and-hold account: buys the first share that has a price, and keeps it."""

from __future__ import annotations

import itertools
from datetime import date
from typing import Any

from tests.support.stand_in_lean.bars import Close
from tests.support.stand_in_lean.days import instant, stamp
from tests.support.stand_in_lean.figures import Figures, figures_of

LOST_CENT = 0.9975
"""The part of the cash that is invested (LEAN: ``Settings.FreePortfolioValuePercentage``)."""


class Portfolio:
    """The account and its curve."""

    def __init__(self, cash: float, first: date, identifier: str) -> None:
        self.start = self.cash = cash
        self.identifier = identifier
        self.quantity, self.price, self.fees = 0, 0.0, 0.0
        self.bought: tuple[str, date] | None = None
        self.fill_price = 0.0
        self.days: list[date] = []
        self.equity: list[float] = []
        self.benchmark: list[float] = []
        self.points: list[list[float]] = [[stamp(first), cash, cash, cash, cash]]
        self.daily: list[int] = [stamp(first)]

    @property
    def value(self) -> float:
        return self.cash + self.quantity * self.price

    def day(self, day: date, closes: dict[str, Close], first_ticker: str, benchmark: float) -> None:
        """Go to the end of a day."""
        close = closes.get(first_ticker)
        if close:
            self.price = close.price
            if not self.bought and close.price > 0:
                self.buy(first_ticker, day)
        for hour in (16, 24):
            self.points.append([stamp(day, hour), *[round(self.value, 4)] * 4])
        self.daily.append(stamp(day, 24))
        self.days.append(day)
        self.equity.append(self.value)
        self.benchmark.append(benchmark)

    def buy(self, ticker: str, day: date) -> None:
        """Invest the cash at the current price."""
        self.quantity = int(self.cash * LOST_CENT / self.price)
        self.fees = round(max(1.0, 0.005 * self.quantity), 2)
        self.cash -= self.quantity * self.price + self.fees
        self.bought, self.fill_price = (ticker, day), self.price

    def close_day(self) -> None:
        """End the curve at the close of the last day, not at the midnight after it."""
        if len(self.points) > 1:
            self.points.pop()
            self.daily[-1] = int(self.points[-1][0])

    def stop_at(self, day: date) -> None:
        """End the curve in the morning of a day."""
        self.points.append([stamp(day, 10), *[round(self.value, 4)] * 4])
        self.daily.append(stamp(day, 10))
        self.benchmark.append(self.benchmark[-1] if self.benchmark else 0.0)
        self.days.append(day)
        self.equity.append(self.value)

    def figures(self, rate: float) -> Figures:
        return figures_of(self.days, self.equity, self.benchmark, self.start, rate)

    def charts(self) -> dict[str, Any]:
        """LEAN's charts."""
        returns = [0.0]
        values = [self.start, *self.equity]
        returns += [round(100 * (now / before - 1), 6) for before, now in itertools.pairwise(values)]
        highest = [max(values[: number + 1]) for number in range(len(values))]
        falls = [round(100 * (value / high - 1), 2) for value, high in zip(values, highest, strict=True)]
        zeros = [0.0] * len(values)
        held = [0.998 if self.quantity else 0.0] * len(values)
        benchmark = [self.benchmark[0] if self.benchmark else 0.0, *self.benchmark]
        equity = {"name": "Equity", "unit": "$", "index": 0, "seriesType": 2, "values": self.points}
        change = self._series("Return", "%", returns, index=1, kind=3)
        return {
            "Drawdown": _chart("Drawdown", self._series("Equity Drawdown", "%", falls)),
            "Portfolio Turnover": _chart("Portfolio Turnover", self._series("Portfolio Turnover", "%", zeros)),
            "Exposure": _chart(
                "Exposure",
                self._series("Equity - Long Ratio", "", held),
                self._series("Equity - Short Ratio", "", zeros),
            ),
            "Strategy Equity": _chart("Strategy Equity", equity, change),
            "Capacity": _chart("Capacity", self._series("Strategy Capacity", "$", zeros)),
            "Portfolio Margin": {"name": "Portfolio Margin", "chartType": 0, "series": {}, "legendDisabled": True},
            "Benchmark": _chart("Benchmark", self._series("Benchmark", "$", benchmark)),
        }

    def orders(self) -> dict[str, Any]:
        """LEAN's orders."""
        if not self.bought:
            return {}
        ticker, day = self.bought
        time = f"{instant(day, 16):%Y-%m-%dT%H:%M:%SZ}"
        price = self.fill_price
        return {
            "1": {
                "type": 4,
                "id": 1,
                "contingentId": 0,
                "brokerId": ["1"],
                "symbol": {"value": ticker, "id": _sid(ticker), "permtick": ticker},
                "price": price,
                "priceCurrency": "USD",
                "time": time,
                "createdTime": time,
                "lastFillTime": time,
                "quantity": float(self.quantity),
                "status": 3,
                "tag": "",
                "properties": {"timeInForce": {}},
                "securityType": 1,
                "direction": 0,
                "value": price * self.quantity,
                "orderSubmissionData": {"bidPrice": price, "askPrice": price, "lastPrice": price},
                "isMarketable": False,
                "priceAdjustmentMode": 1,
            }
        }

    def order_events(self) -> list[dict[str, Any]]:
        """LEAN's order events: one that submits and one that fills."""
        if not self.bought:
            return []
        ticker, day = self.bought
        base = {"algorithmId": self.identifier, "orderId": 1, "symbol": _sid(ticker), "symbolValue": ticker}
        base |= {"symbolPermtick": ticker, "time": float(stamp(day, 16)), "fillPriceCurrency": "USD"}
        base |= {"direction": "buy", "isAssignment": False, "quantity": float(self.quantity)}
        filled = {"orderFeeAmount": self.fees, "orderFeeCurrency": "USD", "fillPrice": self.fill_price}
        events = [
            {"status": "submitted", "fillPrice": 0.0, "fillQuantity": 0.0},
            {"status": "filled", **filled, "fillQuantity": float(self.quantity)},
        ]
        return [
            {"id": f"{self.identifier}-1-{number}", **base, "orderEventId": number, **event}
            for number, event in enumerate(events, 1)
        ]

    @property
    def asset(self) -> str:
        return _sid(self.bought[0]) if self.bought else ""

    def _series(self, name: str, unit: str, values: list[float], *, index: int = 0, kind: int = 0) -> dict[str, Any]:
        points = [[time, value] for time, value in zip(self.daily, values, strict=True)]
        series = {"name": name, "unit": unit, "index": index, "seriesType": kind, "values": points}
        return {**series, "color": "", "scatterMarkerSymbol": "none"}


def _chart(name: str, *series: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "chartType": 0, "series": {one["name"]: one for one in series}}


def _sid(ticker: str) -> str:
    return f"{ticker} R735QTJ8XC9X"
