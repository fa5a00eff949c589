"""The market that tests of commands download, and arguments for its days."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

from tests.support.command_line import CommandLine
from tests.support.harness import sessions
from tests.support.market import Market
from tests.support.polygon_server import PolygonServer

Serve = Callable[..., PolygonServer]

DAYS = sessions(date(2024, 3, 4), 8)  # Monday the 4th to Wednesday the 13th
MARKET = Market.synthetic(["SPY", "AAPL"], DAYS, bars_per_day=60) | Market.synthetic(["SPY"], DAYS, "daily")
MINUTES = ("--resolution", "minute", "--start", str(DAYS[0]), "--end", str(DAYS[-1]))
DAILY = ("--resolution", "daily", "--start", str(DAYS[0]), "--end", str(DAYS[-1]))

CONTRACT = (
    *("provider", "resolution", "symbols", "start", "end", "days_requested", "days_present", "days_downloaded"),
    *("days_empty", "days_failed", "api_calls", "http_cache_hits", "retries", "bytes_fetched", "bars"),
    *("started_at", "finished_at", "duration_s", "failures"),
)
OURS = (
    *("notices", "fallback", "cancelled", "corporate_actions", "corporate_api_calls", "other_holders", "doubts"),
    "data_folder",
)


def minute_path(command: CommandLine, day: date, symbol: str = "spy") -> Path:
    """Where a day's minutes lie."""
    return command.data / "equity" / "usa" / "minute" / symbol / f"{day:%Y%m%d}_trade.zip"
