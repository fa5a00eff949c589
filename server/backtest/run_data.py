"""The data around a run of LEAN: its benchmark before it, and what LEAN requested and did not get after it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime

from attrs import Factory, define, evolve, frozen

from server.backtest.data_check import DataRequest, check_data
from server.backtest.data_faults import FindingKey, finding_key
from server.backtest.fill import (
    FetchedDays,
    days_of_holders,
    fetchable_days,
    fetched_days,
    lacking_days,
    lacking_file,
    opened_days,
    opened_series,
    plan_fill,
    reason_of_lack,
)
from server.core.cancel import CancelToken
from server.core.errors import Cancelled, ConfigurationError
from server.core.text import count_text
from server.corporate_actions.universe_consistency import make_universe_files_consistent
from server.data_download.availability import DayState
from server.data_download.data_findings import DataFinding
from server.data_download.data_folder import DataFolder
from server.data_download.downloader import DataDownloader
from server.data_download.feed_files import FolderFiles
from server.data_download.request import DownloadRequest
from server.data_download.tickers import same_ticker
from server.engines.missing_data import LACKS_DAYS, NO_BARS, MissingFile, trading_days
from server.engines.results import LeanRun
from server.engines.verdict import benchmark_reason
from server.lean.feed.share import MapFiles
from server.lean.series import NEW_YORK, Resolution, Series
from server.trading_calendar import USEquityTradingCalendar

BENCHMARK_RESOLUTIONS = (Resolution.HOUR, Resolution.DAILY)
"""The bars of a benchmark that LEAN reads: hours for statistics, days for its analysis."""

INTEREST_RATES = "alternative/interest-rate/usa/interest-rate.csv"

_PRESENT = (DayState.PRESENT, DayState.PROVISIONAL)


@frozen(kw_only=True)
class Benchmark:
    """The benchmark of a run and its range.

    Attributes:
        ticker: In capitals.
        first: The first day of the algorithm.
        last: Its last day.
    """

    ticker: str
    first: date
    last: date

    def request(self, resolution: Resolution) -> DownloadRequest:
        """Return the download of its bars."""
        return DownloadRequest(symbols=(self.ticker,), resolution=resolution, start=self.first, end=self.last)


@define(kw_only=True)
class RunData:
    """The data folder of a backtest, and the downloader that adds to it.

    Attributes:
        failures: Why days of a series could not be fetched, of the last attempt.
    """

    folder: DataFolder
    calendar: USEquityTradingCalendar
    clock: Callable[[], datetime]
    downloader: DataDownloader
    cancel: CancelToken
    failures: dict[Series, str] = Factory(dict)

    def fetch_benchmark(self, benchmark: Benchmark) -> None:
        """Fetch the hour and daily bars of a benchmark as far as they are missing."""
        for resolution in BENCHMARK_RESOLUTIONS:
            with suppress(ConfigurationError, ValueError):  # a range without sessions, or before the calendar
                self._download([benchmark.request(resolution)], self.downloader)

    def benchmark_gaps(self, benchmark: Benchmark | None) -> tuple[MissingFile, ...]:
        """Return the hour files of a benchmark that lack days of its range, whether LEAN opened them or not.

        With bars of a part of the range LEAN computes wrong statistics without a message (fact 11 of its recorded
        runs).
        """
        if benchmark is None:
            return ()
        try:
            plan = self.downloader.plan(benchmark.request(Resolution.HOUR), self.cancel)
        except (ConfigurationError, ValueError):
            return ()
        settled = self.calendar.settled_through(self.clock())
        states = plan.states[benchmark.ticker]
        found = []
        for part in plan.series[benchmark.ticker]:
            days = tuple(day for day in part.days if day <= settled and states[day] not in _PRESENT)
            found += [lacking_file(part.series, days, LACKS_DAYS)] if days else []
        return tuple(found)

    def benchmark_problem(self, benchmark: Benchmark | None) -> str | None:
        """Return why the statistics that use a benchmark are wrong; None where there are bars of its whole range."""
        gaps = self.benchmark_gaps(benchmark)
        if benchmark is None or not gaps:
            return None
        days = sum(len(file.days) for file in gaps)
        known = (self.failures.get(series) for series in fetchable_days(gaps, benchmark.last))
        reason = next((f": {text}" for text in known if text), "")
        lacks = f"lacks hour bars of {count_text(days, 'day')} from {benchmark.first} to {benchmark.last}"
        return benchmark_reason(benchmark.ticker, lacks) + reason

    def make_universe_consistent(self, first: date, last: date) -> tuple[str, ...]:
        """Make the universe files of a range consistent with map and factor files; returns a line for each change.

        Rows whose identifier does not follow from the map files are other shares to LEAN (fact 23 of its recorded
        runs).
        """
        return make_universe_files_consistent(self.folder, first, last, cancel=self.cancel)

    def lacking_files(self, run: LeanRun) -> tuple[MissingFile, ...]:
        """Return the hour and daily files that LEAN opened and that lack days of the algorithm's range.

        LEAN repeats the bar before them, up to the last day, without a failed request or a message (fact 12 of its
        recorded runs).
        """
        days = self._days_of(run)
        found = []
        maps = MapFiles(FolderFiles(self.folder.path))
        for series in opened_series(run.requests.succeeded_paths):
            states = self.folder.catalog.states(series, days)
            on_disk = {day for day, state in states.items() if state in _PRESENT}
            empty = {day for day, state in states.items() if state is DayState.EMPTY}
            if lacking_days(days, on_disk, empty):
                wanted = days_of_holders(maps.contents, series.ticker, days)
                lacking = lacking_days(wanted, on_disk, empty)
                if lacking:
                    found.append(lacking_file(series, lacking, reason_of_lack(lacking, on_disk, empty)))
        return tuple(found)

    def opened_damage(
        self, run: LeanRun, known: Collection[FindingKey] = (), *, reads_earlier: bool = False
    ) -> tuple[DataFinding, ...]:
        """Return the damage of files that LEAN opened and that was not found before the run.

        Args:
            run: The run.
            known: What was found before the run.
            reads_earlier: Whether the algorithm may read bars of days before its range, for a warm-up or a history.
        """
        days = self._days_of(run)
        wanted = opened_days(run.requests.succeeded_paths)
        in_one_file = opened_series(run.requests.succeeded_paths)
        wanted |= dict.fromkeys(in_one_file, tuple(days))
        opened = [
            DataRequest(symbols=(series.ticker,), resolution=series.resolution, days=tuple(mine))
            for series, mine in wanted.items()
            if mine
        ]
        if reads_earlier and days and days[0] > self.calendar.first_day:
            earlier = self.calendar.trading_days(self.calendar.first_day, self.calendar.previous_trading_day(days[0]))
            opened += [
                DataRequest(
                    symbols=(series.ticker,),
                    resolution=series.resolution,
                    days=tuple(earlier),
                    bars_only=True,
                )
                for series in in_one_file
            ]
        today = self.clock().astimezone(NEW_YORK).date()
        check = check_data(self.folder, opened, today=today, cancel=self.cancel)
        found = dict.fromkeys((*check.damage, *check.lost))
        return tuple(one for one in found if one.kind != "ends_early" and finding_key(one) not in known)

    def shares(self, run: LeanRun, symbols: Sequence[str]) -> tuple[str, ...]:
        """Return symbols, and the tickers of files that LEAN opened and that are not another ticker of one of them.

        Args:
            run: The run.
            symbols: Those of the request.
        """
        opened = (*opened_series(run.requests.succeeded_paths), *opened_days(run.requests.succeeded_paths))
        others = dict.fromkeys(series.ticker for series in opened if series.ticker not in symbols)
        if others and run.start and run.end:
            for symbol in symbols:
                spans, _ = self.downloader.tickers(symbol, run.start, run.end)
                for span in spans:
                    others.pop(span.ticker, None)
        return (*symbols, *others)

    def known_empty(self, missing: Iterable[MissingFile]) -> tuple[MissingFile, ...]:
        """Return those of missing files that do not exist because the provider has no bars of their days."""
        found = []
        for file in missing:
            for series, days in fetchable_days([file], self._last_session).items():
                states = self.folder.catalog.states(series, days)
                if all(state is DayState.EMPTY for state in states.values()):
                    found.append(evolve(file, reason=NO_BARS))
        return tuple(found)

    def fetch(self, missing: Sequence[MissingFile]) -> tuple[FetchedDays, ...]:
        """Fetch the trade bars of US equities among missing files.

        They are requested as a user requests them, with factor and map files; files of a ticker that another share has
        by now are requested under it.

        Returns:
            What is on disk now and was not before.
        """
        wanted = fetchable_days(missing, self._last_session)
        before = self._on_disk(wanted)
        self._download(plan_fill(missing, self._last_session), self.downloader)
        left = [file for file in missing if self._is_other_share(file)]
        exact = evolve(self.downloader, tickers=same_ticker, steps=())
        self._download(plan_fill(left, self._last_session), exact)
        return fetched_days(before, self._on_disk(wanted))

    def rate_notice(self, last: date | None) -> str | None:
        """Return a notice where the algorithm's range continues after the last line of LEAN's interest rates."""
        try:
            lines = (self.folder.path / INTEREST_RATES).read_text("utf-8", "replace").splitlines()
            known = max(date.fromisoformat(line[:10]) for line in lines if line[:4].isdigit())
        except (OSError, ValueError):
            return None
        if last is None or last <= known:
            return None
        return (
            f"LEAN's interest rates end on {known}; it uses the last one until {last}, for Sharpe Ratio, Sortino Ratio "
            "and Alpha"
        )

    def _days_of(self, run: LeanRun) -> Sequence[date]:
        """The trading days of an algorithm up to the last session."""
        return trading_days(run.start, min(run.end, self._last_session) if run.end else None, self.calendar)

    @property
    def _last_session(self) -> date:
        return self.calendar.last_session(self.clock())

    def _download(self, requests: Iterable[DownloadRequest], downloader: DataDownloader) -> None:
        for request in requests:
            report = downloader.download(request, self.cancel)
            self.failures |= {failure.series: failure.error for failure in report.failures}
            self._stop_if_cancelled()

    def _stop_if_cancelled(self) -> None:
        if self.cancel.cancelled:
            raise Cancelled("the backtest was stopped while data was fetched; run it again to go on")

    def _is_other_share(self, file: MissingFile) -> bool:
        """Whether the map files give a file's ticker to another share on its days, so that it was not requested."""
        for series, days in fetchable_days([file], self._last_session).items():
            spans, _ = self.downloader.tickers(series.ticker, days[0], days[-1])
            asked = {
                day for span in spans if span.ticker == series.ticker for day in days if span.first <= day <= span.last
            }
            if set(days) - asked:
                return True
        return False

    def _on_disk(self, wanted: dict[Series, tuple[date, ...]]) -> dict[Series, frozenset[date]]:
        """The days that are on disk with all their rows."""
        found = {}
        for series, days in wanted.items():
            checked = self.folder.catalog.check(series, days)
            lost = {day for one in checked.findings if one.kind == "rows_lost" for day in one.days}
            found[series] = frozenset(set(days) & (checked.on_disk - lost))
        return found
