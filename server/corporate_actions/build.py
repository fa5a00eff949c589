"""Builds the factor and map files of several symbols: the loop, and its policy for builds that the user requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Protocol, TypeVar

from attrs import Factory, define, evolve, frozen

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, Cancelled, ConfigurationError
from server.core.events import Event, EventCounts, EventStream
from server.corporate_actions.context import PHASE, CorporateActionsContext
from server.corporate_actions.events import tickers_of
from server.corporate_actions.existing_file import ExistingFile
from server.corporate_actions.model import Renames
from server.corporate_actions.paths import factor_file_path, map_file_path
from server.corporate_actions.service import BuildOutcome
from server.data_download.days_on_disk import days_on_disk
from server.data_download.report import CorporateFiles
from server.lean.factor_file import parse_factor_file
from server.lean.layout import EQUITY_USA
from server.lean.map_file import parse_map_file

_CONCURRENT_SYMBOLS = 5
"""Symbols that are built at once; the number of requests in flight is limited by the provider."""

_Result = TypeVar("_Result")


class BuildPolicy(Protocol):
    """What is due, and what a result means. Methods are called in the order of the symbols unless stated otherwise."""

    def compared(self, symbol: str) -> tuple[date, date] | None:
        """Return the first and last day whose closes are compared with the events; None for no days."""

    def is_due(self, symbol: str) -> bool:
        """Return whether a symbol still has to be built; called from several threads, under the symbol's lock."""

    def built(self, outcome: BuildOutcome) -> None:
        """Take the outcome of a symbol."""

    def failed(self, symbol: str, error: Exception) -> None:
        """Take the error of a symbol; an error that concerns all symbols is passed for each that was not built."""


def build_files(
    context: CorporateActionsContext,
    symbols: Mapping[str, date | None],
    policy: BuildPolicy,
    *,
    events: EventStream,
    cancel: CancelToken,
    refresh: bool = False,
    replace: bool = False,
    extend: bool = False,
    renames: dict[str, Renames] | None = None,
) -> None:
    """Build both files of symbols, several at once. After an error that concerns all symbols no other is begun.

    Args:
        context: What a build needs.
        symbols: In order, each with the first day of its factor file; None for the share's first day.
        policy: What is due, and what a failure does.
        events: Receives what happens.
        cancel: Stops the work when cancelled.
        refresh: Whether cached responses are ignored.
        replace: Whether foreign files are replaced.
        extend: Whether later events are added to foreign files.
        renames: Known ticker changes by symbol.

    Raises:
        BacktestServerError: The provider cannot send requests at all, for example without a key.
    """
    if not symbols:
        return
    context.check()
    shared_errors: list[Exception] = []

    def build(symbol: str) -> BuildOutcome | Exception | None:
        if shared_errors:
            return shared_errors[0]
        try:
            with context.locked(symbol, events, cancel):
                if not policy.is_due(symbol):
                    return None
                compared = policy.compared(symbol)
                outcome = service.build(symbol, symbols[symbol], compared)
                context.record(
                    symbol,
                    compared=compared,
                    since=symbols[symbol],
                    made=outcome.files.factor_file != "none",
                    findings=outcome.findings,
                )
                return outcome
        except Exception as error:
            if not (isinstance(error, BacktestServerError) and error.concerns_one_symbol):
                shared_errors.append(error)
            return error

    with context.opened(events, cancel, refresh=refresh, replace=replace, extend=extend, renames=renames) as service:
        for symbol, result in zip(symbols, map_after_first(build, list(symbols)), strict=True):
            if isinstance(result, Exception):
                policy.failed(symbol, result)
            elif result is not None:
                policy.built(result)


def map_after_first(function: Callable[[str], _Result], symbols: Sequence[str]) -> Iterator[_Result]:
    """Yield the results in order, computed by several threads, but the first alone: it may fail for all symbols."""
    from concurrent.futures import ThreadPoolExecutor

    if symbols:
        yield function(symbols[0])
    if len(symbols) > 1:
        with ThreadPoolExecutor(_CONCURRENT_SYMBOLS, thread_name_prefix="corporate-actions") as pool:
            yield from pool.map(function, symbols[1:])


def zip_notice(root: Path, files: Sequence[CorporateFiles]) -> str | None:
    """Return a notice if files were written and the folder also has a zip that LEAN may read instead of them.

    Source: LEAN, ``LocalZipMapFileProvider`` and ``LocalZipFactorFileProvider``.

    Args:
        root: LEAN's data folder.
        files: The results of the builds.
    """
    if not any("written" in (each.factor_file, each.map_file) for each in files):
        return None
    usa = root / EQUITY_USA
    zips = [*usa.glob("factor_files/factor_files_*.zip"), *usa.glob("map_files/map_files_*.zip")]
    if not zips:
        return None
    return (
        f"if LEAN is configured with LocalZipMapFileProvider or LocalZipFactorFileProvider, it reads {max(zips)} and "
        "ignores the csv files; configure the disk providers in lean.json"
    )


# --- on request ---


