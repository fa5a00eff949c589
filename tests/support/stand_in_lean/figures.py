"""Statistics of an equity curve, by LEAN's names and in its formats, with the plainest formulas."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

TRADING_DAYS = 252
_TRADES = [
    "totalNumberOfTrades",
    "numberOfWinningTrades",
    "numberOfLosingTrades",
    "totalProfitLoss",
    "totalProfit",
    "totalLoss",
    "largestProfit",
    "largestLoss",
    "averageProfitLoss",
    "averageProfit",
    "averageLoss",
    "averageTradeDuration",
    "averageWinningTradeDuration",
    "averageLosingTradeDuration",
    "medianTradeDuration",
    "medianWinningTradeDuration",
    "medianLosingTradeDuration",
    "maxConsecutiveWinningTrades",
    "maxConsecutiveLosingTrades",
    "profitLossRatio",
    "winLossRatio",
    "winRate",
    "lossRate",
    "averageMAE",
    "averageMFE",
    "largestMAE",
    "largestMFE",
    "maximumClosedTradeDrawdown",
    "maximumIntraTradeDrawdown",
    "profitLossStandardDeviation",
    "profitLossDownsideDeviation",
    "profitFactor",
    "sharpeRatio",
    "sortinoRatio",
    "profitToMaxDrawdownRatio",
    "maximumEndTradeDrawdown",
    "averageEndTradeDrawdown",
    "maximumDrawdownDuration",
    "totalFees",
]
_COUNTS = {
    "totalNumberOfTrades",
    "numberOfWinningTrades",
    "numberOfLosingTrades",
    "maxConsecutiveWinningTrades",
    "maxConsecutiveLosingTrades",
}


class Figures(NamedTuple):
    """The figures of a run."""

    start: float = 0.0
    end: float = 0.0
    annual_return: float = 0.0
    drawdown: float = 0.0
    sharpe: float = 0.0
    alpha: float = 0.0
    beta: float = 0.0
    deviation: float = 0.0
    information: float = 0.0
    tracking: float = 0.0
    treynor: float = 0.0

    @property
    def net(self) -> float:
        return self.end / self.start - 1 if self.start else 0.0


def figures_of(
    days: Sequence[date], equity: Sequence[float], benchmark: Sequence[float], start: float, rate: float
) -> Figures:
    """Compute the figures of an equity curve.

    Args:
        days: Its trading days.
        equity: The value at the end of each.
        benchmark: The benchmark's price at the end of each; 0 where it had none.
        start: The cash at the start.
        rate: The risk-free rate of a year.
    """
    if not equity or equity[-1] == start == max(equity, default=start):
        return Figures(start, equity[-1] if equity else start)
    years = max((days[-1] - days[0]).days, 1) / 365
    annual = (equity[-1] / start) ** (1 / years) - 1
    own, other = _returns([start, *equity]), _returns([benchmark[0], *benchmark])
    deviation = statistics.pstdev(own) * math.sqrt(TRADING_DAYS)
    excess = annual - rate
    beta, alpha, information, tracking = 0.0, 0.0, 0.0, 0.0
    if variance := statistics.pvariance(other):
        beta = _covariance(own, other) / variance
        annual_other = (1 + statistics.fmean(other)) ** TRADING_DAYS - 1
        alpha = excess - beta * (annual_other - rate)
        tracking = statistics.pstdev([a - b for a, b in zip(own, other, strict=True)]) * math.sqrt(TRADING_DAYS)
        information = (annual - annual_other) / tracking if tracking else 0.0
    return Figures(
        start=start,
        end=equity[-1],
        annual_return=annual,
        drawdown=_drawdown([start, *equity]),
        sharpe=excess / deviation if deviation else 0.0,
        alpha=alpha,
        beta=beta,
        deviation=deviation,
        information=information,
        tracking=tracking,
        treynor=excess / beta if beta else 0.0,
    )


def statistics_of(found: Figures, *, orders: int, fees: float, asset: str) -> dict[str, str]:
    """LEAN's statistics."""
    return {
        "Total Orders": str(orders),
        "Average Win": "0%",
        "Average Loss": "0%",
        "Compounding Annual Return": _percent(found.annual_return),
        "Drawdown": _percent(found.drawdown),
        "Expectancy": "0",
        "Start Equity": _number(found.start, 2),
        "End Equity": _number(found.end, 2),
        "Net Profit": _percent(found.net),
        "Sharpe Ratio": _number(found.sharpe),
        "Sortino Ratio": "0",
        "Probabilistic Sharpe Ratio": "0%",
        "Loss Rate": "0%",
        "Win Rate": "0%",
        "Profit-Loss Ratio": "0",
        "Alpha": _number(found.alpha),
        "Beta": _number(found.beta),
        "Annual Standard Deviation": _number(found.deviation),
        "Annual Variance": _number(found.deviation**2),
        "Information Ratio": _number(found.information),
        "Tracking Error": _number(found.tracking),
        "Treynor Ratio": _number(found.treynor),
        "Total Fees": f"${fees:.2f}",
        "Estimated Strategy Capacity": "$0",
        "Lowest Capacity Asset": asset,
        "Portfolio Turnover": "0%",
        "Drawdown Recovery": "0",
        "OrderListHash": "d41d8cd98f00b204e9800998ecf8427e",
    }


