"""How long it takes to read a large result of LEAN, against a fixed limit: the best of several runs counts.

The result has the shape of the recorded run completed-with-trades, for ten years and 2,500 orders.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from server.engines.progress import progress_of
from server.engines.results import RunState, read_run
from tests.support.harness import NOW, sessions
from tests.support.lean_runs import ENGINE_START, log_text, result_of, write_run

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300)]

LIMIT = 0.2
DAYS = sessions(date(2013, 1, 2), 2_500)
ORDERS = 2_500
BENCHMARK = "UniverseSelection.AddPendingInternalDataFeeds(): Adding internal benchmark data feed SPY,#0,SPY,Hour,"
TIMES = [int(datetime(day.year, day.month, day.day, 21, tzinfo=UTC).timestamp()) for day in DAYS]


def values(place: int, columns: int = 1) -> list[list[float]]:
    """A point for each day, of this many numbers."""
    height = [100_000 * (1.5 + math.sin(number / 97 + place)) + number * 1.2345 for number in range(len(TIMES))]
    return [
        [time, *[round(one + column, 4) for column in range(columns)]] for time, one in zip(TIMES, height, strict=True)
    ]


def chart(name: str, *series: str, columns: int = 1) -> dict[str, Any]:
    """A chart of a series for each name."""
    found = {
        one: {"name": one, "unit": "$", "index": 0, "seriesType": 0, "values": values(place, columns)}
        for place, one in enumerate(series)
    }
    return {"name": name, "chartType": 0, "series": found}


def order(number: int) -> dict[str, Any]:
    """An order that was filled on the day after it."""
    at, filled = (datetime.fromtimestamp(TIMES[(number + later) % len(TIMES)], UTC) for later in (0, 1))
    price = round(100 + number * 0.0137, 8)
    return {
        "type": 4,
        "id": number,
        "contingentId": 0,
        "brokerId": [str(number)],
        "symbol": {"value": "AAPL", "id": "AAPL R735QTJ8XC9X", "permtick": "AAPL"},
        "price": price,
        "priceCurrency": "USD",
        "time": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "createdTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "lastFillTime": f"{filled:%Y-%m-%dT%H:%M:%SZ}",
        "quantity": 100.0,
        "status": 3,
        "tag": "fast above slow",
        "properties": {"timeInForce": {}},
        "securityType": 1,
        "direction": 0,
        "value": price * 100,
        "orderSubmissionData": {"bidPrice": price, "askPrice": price, "lastPrice": price},
        "isMarketable": False,
        "priceAdjustmentMode": 1,
    }


def events_of(number: int) -> list[dict[str, Any]]:
    """The events of an order: submitted, then filled."""
    common = {
        "algorithmId": "run",
        "orderId": number,
        "symbol": "AAPL R735QTJ8XC9X",
        "symbolValue": "AAPL",
        "symbolPermtick": "AAPL",
        "fillPriceCurrency": "USD",
        "direction": "buy",
        "isAssignment": False,
        "quantity": 100.0,
    }
    fill = {"status": "filled", "fillPrice": round(100 + number * 0.0137, 8), "fillQuantity": 100.0}
    steps = ({"status": "submitted", "fillPrice": 0.0, "fillQuantity": 0.0}, fill)
    return [
        {"id": f"run-{number}-{step}", "orderEventId": step, "time": TIMES[number % len(TIMES)], **common, **state}
        for step, state in enumerate(steps, 1)
    ]


def window(month: int) -> dict[str, Any]:
    """The statistics of one of LEAN's rolling windows."""
    names = [f"statistic{place}" for place in range(55)]
    return {
        "tradeStatistics": dict.fromkeys(names, f"-787.{month}"),
        "portfolioStatistics": dict.fromkeys(names, "0.1"),
    }


@pytest.fixture(scope="module")
def results(home: Path) -> Path:
    """The results folder of a run of ten years: ``run.json`` of 5 MB, the events of its orders, requests and log."""
    charts = [
        chart("Drawdown", "Equity Drawdown"),
        chart("Portfolio Turnover", "Portfolio Turnover"),
        chart("Exposure", "Equity - Short Ratio", "Equity - Long Ratio"),
        chart("Strategy Equity", "Equity", columns=4),
        chart("Capacity", "Strategy Capacity"),
        chart("Assets Sales Volume", *(f"SHARE{place}" for place in range(16))),
        chart("Portfolio Margin", *(f"SHARE{place}" for place in range(16))),
        chart("Benchmark", "Benchmark"),
        chart("Crossing", "fast", "slow"),
    ]
    statistics = {"Net Profit": "1.500%", "Sharpe Ratio": "1.2"}
    result = result_of(DAYS[0].isoformat(), DAYS[-1].isoformat(), statistics=statistics) | {
        "rollingWindow": {f"M{size}_{month}": window(month) for size in (1, 3, 6, 12) for month in range(60)},
        "charts": {one["name"]: one for one in charts},
        "orders": {str(number): order(number) for number in range(1, ORDERS + 1)},
        "profitLoss": {f"{day}T21:00:00Z": 12.5 for day in DAYS},
    }
    requests = [f"/equity/usa/minute/spy/{day:%Y%m%d}_trade.zip" for day in DAYS]
    folder = write_run(
        home / "results",
        result=result,
        log=log_text(ENGINE_START, BENCHMARK, *(f"Algorithm.Debug(): order {number}" for number in range(ORDERS))),
        failed=[line.replace("_trade", "_quote") for line in requests],
        succeeded=requests,
        events=[event for number in range(1, ORDERS + 1) for event in events_of(number)],
    )
    assert 4_800_000 < (folder / "run.json").stat().st_size < 5_400_000
    return folder


def best(measure: Callable[[], object], runs: int = 7) -> tuple[float, str]:
    """The shortest of several durations, and all of them as text."""
    found = [seconds(measure) for _ in range(runs)]
    return min(found), ", ".join(f"{one:.3f}" for one in found)


def seconds(measure: Callable[[], object]) -> float:
    """The duration of a call."""
    started = time.perf_counter()
    measure()
    return time.perf_counter() - started


def test_reading_a_result_of_five_megabytes(results: Path) -> None:
    """State, verdict, charts, orders with fills, equity and data requests in less than 0.2 s."""
    run = read_run(results, NOW, ended=True)
    assert (run.state, len(run.orders), len(run.equity.dates)) == (RunState.COMPLETED, ORDERS, len(DAYS))
    assert all(len(one["fills"]) == 1 for one in run.orders.values())
    assert len(run.missing) == len(DAYS)

    least, text = best(lambda: read_run(results, NOW, ended=True))

    print(f"\nreading a result of 5 MB: {text} s (limit {LIMIT} s)")
    assert least < LIMIT


def test_the_live_progress_of_a_result_of_five_megabytes(results: Path) -> None:
    """What is read every second or so while LEAN runs costs less than 0.1 s."""
    content = (results / "run.json").read_bytes()

    least, text = best(lambda: progress_of(content))

    print(f"\nprogress of a result of 5 MB: {text} s (limit {LIMIT / 2} s)")
    assert least < LIMIT / 2


def test_results_show_as_a_whole_process(results: Path) -> None:
    """``results show --json`` prints all of it: less than 1.2 s for the process, of which Python's start is a part."""

    def show() -> None:
        done = subprocess.run(
            [sys.executable, "-m", "server", "results", "show", str(results), "--json"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["orders"]) == ORDERS

    least, text = best(show, runs=4)

    print(f"\nresults show --json of 5 MB, whole process: {text} s")
    assert least < 1.2
