"""Eight days of a market for downloads, and what tests read from them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

from server.data_download.report import DownloadReport
from server.lean.series import Resolution
from tests.support.harness import Rig, sessions
from tests.support.market import Market
from tests.support.polygon_server import PolygonServer

Serve = Callable[..., PolygonServer]

DAYS = sessions(date(2024, 3, 4), 8)  # the clocks change on the 10th
MARKET = Market.synthetic(["SPY", "BRK.B"], DAYS, bars_per_day=30) | Market.synthetic(["SPY"], DAYS, "daily")
MINUTE, DAILY, SECOND = Resolution.MINUTE, Resolution.DAILY, Resolution.SECOND


def days_asked(server: PolygonServer) -> list[tuple[str, str]]:
    """First and last day of each request."""
    return [request.window[2:] for request in server.requests if request.window]


def reason(report: DownloadReport) -> str:
    """The one reason of a report's failures."""
    (failure,) = report.failures
    return failure.error


def path_of(rig: Rig, day: date, symbol: str = "spy") -> Path:
    """Where a day's minutes are."""
    return rig.data / "equity" / "usa" / "minute" / symbol / f"{day:%Y%m%d}_trade.zip"
