"""What a download did: counted from events while it runs, and from the data folder at its end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Literal

from attrs import Factory, define, field, frozen

from server.core.errors import BacktestServerError
from server.core.events import Event, EventCounts
from server.core.json import json_options
from server.data_download.availability import DayState
from server.data_download.findings import Doubt, Findings, OtherHolder
from server.data_download.plan import DownloadPlan
from server.lean.series import Resolution, Series

CORPORATE_ACTIONS = "corporate_actions"
"""The phase of events about factor and map files, whose requests a report counts separately."""


@frozen(kw_only=True)
class Failure:
    """Days of one series that are neither on disk nor known to be empty, and why.

    Attributes:
        error: The text of the error.
        code, allows_fallback, unreachable: As in `BacktestServerError`.
    """

    series: Series = field(metadata=json_options(inline={"symbol": "ticker", "resolution": "resolution"}))
    days: tuple[date, ...]
    error: str
    code: str = field(default="data_download", metadata=json_options(omit=True))
    allows_fallback: bool = field(default=False, metadata=json_options(omit=True))
    unreachable: bool = field(default=False, metadata=json_options(omit=True))

    @property
    def symbol(self) -> str:
        """The ticker of the series."""
        return self.series.ticker


FileOutcome = Literal["written", "unchanged", "extended", "kept", "none"]
"""Result of building a factor or map file: written; already as it should be; later events were added to a file of
another program; an existing file was kept, since another program wrote it or what it needs could not be had; not
built."""


@frozen(kw_only=True)
class CorporateFiles:
    """Result of building a symbol's factor and map files."""

    symbol: str
    factor_file: FileOutcome = "none"
    map_file: FileOutcome = "none"
    notices: tuple[str, ...] = ()


