"""Runs commands that must fail without sending, printing or changing anything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

from tests.support.command_line import CommandLine
from tests.support.market import Market
from tests.support.polygon_server import PolygonServer

Serve = Callable[..., PolygonServer]

DAY = date(2024, 3, 5)
MARKET = Market.synthetic(["SPY"], [DAY], bars_per_day=10) | Market.synthetic(["SPY"], [DAY], "daily")
RANGE = ("--resolution", "minute", "--start", str(DAY), "--end", str(DAY))
DOWNLOAD = ("download", "SPY", *RANGE)
NEXT_YEAR = datetime.now(UTC).year + 1
STATE = ".backtest-server"


def refused(command: CommandLine, server: PolygonServer, *arguments: str, code: int = 2) -> str:
    """Run a command that must fail, and return its error line. Nothing is sent, printed or changed."""
    before = command.files()

    answer = command.run(*arguments)

    assert answer.code == code, answer
    assert answer.out == ""
    (line,) = answer.err.splitlines()
    assert line.startswith("error: ")
    assert command.files() == before
    assert server.requests == []
    return line
