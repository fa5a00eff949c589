"""The files that LEAN requests for an algorithm, in about its order, and what became of each request."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.stand_in_lean import bars
from tests.support.stand_in_lean.algorithm import BARS_PER_DAY, Algorithm, Span
from tests.support.stand_in_lean.days import TradingDays
from tests.support.stand_in_lean.reference_files import RATES

if TYPE_CHECKING:
    from tests.support.stand_in_lean.log import Log

PER_DAY = ("second", "minute")
NOT_LOGGED = ("equity/usa/fundamental/", "alternative/")
_CORRUPT = (
    "ZipDataCacheProvider.Fetch(): Corrupt zip file/entry: {}# Error: Ionic.Zip.ZipException: Cannot read that as a "
    "ZipFile\n ---> Ionic.Zip.BadReadException: Could not read block - no data!  (position 0x00000000)\n"
    "   at Ionic.Zip.SharedUtilities._ReadFourBytes(Stream s, String message)\n"
    "   --- End of inner exception stack trace ---\n   at Ionic.Zip.ZipFile.Read(Stream zipStream)"
)


class DataMonitor:
    """Opens files of the data folder and lists the requests (LEAN: ``DataMonitor``)."""

    def __init__(self, data: Path, shown: str, results: Path, stamp: str, log: Log, *, list_succeeded: bool) -> None:
        self.data, self.shown, self.log = data, shown.rstrip("/"), log
        self.results, self.stamp = results, stamp
        self.failed: list[str] = []
        self.succeeded: list[str] = []
        self._list_succeeded = list_succeeded
        self._write()  # the lists are empty until the end

    def open(self, path: str) -> Path | None:
        """Request a file; None where it does not exist."""
        found = self.data / path
        if found.is_file():
            self.succeeded.append(path)
            return found
        self.failed.append(path)
        if not path.startswith(NOT_LOGGED):
            self._not_found(path)
        return None

    def day_close(self, path: str) -> bars.Close | None:
        """The close of a file of one day."""
        found = self.open(path)
        try:
            return bars.day_close(found) if found else None
        except (bars.CorruptZipError, bars.EmptyMemberError) as error:
            self._unreadable(path, error)
            return None

    def closes(self, path: str) -> dict[date, bars.Close]:
        """The closes of a file of hours or days."""
        found = self.open(path)
        try:
            return bars.closes(found) if found else {}
        except (bars.CorruptZipError, bars.EmptyMemberError) as error:
            self._unreadable(path, error)
            return {}

    def finish(self) -> dict[str, int]:
        """Write the lists and the counts; returns the counts by LEAN's names in its log."""
        self._write()
        universe = [[path for path in paths if "/fundamental/" in path] for paths in (self.succeeded, self.failed)]
        good, bad, good_universe, bad_universe = map(len, (self.succeeded, self.failed, *universe))
        report = {
            "succeeded-data-requests-count": good,
            "failed-data-requests-count": bad,
            "succeeded-universe-data-requests-count": good_universe,
            "failed-universe-data-requests-count": bad_universe,
            "total-data-requests-count": good + bad,
            "failed-data-requests-percentage": _percent(bad, good),
            "total-universe-data-requests-count": good_universe + bad_universe,
            "failed-universe-data-requests-percentage": _percent(bad_universe, good_universe),
            "data-request-rates": [],
        }
        text = json.dumps(report, separators=(",", ":"))
        (self.results / f"data-monitor-report-{self.stamp}.json").write_text(text)
        return {
            "Total data requests": good + bad,
            "Succeeded data requests": good,
            "Failed data requests": bad,
            "Total universe data requests": good_universe + bad_universe,
            "Succeeded universe data requests": good_universe,
            "Failed universe data requests": bad_universe,
        }

    def _write(self) -> None:
        lists = {"failed": self.failed} | ({"succeeded": self.succeeded} if self._list_succeeded else {})
        for kind, paths in lists.items():
            text = "".join(f"/{path}\n" for path in paths)
            (self.results / f"{kind}-data-requests-{self.stamp}.txt").write_text(text)

    def _not_found(self, path: str) -> None:
        self.log.error(f"SubscriptionDataSourceReader.InvalidSource(): File not found: {self.shown}/{path}")

    def _unreadable(self, path: str, error: Exception) -> None:
        if isinstance(error, bars.CorruptZipError):
            self.log.error(_CORRUPT.format(f"{self.shown}/{path}"))
        self._not_found(path)


