"""The result files of a run (LEAN: ``BacktestingResultHandler``)."""

from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from tests.support.stand_in_lean.figures import Figures, performance, runtime_statistics, statistics_of
from tests.support.stand_in_lean.portfolio import Portfolio

_ANALYSIS = {
    "name": "StatisticalSignificanceOfDailyReturnsAnalysis",
    "issue": "The distribution of the strategy's daily returns in excess of the benchmark's daily returns has a "
    "p-value above 0.05. Therefore, we fail to reject the null hypothesis that the mean of this distribution is above "
    "zero.",
    "sample": {"pValue": 0.5},
    "solutions": [
        "Try adjusting the trading rules and/or the universe to get a strategy that outperforms the benchmark."
    ],
}


class Failure:
    """The error of a run, as LEAN puts it into the result's state."""

    def __init__(self, message: str, stack: str) -> None:
        self.message, self.stack = message, stack


class Results:
    """Writes the files of one run."""

    def __init__(self, folder: Path, identifier: str) -> None:
        self.folder, self.identifier = folder, identifier
        self.log_lines: list[str] = []
        self._began = datetime.now(UTC)
        self._clock = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._clock

    def running(self, portfolio: Portfolio) -> dict[str, Any]:
        """The result while bars run: without configuration, figures and performance."""
        return {
            "rollingWindow": {},
            "charts": portfolio.charts(),
            "orders": portfolio.orders(),
            "profitLoss": {},
            "statistics": {},
            "runtimeStatistics": _runtime(portfolio),
            "state": self._state("Running", portfolio, None),
            "serverStatistics": self._server(),
            "analysis": [],
        }

    def final(
        self,
        portfolio: Portfolio,
        figures: Figures,
        configuration: dict[str, Any],
        failure: Failure | None,
    ) -> dict[str, Any]:
        """The whole result."""
        found = statistics_of(figures, orders=len(portfolio.orders()), fees=portfolio.fees, asset=portfolio.asset)
        found.pop("OrderListHash")
        months = {f"M1_{day:%Y%m}": day for day in portfolio.days}
        return {
            "rollingWindow": {f"M1_{day:%Y%m%d}": performance(figures) for day in months.values()},
            "charts": portfolio.charts(),
            "orders": portfolio.orders(),
            "profitLoss": {},
            "statistics": found,
            "runtimeStatistics": _runtime(portfolio),
            "state": self._state("RuntimeError" if failure else "Completed", portfolio, failure),
            "serverStatistics": self._server(),
            "algorithmConfiguration": configuration,
            "totalPerformance": performance(figures),
            "analysis": [_ANALYSIS],
        }

    def without_run(self, failure: Failure, configuration: dict[str, Any], *, loaded: bool) -> dict[str, Any]:
        """The result of an algorithm that could not be loaded or initialized."""
        empty = Portfolio(100_000.0, date(2000, 1, 3), self.identifier)
        result: dict[str, Any] = {
            "rollingWindow": {},
            "charts": {},
            "orders": {},
            "profitLoss": {},
            "statistics": {},
            "runtimeStatistics": _runtime(empty) if loaded else {},
            "state": self._state("RuntimeError", empty, failure),
            "serverStatistics": self._server(),
            "algorithmConfiguration": configuration,
            "totalPerformance": performance(Figures()),
        }
        if loaded:
            equity = {"name": "Equity", "unit": "$", "index": 0, "seriesType": 2, "values": []}
            result["charts"] = {
                "Strategy Equity": {"name": "Strategy Equity", "chartType": 0, "series": {"Equity": equity}}
            }
            result["analysis"] = [_ANALYSIS]
        return result

    def write(self, result: dict[str, Any]) -> None:
        """Write ``<id>.json`` in place, as LEAN does: a reader may find it empty or cut."""
        text = json.dumps(result, indent=2, ensure_ascii=False)
        with (self.folder / f"{self.identifier}.json").open("w", encoding="utf-8") as file:
            file.write(text)

    def write_all(self, result: dict[str, Any], events: list[dict[str, Any]]) -> None:
        """Write all files of an ended run."""
        self.write(result)
        summary = {key: value for key, value in result.items() if key not in ("orders", "profitLoss", "analysis")}
        charts = summary["charts"]
        summary["charts"] = {name: charts[name] for name in charts if name == "Strategy Equity"}
        (self.folder / f"{self.identifier}-summary.json").write_text(json.dumps(summary, indent=2), "utf-8")
        if events:
            text = json.dumps(events, separators=(",", ":"))
            (self.folder / f"{self.identifier}-order-events.json").write_text(text, "utf-8")
        (self.folder / f"{self.identifier}-log.txt").write_text(
            "".join(f"{line}\n" for line in self.log_lines), "utf-8"
        )

    def _state(self, status: str, portfolio: Portfolio, failure: Failure | None) -> dict[str, str]:
        return {
            "StartTime": f"{self._began:%Y-%m-%dT%H:%M:%SZ}",
            "EndTime": "" if status == "Running" else f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "RuntimeError": failure.message if failure else "",
            "StackTrace": failure.stack if failure else "",
            "LogCount": str(len(self.log_lines)),
            "OrderCount": str(len(portfolio.orders())),
            "InsightCount": "0",
            "Name": self.identifier,
            "Hostname": "vm",
            "Status": status,
        }

    def _server(self) -> dict[str, str]:
        return {
            "CPU Usage": "0.0%",
            "Used RAM (MB)": "28",
            "Total RAM (MB)": "2147483647",
            "Hostname": "vm",
            "LEAN Version": "v2.5.0.0",
            "Up Time": f"0d 00:00:{int(self.seconds) % 60:02}",
        }


def configuration_of(name: str, parameters: dict[str, str], start: date, end: date) -> dict[str, Any]:
    """What LEAN says of the algorithm's configuration."""
    return {
        "name": name,
        "tags": [],
        "accountCurrency": "USD",
        "brokerage": 0,
        "accountType": 0,
        "parameters": parameters,
        "outOfSampleMaxEndDate": None,
        "outOfSampleDays": 0,
        "startDate": f"{start}T00:00:00Z",
        "endDate": f"{end}T23:59:59Z",
        "tradingDaysPerYear": 252,
    }


def unknown_configuration() -> dict[str, Any]:
    """The same of an algorithm that was not loaded."""
    return {
        "name": None,
        "tags": None,
        "brokerage": 0,
        "accountType": 0,
        "parameters": None,
        "outOfSampleMaxEndDate": None,
        "outOfSampleDays": 0,
        "startDate": "0001-01-01T00:00:00Z",
        "endDate": "0001-01-01T00:00:00Z",
        "tradingDaysPerYear": 252,
    }


def _runtime(portfolio: Portfolio) -> dict[str, str]:
    holdings = portfolio.quantity * portfolio.price
    return runtime_statistics(portfolio.value, portfolio.start, holdings, portfolio.fees)
