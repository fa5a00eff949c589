"""The market and the reference data that tests of factor and map files use, and the files that they give.

Expected rows are computed here from LEAN's rule, with closes of the market that is served: price factor (C - D) / C and
split factor old / new, from the newest event to the oldest.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.support.harness import calendar
from tests.support.market import Market, new_york_day
from tests.support.polygon_server import PolygonServer
from tests.support.reference_data import ReferenceData

DAYS = calendar().trading_days(date(2020, 7, 1), date(2020, 9, 18))
MARKET = Market.synthetic(["AAPL", "BRK.B"], DAYS, "daily") | Market.synthetic(["AAPL"], DAYS[-3:], bars_per_day=5)
SPLIT, PAID = date(2020, 8, 31), date(2020, 8, 7)
BEFORE_SPLIT, BEFORE_PAID = date(2020, 8, 28), date(2020, 8, 6)
NOW = "2020-09-21"  # a Monday, 08:00 in New York: the 18th is the newest settled session


def apple_events(**options: Any) -> ReferenceData:
    """Apple in 2020: a dividend, then a split."""
    data = ReferenceData(**options)
    data.split("AAPL", SPLIT, old=1, new=4)
    data.dividend("AAPL", PAID, "0.82")
    data.listed("AAPL", exchange="XNAS", since=DAYS[0])
    return data


def close(day: date, symbol: str = "AAPL", market: Market = MARKET) -> Decimal:
    """The close that the market serves."""
    series = market[symbol, "day"]
    return next(
        Decimal(f"{Decimal(str(c)).normalize():f}")
        for t, c in zip(series.t, series.c, strict=True)
        if new_york_day(int(t)) == day
    )


def factor(*steps: Fraction) -> str:
    """The product, as LEAN prints price factors."""
    product = Fraction(1)
    for step in steps:
        product *= step
    if product == 1:
        return "1"
    return str((Decimal(product.numerator) / product.denominator).quantize(Decimal("0.0000001")))


def paid(amount: str, day: date, symbol: str = "AAPL") -> Fraction:
    """(C - D) / C."""
    return 1 - Fraction(amount) / Fraction(close(day, symbol))


def expected_factors() -> str:
    """The factor file of `apple_events`."""
    price = factor(paid("0.82", BEFORE_PAID))
    return "\n".join(
        [
            f"20200701,{price},0.25,1",
            f"20200806,{price},0.25,{close(BEFORE_PAID)}",
            f"20200828,1,0.25,{close(BEFORE_SPLIT)}",
            "20501231,1,1,0",
        ]
    )


EXPECTED_MAP = "20200701,aapl,Q\n20501231,aapl,Q\n"


def requested_paths(server: PolygonServer) -> list[str]:
    """The paths of the requests, without the queries, in order."""
    return [request.path for request in server.requests]