class Plan:
    """The requests of an algorithm, by when LEAN makes them.

    Attributes:
        first: Before the first bar.
        files: Files of hours or days of the algorithm's shares, by ticker.
        days: The trading days, from the start of the warm-up.
    """

    def __init__(self, algorithm: Algorithm, calendar: TradingDays, data: Path) -> None:
        self.algorithm, self.calendar, self.data = algorithm, calendar, data
        first = start_of(algorithm.warm_up, algorithm.start, calendar)
        self.days = calendar.between(first, algorithm.end)
        self.first = [path for history in algorithm.histories for path in self._history(history)]
        per_day = [one for one in algorithm.securities if one.resolution in PER_DAY]
        self.first += [self.file(one.ticker, one.resolution, day, "quote") for one in per_day for day in self.days]
        self.files = {
            one.ticker: f"equity/usa/{one.resolution}/{self.ticker(one.ticker, self.days[-1])}.zip"
            for one in algorithm.securities
            if one.resolution not in PER_DAY and self.days
        }
        self.benchmark = f"equity/usa/hour/{algorithm.benchmark.lower()}.zip" if algorithm.benchmark else None
        self.last = "equity/usa/daily/spy.zip"
        self.rates = RATES

    def trades(self, day: date) -> dict[str, str]:
        """The files of trades of a day, by ticker."""
        found = [one for one in self.algorithm.securities if one.resolution in PER_DAY]
        return {one.ticker: self.file(one.ticker, one.resolution, day, "trade") for one in found}

    def universes(self, day: date) -> list[tuple[date, str]]:
        """The universe files that are offered on a day: that of the trading day before it."""
        if not self.algorithm.selectors:
            return []
        before = self.calendar.before(day, 1)[0]
        days = [before, day] if day == self.days[-1] else [before]
        return [(one, f"equity/usa/fundamental/coarse/{one:%Y%m%d}.csv") for one in days]

    def chosen(self, tickers: Iterable[str], day: date) -> list[str]:
        """The files that the choice of a universe adds on a day."""
        resolution = self.algorithm.universe_resolution
        if resolution in PER_DAY:
            return [self.file(one, resolution, day, kind) for one in tickers for kind in ("quote", "trade")]
        return [f"equity/usa/{resolution}/{self.ticker(one, day)}.zip" for one in tickers]

    def file(self, ticker: str, resolution: str, day: date, kind: str) -> str:
        """A file of one day."""
        return f"equity/usa/{resolution}/{self.ticker(ticker, day)}/{day:%Y%m%d}_{kind}.zip"

    def ticker(self, ticker: str, day: date) -> str:
        """The ticker of a day: that of the map file's first row not before it (LEAN: ``MapFile.GetMappedSymbol``)."""
        path = self.data / "equity/usa/map_files" / f"{ticker.lower()}.csv"
        rows = [line.split(",") for line in path.read_text().split()] if path.is_file() else []
        return next((row[1].lower() for row in rows if row[0] >= f"{day:%Y%m%d}"), ticker.lower())

    def _history(self, history: tuple) -> list[str]:
        tickers, resolution, back, first, last = history
        end = last or self.algorithm.start
        begin = first or start_of(back, end, self.calendar)
        if resolution not in PER_DAY:
            return [f"equity/usa/{resolution}/{self.ticker(ticker, end)}.zip" for ticker in tickers]
        days = self.calendar.between(begin, end)
        return [self.file(one, resolution, day, kind) for one in tickers for day in days for kind in ("quote", "trade")]


def start_of(back: Span | None, end: date, calendar: TradingDays) -> date:
    """The first day of a span that ends at the midnight before a day."""
    if back is None:
        return end
    if back.time is not None:
        return end - timedelta(back.time.days + (1 if back.time.seconds else 0))
    days = -(-(back.bars or 0) // BARS_PER_DAY.get(back.resolution, 390))
    return calendar.before(end, days)[0] if days else end


def _percent(bad: int, good: int) -> float:
    return float(round(100 * bad / (bad + good))) if bad + good else 0.0