@frozen(kw_only=True)
class DownloadReport:
    """What one download did.

    Attributes:
        days_requested: Symbol-days; the sum of those present, downloaded, empty and failed.
        duration_s: The download itself, without the loading of modules and without `corporate_actions`.
        corporate_actions: An entry for each symbol whose splits, dividends and tickers were requested.
        corporate_api_calls: The requests sent for those; they are not in `api_calls`.
        other_holders: Earlier holders of the tickers, whose bars are within the range.
        doubts: What may be wrong about the symbols within the range.
        data_folder: Where the files are; None in reports of earlier versions.
        cut_at: The last day that is counted, where the range was cut since later days are not settled.
    """

    provider: str
    resolution: Resolution
    symbols: tuple[str, ...]
    start: date
    end: date
    days_requested: int
    days_present: int
    days_downloaded: int
    days_empty: int
    days_failed: int
    api_calls: int
    http_cache_hits: int
    retries: int
    bytes_fetched: int
    bars: int
    started_at: datetime
    finished_at: datetime
    duration_s: float = field(metadata=json_options(digits=6))
    failures: tuple[Failure, ...] = ()
    notices: tuple[str, ...] = ()
    fallback: str | None = None
    cancelled: bool = False
    corporate_actions: tuple[CorporateFiles, ...] = ()
    corporate_api_calls: int = 0
    other_holders: tuple[OtherHolder, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    data_folder: Path | None = None
    cut_at: date | None = field(default=None, metadata=json_options(omit=True))

    @property
    def complete(self) -> bool:
        """Whether every requested day is on disk or known to be empty."""
        return self.days_failed == 0 and not self.cancelled

    @property
    def never_reached_vendor(self) -> bool:
        """Whether the vendor could not be asked at all: a wrong key, or a vendor that cannot be reached."""
        return bool(self.failures) and all(failure.unreachable for failure in self.failures) and not self.cancelled


@define
class DownloadCounts(EventCounts):
    """The counts of a report; the requests for factor and map files are counted separately."""

    corporate_api_calls: int = 0

    def _add(self, event: Event) -> None:
        if event.phase == CORPORATE_ACTIONS:
            self.corporate_api_calls += event.api_calls
        else:
            super()._add(event)


@frozen(kw_only=True)
class GapResult:
    """The days of a gap after a download, as the data folder then had them.

    Attributes:
        present: Days that another run fetched meanwhile.
        failed: Days that are neither on disk nor known to be empty, each with its reason.
    """

    downloaded: frozenset[date] = frozenset()
    present: frozenset[date] = frozenset()
    empty: frozenset[date] = frozenset()
    failed: Mapping[date, BacktestServerError] = Factory(dict)


@frozen(kw_only=True)
class DownloadOutcome:
    """What executing a plan did.

    Attributes:
        results: One for each gap of the plan.
        fallback: The name of the fallback provider, if it was asked.
        loading_s: Seconds spent on loading modules when they were first needed.
    """

    results: Mapping[Series, GapResult]
    fallback: str | None = None
    loading_s: float = 0.0

    def failed_series(self) -> set[Series]:
        """The series of which some days failed."""
        return {series for series, result in self.results.items() if result.failed}


@frozen(kw_only=True)
class RunTimes:
    """When a download ran.

    Attributes:
        duration_s: Seconds from start to end, everything included.
        steps_s: Seconds of the steps that accompany the download.
    """

    started_at: datetime
    finished_at: datetime
    duration_s: float
    steps_s: float


def build_report(
    plan: DownloadPlan,
    outcome: DownloadOutcome,
    counts: DownloadCounts,
    times: RunTimes,
    *,
    provider: str,
    cancelled: bool,
    files: Sequence[CorporateFiles] = (),
    findings: Findings = Findings(),  # noqa: B008 - immutable
    data_folder: Path | None = None,
    cut_at: date | None = None,
) -> DownloadReport:
    """The report of a download.

    Args:
        plan: The plan.
        outcome: What executing the plan did.
        counts: The counts of the run.
        times: When the run took place.
        provider: The name of the provider.
        cancelled: Whether the run was asked to stop and something is missing for it.
        files: What the steps that accompany the download built.
        findings: What is known about the symbols besides their bars.
        data_folder: Where the files are.
        cut_at: The last day of a plan that was cut.
    """
    days = count_days(plan, outcome)
    request = plan.request
    return DownloadReport(
        provider=provider,
        resolution=request.resolution,
        symbols=request.symbols,
        start=request.start,
        end=request.end,
        days_requested=plan.days_requested,
        days_present=days["present"],
        days_downloaded=days["downloaded"],
        days_empty=days["empty"],
        days_failed=days["failed"],
        api_calls=counts.api_calls,
        http_cache_hits=counts.cache_hits,
        retries=counts.retries,
        bytes_fetched=counts.bytes,
        bars=counts.bars,
        started_at=times.started_at,
        finished_at=times.finished_at,
        duration_s=times.duration_s - times.steps_s - outcome.loading_s,
        failures=tuple(_failures(outcome)),
        notices=tuple(dict.fromkeys((*plan.notices, *counts.notices))),
        fallback=outcome.fallback,
        cancelled=cancelled,
        corporate_actions=tuple(files),
        corporate_api_calls=counts.corporate_api_calls,
        other_holders=findings.other_holders,
        doubts=findings.doubts,
        data_folder=data_folder,
        cut_at=cut_at,
    )


def count_days(plan: DownloadPlan, outcome: DownloadOutcome) -> Counter[str]:
    """Count the symbol-days of a plan as present, downloaded, empty and failed."""
    counts: Counter[str] = Counter()
    for symbol, parts in plan.series.items():
        states = plan.states[symbol]
        for part in parts:
            result = outcome.results.get(part.series, GapResult())
            groups = {
                "downloaded": result.downloaded,
                "present": result.present,
                "empty": result.empty,
                "failed": result.failed.keys(),
            }
            days = set(part.days)
            for name, group in groups.items():
                counts[name] += len(days & group)
                days -= group
            counts.update("empty" if states[day] is DayState.EMPTY else "present" for day in days)
    return counts


def _failures(outcome: DownloadOutcome) -> list[Failure]:
    """The failed days, grouped by series and reason."""
    failures = []
    for series, result in outcome.results.items():
        groups: defaultdict[tuple[str, str, bool, bool], list[date]] = defaultdict(list)
        for day, error in sorted(result.failed.items()):
            groups[str(error), error.code, error.allows_fallback, error.unreachable].append(day)
        failures += [
            Failure(
                series=series,
                days=tuple(days),
                error=text,
                code=code,
                allows_fallback=allows_fallback,
                unreachable=unreachable,
            )
            for (text, code, allows_fallback, unreachable), days in groups.items()
        ]
    return failures
