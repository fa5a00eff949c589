"""From a request to a report: look, lock, look again, fetch, look once more."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from pathlib import Path

from attrs import evolve, field, frozen

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, Cancelled, ConfigurationError
from server.core.events import ProgressListener, no_progress
from server.data_download.availability import DayState, Holdings, find_gap
from server.data_download.companion import Companion, Part, Tickers, parts_of, same_ticker
from server.data_download.data_folder import DamagedFile, DataFolder
from server.data_download.fetch import Fetch
from server.data_download.model import (
    CorporateFiles,
    DownloadReport,
    DownloadRequest,
    Failure,
    Gap,
)
from server.data_download.provider import NamedProvider
from server.data_download.tally import Tally
from server.lean.series import Resolution
from server.trading_calendar import DayOutOfBounds, USEquityTradingCalendar


@frozen(kw_only=True)
class Look:
    """What a look at the data folder found for a request.

    Attributes:
        days: The trading days asked for, ascending.
        states: For each symbol the state of each of these days.
        parts: For each symbol its days by ticker: a share may have had several (see `Tickers`).
        gaps: What to fetch, by ticker.
        notices: What people should know: a range that was cut, damaged files.
    """

    days: tuple[date, ...]
    states: dict[str, dict[date, DayState]]
    parts: dict[str, list[Part]]
    gaps: tuple[Gap, ...]
    damaged: tuple[DamagedFile, ...]
    notices: tuple[str, ...]


@frozen(kw_only=True)
class DataDownloader:
    """Makes the trading days of a request be on disk, or known to be empty.

    Attributes:
        provider: Where missing days come from.
        fallback: Where they come from if the provider fails with an error that another could survive.
        clock: The instant now, in UTC.
        on_finished: Called with the report of each download.
        tickers: Under which ticker a symbol's days are asked for and filed.
        companion: What goes along with each download; None for bars alone.
    """

    folder: DataFolder
    calendar: USEquityTradingCalendar
    clock: Callable[[], datetime]
    provider: NamedProvider
    fallback: NamedProvider | None = None
    listener: ProgressListener = no_progress
    on_finished: Callable[[DownloadReport], object] = field(default=lambda report: None)
    tickers: Tickers = same_ticker
    companion: Companion | None = None

    def look(self, request: DownloadRequest, cancel: CancelToken | None = None) -> Look:
        """See what is there and what is missing. Opens nothing, sends nothing.

        Raises:
            ConfigurationError: The range lies outside the calendar or wholly in the future.
            Cancelled: It was cancelled.
        """
        now = self.clock()
        days, notices = trading_days(request.start, request.end, self.calendar, now)
        states: dict[str, dict[date, DayState]] = {}
        parts: dict[str, list[Part]] = {}
        gaps: dict[str, Gap] = {}
        damaged: dict[Path, DamagedFile] = {}
        for symbol in request.symbols:
            if cancel and cancel.cancelled:
                raise Cancelled("stopped while looking at what is there; nothing was fetched")
            ranges, notice = self.tickers(symbol, request.start, request.end)
            notices += [notice] if notice else []
            states[symbol], parts[symbol] = {}, []
            for part in parts_of(ranges, days):
                holdings, files = self.folder.holdings(part.ticker, request.resolution, part.days)
                damaged.update((file.path, file) for file in files)
                wanted: Sequence[date] = part.days
                if holdings.damaged and request.resolution is Resolution.DAILY:
                    wanted = [day for day in self._with_damaged(wanted, holdings, now) if day not in states[symbol]]
                states[symbol] |= states_of(holdings, wanted)
                parts[symbol].append(Part(part.ticker, tuple(wanted)))
                gap = find_gap(wanted, holdings, now, self.calendar)
                if gap:
                    gaps[part.ticker] = _joined(gaps.get(part.ticker), gap)
        notices += [f"{file.path} is damaged, its days count as missing: {file.reason}" for file in damaged.values()]
        return Look(
            days=tuple(days),
            states={
                symbol: found if len(parts[symbol]) < 2 else dict(sorted(found.items()))
                for symbol, found in states.items()
            },
            parts=parts,
            gaps=tuple(gaps.values()),
            damaged=tuple(damaged.values()),
            notices=tuple(notices),
        )

    def _with_damaged(self, days: Sequence[date], holdings: Holdings, now: datetime) -> list[date]:
        """The days, and the sessions that a damaged daily zip held; what was saved of it may name others too."""
        sessions = self.calendar.trading_days(self.calendar.first_day, self.calendar.last_session(now))
        return sorted({*days, *(holdings.damaged & set(sessions))})

    def download(self, request: DownloadRequest, cancel: CancelToken | None = None) -> DownloadReport:
        """Fetch what is missing.

        Failures of single days stand in the report; only what makes the whole request senseless is raised.

        Raises:
            ConfigurationError: As for `look`.
        """
        started_at, started = self.clock(), time.perf_counter()
        cancel = cancel or CancelToken()
        look = self.look(request, cancel)
        return self._fill(request, look, cancel, started_at, started, self.companion)

    def repair(
        self, request: DownloadRequest, gaps: Sequence[Gap], cancel: CancelToken | None = None
    ) -> DownloadReport:
        """Fetch these very days, whatever else of the request's range is missing or was kept of earlier answers."""
        gaps = [evolve(gap, refresh=frozenset(gap.days)) for gap in gaps]
        look = Look(
            days=tuple(sorted({day for gap in gaps for day in gap.days})),
            states={gap.symbol: dict.fromkeys(gap.days, DayState.DAMAGED) for gap in gaps},
            parts={gap.symbol: [Part(gap.symbol, gap.days)] for gap in gaps},
            gaps=tuple(gaps),
            damaged=(),
            notices=(),
        )
        return self._fill(request, look, cancel or CancelToken(), self.clock(), time.perf_counter(), None)

    def _fill(
        self,
        request: DownloadRequest,
        look: Look,
        cancel: CancelToken,
        started_at: datetime,
        started: float,
        companion: Companion | None,
    ) -> DownloadReport:
        fetch = Fetch(
            folder=self.folder,
            calendar=self.calendar,
            clock=self.clock,
            providers=[self.provider, *([self.fallback] if self.fallback else [])],
            listener=self.listener,
            resolution=request.resolution,
            cancel=cancel,
            tally=Tally(notices=list(look.notices)),
        )
        refusal = self._refusal() if look.gaps else None
        if companion and look.gaps and not refusal:
            lacking = {gap.symbol for gap in look.gaps}
            symbols = [symbol for symbol in request.symbols if lacking & _tickers(look, symbol)]
            began = time.perf_counter()
            renamed = companion.before(symbols, request, fetch.count, cancel)
            fetch.tally.beside_s += time.perf_counter() - began
            if renamed and not cancel.cancelled:
                look = self.look(request)
                fetch.tally.notices[:] = list(dict.fromkeys((*look.notices, *fetch.tally.notices)))
        requested = sum(len(states) for states in look.states.values())
        if refusal:  # before anything is written, even a lock
            for gap in look.gaps:
                fetch.tally.reasons[gap.symbol].update(dict.fromkeys(gap.days, refusal))
        else:
            for notice in look.notices:
                fetch.tell("notice", message=notice)
        if look.gaps and not refusal:
            missing = sum(len(gap.days) for gap in look.gaps)
            fetch.tell("started", days=missing, days_present=requested - missing)
            fetch.run(look.gaps)
        counts, failures = self._account(look, fetch)
        made: tuple[CorporateFiles, ...] = ()
        stopped = False  # with all bars there, but not what goes along with them
        if companion and not cancel.cancelled:
            failed = {failure.symbol for failure in failures}
            symbols = [symbol for symbol in request.symbols if not failed & _tickers(look, symbol)]
            began = time.perf_counter()
            made = companion.after(symbols, request, fetch.count, cancel)
            fetch.tally.beside_s += time.perf_counter() - began
            stopped = cancel.cancelled
        tally = fetch.tally
        report = DownloadReport(
            provider=self.provider.name,
            resolution=request.resolution,
            symbols=request.symbols,
            start=request.start,
            end=request.end,
            days_requested=requested,
            days_present=counts["present"],
            days_downloaded=counts["downloaded"],
            days_empty=counts["empty"],
            days_failed=counts["failed"],
            api_calls=tally.api_calls,
            http_cache_hits=tally.cache_hits,
            retries=tally.retries,
            bytes_fetched=tally.bytes,
            bars=tally.bars,
            started_at=started_at,
            finished_at=self.clock(),
            duration_s=time.perf_counter() - started - tally.loading_s - tally.beside_s,
            failures=tuple(failures),
            notices=tuple(tally.notices),
            fallback=fetch.fallback_used,
            cancelled=cancel.cancelled and (counts["failed"] > 0 or stopped),
            corporate_actions=made,
            corporate_api_calls=tally.beside_calls,
        )
        fetch.tell("finished", days=counts["downloaded"] + counts["empty"])
        self.on_finished(report)
        return report

    def _refusal(self) -> BacktestServerError | None:
        """Why the provider cannot fetch at all, unless the fallback could still."""
        try:
            self.provider.check()
        except BacktestServerError as error:
            return None if error.allows_fallback and self.fallback else error
        return None

    def _account(self, look: Look, fetch: Fetch) -> tuple[Counter[str], list[Failure]]:
        """Count the days by what became of them, as the data folder has it now."""
        counts: Counter[str] = Counter()
        wanted = {gap.symbol: set(gap.days) for gap in look.gaps}
        outcomes = {gap.symbol: fetch.outcomes(gap) for gap in look.gaps}
        for symbol, parts in look.parts.items():
            states = look.states[symbol]
            for part in parts:
                days, missing = set(part.days), wanted.get(part.ticker, set())
                for outcome, found in outcomes[part.ticker].items() if missing else ():
                    counts[outcome] += len(days & missing & found)
                counts.update("empty" if states[day] is DayState.EMPTY else "present" for day in days - missing)
        failures: list[Failure] = []
        for gap in look.gaps:
            failures += fetch.failures(gap, sorted(outcomes[gap.symbol]["failed"]))
        return counts, failures