def runtime_statistics(equity: float, start: float, holdings: float, fees: float) -> dict[str, str]:
    """LEAN's runtime statistics."""
    return {
        "Equity": f"${equity:,.2f}",
        "Fees": f"-${fees:,.2f}",
        "Holdings": f"${holdings:,.2f}",
        "Net Profit": f"${-fees or 0.0:,.2f}",
        "Probabilistic Sharpe Ratio": "0%",
        "Return": f"{100 * (equity / start - 1 if start else 0):.2f} %",
        "Unrealized": f"${equity - start:,.2f}",
        "Volume": f"${holdings:,.2f}",
    }


def performance(found: Figures) -> dict[str, object]:
    """LEAN's statistics of trades and portfolio; a holding is no closed trade."""
    trades = {name: 0 if name in _COUNTS else "00:00:00" if "Duration" in name else "0" for name in _TRADES}
    return {
        "tradeStatistics": {"startDateTime": None, "endDateTime": None, **trades},
        "portfolioStatistics": {
            "averageWinRate": "0",
            "averageLossRate": "0",
            "profitLossRatio": "0",
            "winRate": "0",
            "lossRate": "0",
            "expectancy": "0",
            "startEquity": _number(found.start, 4),
            "endEquity": _number(found.end, 4),
            "compoundingAnnualReturn": _number(found.annual_return, 4),
            "drawdown": _number(found.drawdown),
            "totalNetProfit": _number(found.net, 4),
            "sharpeRatio": _number(found.sharpe, 4),
            "probabilisticSharpeRatio": "0",
            "sortinoRatio": "0",
            "alpha": _number(found.alpha, 4),
            "beta": _number(found.beta, 4),
            "annualStandardDeviation": _number(found.deviation, 4),
            "annualVariance": _number(found.deviation**2, 4),
            "informationRatio": _number(found.information, 4),
            "trackingError": _number(found.tracking, 4),
            "treynorRatio": _number(found.treynor, 4),
            "portfolioTurnover": "0",
            "valueAtRisk99": "0",
            "valueAtRisk95": "0",
            "drawdownRecovery": "0",
        },
        "closedTrades": [],
    }


def _returns(values: Sequence[float]) -> list[float]:
    return [now / before - 1 if before else 0.0 for before, now in itertools.pairwise(values)]


def _covariance(first: Sequence[float], second: Sequence[float]) -> float:
    means = statistics.fmean(first), statistics.fmean(second)
    return statistics.fmean((a - means[0]) * (b - means[1]) for a, b in zip(first, second, strict=True))


def _drawdown(values: Sequence[float]) -> float:
    highest, deepest = values[0], 0.0
    for value in values:
        highest = max(highest, value)
        deepest = max(deepest, 1 - value / highest)
    return deepest


def _number(value: float, digits: int = 3) -> str:
    text = f"{value:.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def _percent(value: float) -> str:
    return f"{100 * value:.3f}%" if round(value, 5) else "0%"
