"""The market that tests of the HTTP API request, and a request for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from tests.support.market import Market
from tests.support.polygon_server import PolygonServer

Serve = Callable[..., PolygonServer]

DAYS = [date(2024, 6, day) for day in (3, 4, 5, 6, 7)]
MARKET = Market.synthetic(["SPY", "AAPL"], DAYS, "minute", bars_per_day=60) | Market.synthetic(
    ["SPY", "AAPL"], DAYS, "daily"
)
BODY = {"symbols": ["SPY"], "resolution": "minute", "start": "2024-06-03", "end": "2024-06-07"}