def trading_days(
    start: date, end: date, calendar: USEquityTradingCalendar, now: datetime
) -> tuple[list[date], list[str]]:
    """The sessions of a range that can have bars by now, and what people should know about it.

    Raises:
        ConfigurationError: The range begins before the calendar or after the last session.
    """
    last = calendar.last_session(now)
    notices = []
    if start > last:
        raise ConfigurationError(
            f"the range {start} to {end} lies wholly in the future: the last session so far is {last}"
        )
    if end > last:
        if calendar.trading_days(min(last, calendar.last_day), min(end, calendar.last_day)) != [last]:
            notices.append(f"the range is cut at {last}, the last session so far")
        end = last
    try:
        days = calendar.trading_days(start, end)
    except DayOutOfBounds as error:
        raise ConfigurationError(str(error)) from error
    if not days:
        notices.append(f"there is no trading day from {start} to {end}")
    return days, notices


def _tickers(look: Look, symbol: str) -> set[str]:
    return {part.ticker for part in look.parts[symbol]}


def _joined(one: Gap | None, other: Gap) -> Gap:
    """Two gaps of one ticker as one: it may be asked for by its own name, and as what another symbol was called."""
    if one is None:
        return other
    return evolve(one, days=tuple(sorted({*one.days, *other.days})), refresh=one.refresh | other.refresh)


def states_of(holdings: Holdings, days: Iterable[date]) -> dict[date, DayState]:
    """The state of each of these days."""
    return {day: holdings.state(day) for day in days}
