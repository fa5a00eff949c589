"""From a plan to files: under locks, from the provider, and from the fallback what the provider could not deliver."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, Cancelled
from server.core.events import Event, EventStream
from server.data_download.availability import Gap
from server.data_download.data_folder import DataFolder
from server.data_download.errors import DownloadError
from server.data_download.hosted_provider import HostedProvider
from server.data_download.opened_providers import OpenedProviders
from server.data_download.plan import DownloadPlan
from server.data_download.report import DownloadOutcome, GapResult
from server.lean.series import Series
from server.trading_calendar import USEquityTradingCalendar

if TYPE_CHECKING:
    from server.data_download.sink import Deliveries

_MOST_LOCKS = 64
"""Series fetched under one set of locks; each lock is an open file."""

_FILES_PER_LOCK = 8
"""Of the files that the process may open, one in this many may be a lock."""

_LOCK_POLL_SECONDS = 0.1


@frozen(kw_only=True)
class Execution:
    """Executes plans of one download.

    Attributes:
        providers: The provider, and the fallback if there is one.
        opened: Opens them.
        events: A stream whose scope names the provider and the resolution.
    """

    folder: DataFolder
    calendar: USEquityTradingCalendar
    clock: Callable[[], datetime]
    providers: Sequence[HostedProvider]
    opened: OpenedProviders
    events: EventStream
    cancel: CancelToken

    def execute(self, plan: DownloadPlan) -> DownloadOutcome:
        """Fetch the gaps of a plan. Failures of single days are in the outcome; nothing is raised for them."""
        from server.data_download.sink import Deliveries

        secrets = [secret for hosted in self.providers for secret in hosted.secrets]
        run = _Run(Deliveries(secrets=secrets), refresh=plan.request.refresh)
        self._fetch_pending(plan, run)
        results = {gap.series: self._result(gap, run) for gap in plan.gaps}
        used = run.used[1:]
        return DownloadOutcome(results=results, fallback=used[0] if used else None, loading_s=self.opened.loading_s)

    def refuse(self, plan: DownloadPlan, error: BacktestServerError) -> DownloadOutcome:
        """The outcome of a plan that is not executed, since the provider cannot fetch at all."""
        from server.data_download.sink import Deliveries

        run = _Run(Deliveries())
        for gap in plan.gaps:
            run.deliveries.fail(gap.series, gap.days, error)
        return DownloadOutcome(results={gap.series: self._result(gap, run) for gap in plan.gaps})

    # --- locks ---

    def _fetch_pending(self, plan: DownloadPlan, run: _Run) -> None:
        """Fetch gaps as their locks are free. What another run holds is polled for, with no lock held meanwhile."""
        pending = {gap.series: gap for gap in plan.gaps}
        by_day = bool(pending) and self._works_by_day()
        waited = False
        while pending and not self.cancel.cancelled:
            with self._locked(list(pending), by_day) as mine:
                if mine:
                    self._fetch_locked([pending[series] for series in mine], run)
            for series in mine:
                del pending[series]
            if pending and not mine:
                if not waited:
                    names = ", ".join(series.ticker for series in pending)
                    self.events.emit(Event(kind="wait", message=f"another run is fetching {names}; waiting for it"))
                    waited = True
                self.cancel.wait(_LOCK_POLL_SECONDS)

    @contextmanager
    def _locked(self, pending: Sequence[Series], by_day: bool) -> Iterator[Sequence[Series]]:
        """Hold the locks of some pending series, or the one lock of all for a provider that works by day."""
        if by_day:
            with self.folder.locks.take_market(pending) as free:
                yield pending if free else []
        else:
            with self.folder.locks.take(pending, most_locks()) as mine:
                yield mine

    def _works_by_day(self) -> bool:
        try:
            return self.opened.get(self.providers[0]).capabilities.order == "day"
        except BacktestServerError:  # reported when the provider is asked for its gaps
            return False

    # --- fetching ---

    def _fetch_locked(self, gaps: Sequence[Gap], run: _Run) -> None:
        """Fetch gaps whose locks are held: another run may have filled them meanwhile, so they are narrowed first."""
        missing = self._still_missing(gaps, run)
        for position, hosted in enumerate(self.providers):
            if position > 0:
                missing = run.for_fallback(missing)
            if not missing or self.cancel.cancelled:
                return
            if position > 0:
                self._notify_fallback(hosted, missing, run)
            if hosted.name not in run.used:
                run.used.append(hosted.name)
            for gap in missing:
                self.events.emit(Event(kind="symbol", provider=hosted.name, series=gap.series, days=len(gap.days)))
            try:
                self._ask(hosted, missing, run)
            except BacktestServerError as error:
                run.fail_rest(missing, error, replace=position > 0)
            if position + 1 < len(self.providers):
                missing = self._still_missing(missing, run)

    def _ask(self, hosted: HostedProvider, gaps: Sequence[Gap], run: _Run) -> None:
        found = self.opened.get(hosted)
        able = [gap for gap in gaps if found.capabilities.include(gap.series)]
        for gap in gaps:
            if gap not in able:
                run.deliveries.fail(gap.series, gap.days, hosted.unable(found.capabilities, gap.series))
        if not able:
            return
        from server.data_download.sink import HostSink

        sink = HostSink(
            provider=hosted.name,
            folder=self.folder,
            calendar=self.calendar,
            clock=self.clock,
            cancel=self.cancel,
            events=self.events.scoped(provider=hosted.name, resolution=None),
            deliveries=run.deliveries,
            wanted={gap.series: frozenset(gap.days) for gap in able},
        )
        try:
            with hosted.isolated("fetching"):
                found.provider.fetch(able, sink)
        finally:
            sink.close()

    def _still_missing(self, gaps: Sequence[Gap], run: _Run) -> list[Gap]:
        """The gaps without the days that are no longer missing; of a refresh, without those that were requested."""
        if run.refresh:
            return [left for gap in gaps if (left := gap.narrowed(set(gap.days) - run.responded(gap.series)))]
        missing = []
        for gap in gaps:
            found = self.folder.catalog.missing(gap.series, gap.days, self.clock())
            if found:
                missing.append(evolve(found, refresh=found.refresh | gap.refresh.intersection(found.days)))
        return missing

    def _notify_fallback(self, hosted: HostedProvider, gaps: Sequence[Gap], run: _Run) -> None:
        days = sum(len(gap.days) for gap in gaps)
        why = run.deliveries.reasons[gaps[0].series][gaps[0].days[0]]
        message = f"{self.providers[0].name} failed ({why}); {days} symbol-days go to the fallback {hosted.name}"
        self.events.emit(Event(kind="notice", message=message))

    # --- afterwards ---

    def _result(self, gap: Gap, run: _Run) -> GapResult:
        """The days of a gap as the data folder has them now."""
        state, _ = self.folder.catalog.scan(gap.series, gap.days)
        through = self.calendar.settled_through(self.clock())
        days = frozenset(gap.days)
        there = frozenset(day for day in days & state.on_disk if not (day in state.provisional and day <= through))
        downloaded = there & run.deliveries.delivered[gap.series]
        if run.refresh:  # days on disk that could not be requested again have failed; their files are as they were
            there &= run.responded(gap.series)
        empty = (days - state.on_disk - state.damaged) & state.empty.keys()
        reasons = run.deliveries.reasons[gap.series]
        written = run.deliveries.delivered[gap.series]
        failed = {
            day: reasons.get(day) or self._unexplained(gap.series, run, was_written=day in written)
            for day in days - there - empty
        }
        return GapResult(downloaded=downloaded, present=there - downloaded, empty=frozenset(empty), failed=failed)

    def _unexplained(self, series: Series, run: _Run, *, was_written: bool) -> BacktestServerError:
        if was_written:
            return DownloadError(
                f"{series}: the files of these days were written to {self.folder.path} and are gone or changed since; "
                "see what removes or changes files there, and run again",
                series=series,
            )
        if self.cancel.cancelled:
            return Cancelled("the run was stopped before this was fetched; run it again to go on")
        return DownloadError(
            f"{series}: the provider {run.used[-1] if run.used else self.providers[0].name} ended without delivering "
            "these days; run with --debug and report it to the provider's authors",
            series=series,
        )


@define
class _Run:
    """What one execution did so far.

    Attributes:
        refresh: Whether days on disk are requested again.
        used: The names of the providers that were asked, in order.
    """

    deliveries: Deliveries
    refresh: bool = False
    used: list[str] = field(factory=list)

    def responded(self, series: Series) -> set[date]:
        """The days of a series that were delivered, or of which the provider has no bars."""
        return self.deliveries.delivered[series] | self.deliveries.kept[series]

    def for_fallback(self, gaps: Sequence[Gap]) -> list[Gap]:
        """The days of gaps that failed for a reason which another provider may not have."""
        narrowed = []
        for gap in gaps:
            reasons = self.deliveries.reasons[gap.series]
            narrowed.append(gap.narrowed(day for day in gap.days if day in reasons and reasons[day].allows_fallback))
        return [gap for gap in narrowed if gap]

    def fail_rest(self, gaps: Sequence[Gap], error: BacktestServerError, *, replace: bool) -> None:
        """Record an error that ended a provider's work for the days of gaps; `replace` earlier reasons or keep them."""
        for gap in gaps:
            reasons = self.deliveries.reasons[gap.series]
            self.deliveries.fail(gap.series, [day for day in gap.days if replace or day not in reasons], error)


def most_locks() -> int:
    """How many series may be locked at once: well below the number of files that the process may open."""
    try:
        import resource
    except ImportError:  # Windows
        return _MOST_LOCKS
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(_MOST_LOCKS, max(1, limit // _FILES_PER_LOCK)) if limit > 0 else _MOST_LOCKS