@frozen(kw_only=True)
class BuildRequest:
    """What the user wants to be built.

    Attributes:
        since: The first day of the factor files; None for each share's first day.
        refresh: Send requests again although they were sent today, and ignore cached responses.
        replace: Also replace files that another program wrote.
        extend: Add later events to files that another program wrote.
    """

    symbols: tuple[str, ...]
    since: date | None = None
    refresh: bool = False
    replace: bool = False
    extend: bool = False


@define
class BuildResult(EventCounts):
    """Result of a `BuildRequest`, and the counts of its events."""

    outcomes: list[BuildOutcome] = Factory(list)
    failures: dict[str, BacktestServerError] = Factory(dict)
    cancelled: bool = False

    @property
    def never_reached_vendor(self) -> bool:
        """Whether no request was answered: a wrong key, or a vendor that is not reachable."""
        return bool(self.failures) and all(error.unreachable for error in self.failures.values())


@frozen(kw_only=True)
class PlannedBuild:
    """What a build would do for a symbol, as far as it is known without a request.

    Attributes:
        tickers: Their splits and dividends would be requested; the share may turn out to have more.
        done_today: No request would be sent.
        factor_file, map_file: The existing files.
    """

    symbol: str
    tickers: tuple[str, ...]
    done_today: bool
    factor_file: ExistingFile[Any]
    map_file: ExistingFile[Any]


@frozen(kw_only=True)
class _RequestPolicy:
    """Builds every symbol, and collects results and errors."""

    context: CorporateActionsContext
    result: BuildResult
    events: EventStream

    def compared(self, symbol: str) -> tuple[date, date] | None:
        days = days_on_disk(self.context.folder.path, symbol)
        check = self.context.folder.ledger.corporate_checks([symbol]).get(symbol)
        if check and check.provider == self.context.provider:
            days |= {day for day in (check.asked_from, check.asked_through) if day is not None}
        return (min(days), min(max(days), self.context.last_settled())) if days else None

    def is_due(self, symbol: str) -> bool:
        return True

    def built(self, outcome: BuildOutcome) -> None:
        files = outcome.files
        findings = outcome.findings.accepting(self.context.accepted)
        self.result.outcomes.append(evolve(outcome, findings=findings))
        message = f"{files.symbol}: factor file {files.factor_file}, map file {files.map_file}"
        self.events.emit(Event(kind="notice", phase=PHASE, symbol=files.symbol, message=message, transient=True))

    def failed(self, symbol: str, error: Exception) -> None:
        if isinstance(error, Cancelled):
            self.result.cancelled = True
        elif isinstance(error, BacktestServerError):
            self.result.failures[symbol] = error
        else:
            raise error


def plan_builds(context: CorporateActionsContext, request: BuildRequest) -> list[PlannedBuild]:
    """Return what building would do for each symbol. Sends nothing, needs no key."""
    return [_plan(context, request, symbol) for symbol in request.symbols]


def build_on_request(
    context: CorporateActionsContext, request: BuildRequest, *, events: EventStream, cancel: CancelToken
) -> BuildResult:
    """Build the files of each symbol that was not built today.

    Raises:
        ConfigurationError: The first day is not over, or requests cannot be sent.
        BacktestServerError: The provider cannot send requests at all, for example without a key.
    """
    last = context.last_settled()
    if request.since is not None and request.since > last:
        raise ConfigurationError(f"--since {request.since} is after {last}, the last session whose close is known")
    plans = plan_builds(context, request)
    result = BuildResult(outcomes=[_unchanged(plan.symbol) for plan in plans if plan.done_today])
    events = events.with_listeners(result).scoped(provider=context.provider)
    build_files(
        context,
        {plan.symbol: request.since for plan in plans if not plan.done_today},
        _RequestPolicy(context=context, result=result, events=events),
        events=events,
        cancel=cancel,
        refresh=request.refresh,
        replace=request.replace,
        extend=request.extend,
    )
    notice = zip_notice(context.folder.path, [outcome.files for outcome in result.outcomes])
    result.notices += [notice] if notice else []
    return result


def _plan(context: CorporateActionsContext, request: BuildRequest, symbol: str) -> PlannedBuild:
    root = context.folder.path
    factor_file = ExistingFile.load(context.folder, factor_file_path(root, symbol), parse_factor_file)
    map_file = ExistingFile.load(context.folder, map_file_path(root, symbol), parse_map_file)
    check = context.folder.ledger.corporate_checks([symbol]).get(symbol)
    done = (
        check is not None
        and not request.refresh
        and (check.provider, check.since, check.trouble, check.made) == (context.provider, request.since, "", True)
        and context.is_today(check.checked_at)
        and factor_file.ours
        and map_file.ours
    )
    tickers = tuple(tickers_of(symbol, map_file.rows or ()))
    return PlannedBuild(symbol=symbol, tickers=tickers, done_today=done, factor_file=factor_file, map_file=map_file)


def _unchanged(symbol: str) -> BuildOutcome:
    notice = f"{symbol} was built today already; --refresh requests everything again"
    files = CorporateFiles(symbol=symbol, factor_file="unchanged", map_file="unchanged", notices=(notice,))
    return BuildOutcome(files=files)
