"""Runs the bars of an algorithm: requests, the account's curve, intermediate results and signals."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from datetime import date
from types import FrameType
from typing import Any

from tests.support.stand_in_lean.algorithm import Algorithm
from tests.support.stand_in_lean.bars import Close
from tests.support.stand_in_lean.behaviour import seconds
from tests.support.stand_in_lean.data_requests import PER_DAY, DataMonitor, Plan
from tests.support.stand_in_lean.log import Log
from tests.support.stand_in_lean.messages import Messaging
from tests.support.stand_in_lean.portfolio import Portfolio
from tests.support.stand_in_lean.python_algorithm import fundamentals
from tests.support.stand_in_lean.results import Failure, Results

_TICK = 0.01
CANCELLED = "Program.ExitKeyPress(): Lean instance has been cancelled, shutting down safely now"


class AbortError(Exception):
    """The process ends with an unhandled exception."""


class BarRun:
    """The bars of one backtest.

    Attributes:
        points: The number of data points.
        cancelled: Whether SIGINT ended it.
        failure: The error of the algorithm.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        plan: Plan,
        monitor: DataMonitor,
        results: Results,
        messaging: Messaging,
        log: Log,
        settings: Mapping[str, Any],
    ) -> None:
        self._algorithm, self._plan, self._monitor = algorithm, plan, monitor
        self._results, self._messaging, self._log, self._settings = results, messaging, log, settings
        self.portfolio = Portfolio(algorithm.cash, algorithm.start, results.identifier)
        self.points = 0
        self.cancelled = False
        self.failure: Failure | None = None
        self.last_day = algorithm.start
        self._stop = False
        self._pending: list[date] = []
        self._next_write = time.monotonic() + float(settings["rewrite_every"])
        self._next_packets = time.monotonic() + float(settings["stream_every"])
        self._selected: set[str] = set()

    def run(self) -> None:
        """Run to the end, or to what ends it early.

        Raises:
            AbortError: The process shall abort.
        """
        plan, algorithm = self._plan, self._algorithm
        for path in plan.first:
            self._monitor.open(path)
        benchmark = self._benchmark()
        series = {ticker: self._monitor.closes(path) for ticker, path in plan.files.items()}
        if "ignore_sigint" not in self._settings:
            signal.signal(signal.SIGINT, self._interrupt)
        trading = [day for day in plan.days if day >= algorithm.start]
        middle = trading[len(trading) // 2] if trading else None
        for number, day in enumerate(plan.days):
            self._universe(day)
            closes = self._day(day, series, benchmark)
            self._wait(number, len(plan.days))
            if day >= algorithm.start and not self._stop:
                self._account(day, closes, series, benchmark)
            if self._ends(day, middle):
                for later in plan.days[number + 1 : number + 3]:  # LEAN reads ahead
                    for path in plan.trades(later).values():
                        self._monitor.open(path)
                return
        self.portfolio.close_day()
        if self.points and self.portfolio.days:
            self._monitor.open(plan.rates)

    def _benchmark(self) -> dict[date, Close]:
        path = self._plan.benchmark
        if not path:
            return {}
        ticker = str(self._algorithm.benchmark)
        if self._algorithm.warm_up:
            self._monitor.open(path)
        found = self._monitor.closes(path)
        self._log.trace(
            f"UniverseSelection.AddPendingInternalDataFeeds(): Adding internal benchmark data feed {ticker},#0,"
            f"{ticker},Hour,TradeBar,Trade,Adjusted,OpenInterest,Internal"
        )
        return found

    def _universe(self, day: date) -> None:
        """Offer the universe files of a day to the algorithm's selections."""
        for one, path in self._plan.universes(day):
            found = self._monitor.open(path)
            if not found:
                self._selected = set()
                continue
            shares = fundamentals(found.read_text("utf-8-sig").splitlines())
            self.points += len(shares)
            chosen = [str(symbol) for select in self._algorithm.selectors if select for symbol in select(shares)]
            if one < day:
                per_day = self._algorithm.universe_resolution in PER_DAY
                added = sorted(chosen if per_day else set(chosen) - self._selected)
                for wanted in self._plan.chosen(added, day):
                    self._monitor.open(wanted)
                self._selected = set(chosen)

    def _day(
        self, day: date, series: Mapping[str, Mapping[date, Close]], benchmark: Mapping[date, Close]
    ) -> dict[str, Close]:
        """The closes of a day by ticker."""
        found = {ticker: closes[day] for ticker, closes in series.items() if day in closes}
        for ticker, path in self._plan.trades(day).items():
            if close := self._monitor.day_close(path):
                found[ticker] = close
        self.points += sum(close.bars for close in found.values())
        self.points += benchmark[day].bars if day in benchmark else 0
        return found

    def _account(
        self,
        day: date,
        closes: dict[str, Close],
        series: Mapping[str, Mapping[date, Close]],
        benchmark: Mapping[date, Close],
    ) -> None:
        """Move the account to a day; one without any data counts when a later one has some (fact 12)."""
        filled = any(found and min(found) <= day for found in series.values())
        if not closes and not filled and day not in benchmark and not self._selected:
            self._pending.append(day)
            return
        first = self._algorithm.securities[0].ticker if self._algorithm.securities else ""
        for one in (*self._pending, day):
            known = [close.price for known_day, close in benchmark.items() if known_day <= one]
            self.portfolio.day(one, closes if one == day else {}, first, known[-1] if known else 0.0)
        self._pending, self.last_day = [], day

    def _wait(self, number: int, total: int) -> None:
        """Let a part of the run's time pass, and report."""
        until = time.monotonic() + seconds(self._settings, "slow") / total
        while not self._stop:
            now = time.monotonic()
            if now >= self._next_write:
                self._results.write(self._results.running(self.portfolio))
                self._next_write = time.monotonic() + float(self._settings["rewrite_every"])
            if now >= self._next_packets:
                self._messaging.progress(number / total, self._results.running(self.portfolio))
                self._next_packets = time.monotonic() + float(self._settings["stream_every"])
            if now >= until:
                break
            time.sleep(min(_TICK, until - now))

    def _ends(self, day: date, middle: date | None) -> bool:
        """Whether the run ends on this day before its time."""
        if self._stop:
            self._log.trace(CANCELLED)
            self._log.error(f"AlgorithmManager.Run(): Algorithm state changed to Stopped at {day:%m/%d/%Y} 14:00:00")
            self.cancelled = True
            if day >= self._algorithm.start:
                self.portfolio.stop_at(day)
                self.last_day = day
            return True
        if day != middle:
            return False
        if "abort" in self._settings:
            raise AbortError(self._settings["abort"] or "something went wrong")
        if "runtime_error" in self._settings:
            self.failure = _runtime_error(self._algorithm, day, self._settings["runtime_error"])
        if "quit" in self._settings:
            self._log.error(f"AlgorithmManager.Run(): Algorithm state changed to Stopped at {day:%m/%d/%Y} 14:01:00")
        return self.failure is not None or "quit" in self._settings

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._stop = True


def _runtime_error(algorithm: Algorithm, day: date, text: str) -> Failure:
    """The error that a marker asks for: an exception in `on_data`."""
    words = text.split()
    line = int(words[1]) if words[:1] == ["line"] else 1
    message = " ".join(words[2:] if words[:1] == ["line"] else words) or "something went wrong"
    name = algorithm.file.name
    source = algorithm.file.read_text("utf-8", "replace").splitlines()
    code = source[line - 1].strip() if line <= len(source) else ""
    if name.endswith(".py"):
        stack = f"{message}\n  at on_data\n    {code}\n in {name}: line {line}\n"
    else:
        stack = f"{message} in Main.cs:line {line}"
    return Failure(f"{day} 11:00:00 Runtime Error: {stack}", stack)
