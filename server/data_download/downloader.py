"""A download from request to report: plan, execute, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date, datetime

from attrs import define, frozen

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError
from server.core.events import Event, EventStream
from server.data_download.availability import Gap
from server.data_download.data_folder import DataFolder
from server.data_download.execute import Execution
from server.data_download.findings import Findings, joined
from server.data_download.hosted_provider import HostedProvider
from server.data_download.opened_providers import OpenedProviders
from server.data_download.plan import DownloadPlan, make_plan, plan_repair
from server.data_download.report import (
    CorporateFiles,
    DownloadCounts,
    DownloadOutcome,
    DownloadReport,
    RunTimes,
    build_report,
)
from server.data_download.request import DownloadRequest
from server.data_download.steps import DownloadStep
from server.data_download.tickers import TickerLookup, same_ticker
from server.data_download.unsettled import cut_unsettled
from server.trading_calendar import USEquityTradingCalendar


@frozen(kw_only=True)
class DataDownloader:
    """Downloads the missing trading days of requests.

    Attributes:
        provider: Where missing days come from.
        fallback: Where they come from if the provider fails with an error that another provider may not have.
        clock: The instant now, in UTC.
        events: Receives an event for everything that happens; the last one of a download carries its report.
        tickers: Under which ticker a symbol's days are requested and stored.
        steps: What accompanies each download.
        notify_kinds: Whether a notice names files that hold daily bars of several kinds after a download into them.
    """

    folder: DataFolder
    calendar: USEquityTradingCalendar
    clock: Callable[[], datetime]
    provider: HostedProvider
    events: EventStream
    fallback: HostedProvider | None = None
    tickers: TickerLookup = same_ticker
    steps: Sequence[DownloadStep] = ()
    notify_kinds: bool = False

    def plan(self, request: DownloadRequest, cancel: CancelToken | None = None) -> DownloadPlan:
        """Find what is missing. Writes nothing into the data folder, sends nothing.

        Raises:
            ConfigurationError: The range is outside the calendar or wholly in the future.
            Cancelled: It was cancelled.
        """
        return make_plan(request, self.folder.catalog, self.tickers, self.clock(), cancel)

    def download(self, request: DownloadRequest, cancel: CancelToken | None = None) -> DownloadReport:
        """Download the missing trading days of a request.

        Failures of single days are in the report; only what makes the whole request senseless is raised. Days that are
        not settled and cannot be had yet are cut off, with a notice.

        Raises:
            ConfigurationError, Cancelled: As for `plan`.
        """
        run = self._begin(cancel, request)
        with run.opened:
            plan = self.plan(request, run.cancel)
            refusal = self._refusal(plan, run)
            if plan.gaps and not refusal and self._steps_before(plan, run) and not run.cancel.cancelled:
                plan = self.plan(request)
            outcome = self._execute(plan, refusal, run)
        cut = cut_unsettled(plan, outcome, self.calendar.settled_through(run.started_at))
        if cut is None:
            return self._finish(plan, outcome, run, self.steps)
        run.events.emit(Event(kind="notice", resolution=request.resolution, message=cut.notice))
        return self._finish(cut.plan, cut.outcome, run, self.steps, cut.last_day)

    def repair(
        self, request: DownloadRequest, gaps: Sequence[Gap], cancel: CancelToken | None = None
    ) -> DownloadReport:
        """Fetch exactly these days again, whatever else of the request is missing, and without a cache."""
        run = self._begin(cancel, request)
        plan = plan_repair(request, gaps)
        with run.opened:
            outcome = self._execute(plan, self._refusal(plan, run), run)
        return self._finish(plan, outcome, run, ())

    # --- the parts of a download ---

    def _begin(self, cancel: CancelToken | None, request: DownloadRequest) -> _Run:
        counts = DownloadCounts()
        events = self.events.with_listeners(counts).scoped(provider=self.provider.name)
        cancel = cancel or CancelToken()
        opened = OpenedProviders(cancel, events.scoped(resolution=request.resolution))
        return _Run(cancel, counts, events, opened, self.clock(), time.perf_counter())

    def _steps_before(self, plan: DownloadPlan, run: _Run) -> bool:
        symbols = plan.symbols_of({gap.series for gap in plan.gaps})
        with run.timed_steps():
            return any([step.before(symbols, plan.request, run.events, run.cancel) for step in self.steps])

    def _finish(
        self,
        plan: DownloadPlan,
        outcome: DownloadOutcome,
        run: _Run,
        steps: Sequence[DownloadStep],
        cut_at: date | None = None,
    ) -> DownloadReport:
        cancelled = run.cancel.cancelled and bool(outcome.failed_series())
        if self.notify_kinds:
            self._notify_kinds(outcome, run)
        files: list[CorporateFiles] = []
        findings = Findings()
        if not run.cancel.cancelled:
            failed = outcome.failed_series()
            incomplete = plan.symbols_of(failed)
            symbols = [symbol for symbol in plan.request.symbols if symbol not in incomplete]
            with run.timed_steps():
                for step in steps:
                    files += step.after(symbols, plan.request, run.events, run.cancel)
                findings = joined([step.findings(plan.request) for step in steps])
            for sentence in findings.sentences:
                run.events.emit(Event(kind="notice", message=sentence))
            cancelled = bool(steps) and run.cancel.cancelled  # all bars are there, but not what accompanies them
        times = RunTimes(
            started_at=run.started_at,
            finished_at=self.clock(),
            duration_s=time.perf_counter() - run.started,
            steps_s=run.steps_s,
        )
        report = build_report(
            plan,
            outcome,
            run.counts,
            times,
            provider=self.provider.name,
            cancelled=cancelled,
            files=files,
            findings=findings,
            data_folder=self.folder.path,
            cut_at=cut_at,
        )
        run.events.emit(
            Event(
                kind="finished",
                resolution=plan.request.resolution,
                days=report.days_downloaded + report.days_empty,
                report=report,
            )
        )
        return report

    def _notify_kinds(self, outcome: DownloadOutcome, run: _Run) -> None:
        from server.data_download.daily_kinds import read_kinds

        for series, result in outcome.results.items():
            kinds = read_kinds(self.folder, series) if result.downloaded else None
            if kinds is not None and kinds.notice:
                run.events.emit(Event(kind="notice", symbol=series.ticker, message=kinds.notice))

    def _execute(self, plan: DownloadPlan, refusal: BacktestServerError | None, run: _Run) -> DownloadOutcome:
        events = run.events.scoped(resolution=plan.request.resolution)
        execution = Execution(
            folder=self.folder,
            calendar=self.calendar,
            clock=self.clock,
            providers=[self.provider, *([self.fallback] if self.fallback else [])],
            opened=run.opened,
            events=events,
            cancel=run.cancel,
        )
        if refusal:  # before anything is written, even a lock
            return execution.refuse(plan, refusal)
        for notice in plan.notices:
            events.emit(Event(kind="notice", message=notice))
        if not plan.gaps:
            return DownloadOutcome(results={})
        missing = plan.days_missing
        events.emit(Event(kind="started", days=missing, days_present=plan.days_requested - missing))
        return execution.execute(plan)

    def _refusal(self, plan: DownloadPlan, run: _Run) -> BacktestServerError | None:
        """Why the provider cannot fetch any of the gaps, unless the fallback may still. Sends nothing."""
        if not plan.gaps:
            return None
        try:
            self.provider.check()
            run.opened.get(self.provider).check_delivers([gap.series for gap in plan.gaps])
        except BacktestServerError as error:
            return None if error.allows_fallback and self.fallback else error
        return None


@define
class _Run:
    """One download while it runs; `started` is by `time.perf_counter`."""

    cancel: CancelToken
    counts: DownloadCounts
    events: EventStream
    opened: OpenedProviders
    started_at: datetime
    started: float
    steps_s: float = 0.0

    def timed_steps(self) -> _Timer:
        """A context that adds its time to that of the steps."""
        return _Timer(self)


@define
class _Timer:
    run: _Run
    began: float = 0.0

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.run.steps_s += time.perf_counter() - self.began
