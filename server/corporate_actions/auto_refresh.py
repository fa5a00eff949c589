"""Builds factor and map files alongside a download of bars: at most once a day for each symbol.

Events have coverage by day, like bars: it is recorded for which range they were asked and compared with the closes, and
when. A range that was asked five or more sessions after its end is settled; it is not asked again. If nothing is due,
nothing is loaded and no request is sent. No failure here fails the download.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, Cancelled, WriteFailedError
from server.core.events import Event, EventStream
from server.core.text import list_text
from server.corporate_actions.context import PHASE, CorporateActionsContext
from server.corporate_actions.model import Renames
from server.corporate_actions.paths import digest_of_files, factor_file_path, map_file_path, recorded_findings
from server.data_download.findings import Findings, joined
from server.data_download.ledger import CorporateCheck
from server.data_download.report import CorporateFiles
from server.data_download.request import DownloadRequest

if TYPE_CHECKING:
    from server.corporate_actions.service import BuildOutcome

RETRY_AFTER = timedelta(hours=1)
"""A failed check is not repeated automatically before this time has passed."""

_NAMES_SHOWN = 5


@frozen(kw_only=True)
class AutoRefresh:
    """Builds the files of the symbols of a download (a `DownloadStep`)."""

    context: CorporateActionsContext
    _renames: dict[str, Renames] = field(factory=dict, init=False)

    def before(
        self, symbols: Sequence[str], request: DownloadRequest, events: EventStream, cancel: CancelToken
    ) -> bool:
        """Build the map files of renamed shares that have none; everything else is built after the download."""
        due = [
            symbol
            for symbol, check in self._unchecked(symbols, request)
            if (request.refresh or not self._failed_recently(check)) and not self._map_file(symbol).exists()
        ]
        with suppress(Exception):  # any source may be installed; `after` reports what still fails
            if due:
                self.context.check()
                self._build_maps(due, events, cancel, refresh=request.refresh)
        return any(self._map_file(symbol).exists() for symbol in due)

    def after(
        self, symbols: Sequence[str], request: DownloadRequest, events: EventStream, cancel: CancelToken
    ) -> tuple[CorporateFiles, ...]:
        """Build the files of the symbols that have to be checked."""
        unchecked = dict(self._unchecked(symbols, request))
        if not unchecked:
            return ()
        failed = {
            symbol: check.trouble
            for symbol, check in unchecked.items()
            if check and self._failed_recently(check) and not request.refresh
        }
        due = {symbol: check.since if check else None for symbol, check in unchecked.items() if symbol not in failed}
        policy = _RefreshPolicy(refresh=self, request=request, due=due, failures=failed)
        try:
            self._build(due, policy, events, cancel)
        except Exception as error:  # no key, say, or a source that cannot be opened
            failed.update({symbol: _reason(error) for symbol in due if symbol not in policy.finished})
        self._report(policy.outcomes, failed, events)
        return (*policy.outcomes, *(self._kept_files(symbol, reason) for symbol, reason in failed.items()))

    def _build_maps(self, symbols: Sequence[str], events: EventStream, cancel: CancelToken, *, refresh: bool) -> None:
        from server.corporate_actions.build import map_after_first

        def build(symbol: str) -> None:
            try:
                if service.was_renamed(symbol):
                    with self.context.locked(symbol, events, cancel):
                        service.build_map(symbol)
            except BacktestServerError as error:
                if not error.concerns_one_symbol:
                    raise

        with self.context.opened(events, cancel, refresh=refresh, renames=self._renames) as service:
            for _ in map_after_first(build, symbols):
                pass

    def _build(
        self, due: Mapping[str, date | None], policy: _RefreshPolicy, events: EventStream, cancel: CancelToken
    ) -> None:
        if not due:
            return
        from server.corporate_actions.build import build_files, zip_notice

        refresh = policy.request.refresh
        build_files(self.context, due, policy, events=events, cancel=cancel, refresh=refresh, renames=self._renames)
        notice = zip_notice(self.context.folder.path, policy.outcomes)
        if notice:
            first = policy.outcomes[0]
            policy.outcomes[0] = evolve(first, notices=(*first.notices, notice))

    def findings(self, request: DownloadRequest) -> Findings:
        """Return what the checks of the symbols found on the days of a request."""
        checks = self.context.folder.ledger.corporate_checks(request.symbols)
        root = self.context.folder.path
        found = joined([recorded_findings(root, symbol, check) for symbol, check in checks.items()])
        return found.within(request.start, request.end).accepting(self.context.accepted)

    # --- what is due ---

    def compared(self, symbol: str, request: DownloadRequest) -> tuple[date, date]:
        """Return the range whose closes are compared with the events: the request's and what was compared before."""
        first, last = self._range(request)
        check = self.context.folder.ledger.corporate_checks([symbol]).get(symbol)
        if check and check.provider == self.context.provider and check.asked_from and check.asked_through:
            return min(first, check.asked_from), max(last, check.asked_through)
        return first, last

    def _range(self, request: DownloadRequest) -> tuple[date, date]:
        """The days of a request up to the last settled session."""
        return request.start, max(request.start, min(request.end, self.context.last_settled()))

    def is_due(self, symbol: str, request: DownloadRequest) -> bool:
        """Return whether the ledger has no successful check that covers the request."""
        return not self._is_checked(symbol, self.context.folder.ledger.corporate_checks([symbol]).get(symbol), request)

    def _unchecked(
        self, symbols: Sequence[str], request: DownloadRequest
    ) -> Iterator[tuple[str, CorporateCheck | None]]:
        """The symbols that have to be checked, each with its last check."""
        checks = self.context.folder.ledger.corporate_checks(symbols)
        for symbol in symbols:
            check = checks.get(symbol)
            if not self._is_checked(symbol, check, request):
                yield symbol, check

    def _is_checked(self, symbol: str, check: CorporateCheck | None, request: DownloadRequest) -> bool:
        first, last = self._range(request)
        return (
            check is not None
            and not request.refresh
            and check.provider == self.context.provider
            and check.compared(first, last)
            and self.context.is_past(check.checked_at)
            and (self.context.is_settled(last, check.checked_at) or self.context.is_today(check.checked_at))
            and (not check.files or check.files == digest_of_files(self.context.folder.path, symbol))
            and (not check.made or (self._factor_file(symbol).exists() and self._map_file(symbol).exists()))
        )

    def _failed_recently(self, check: CorporateCheck | None) -> bool:
        return (
            check is not None
            and check.provider == self.context.provider
            and bool(check.trouble)
            and self.context.is_recent(check.failed_at, RETRY_AFTER)
        )

    def _factor_file(self, symbol: str) -> Path:
        return factor_file_path(self.context.folder.path, symbol)

    def _map_file(self, symbol: str) -> Path:
        return map_file_path(self.context.folder.path, symbol)

    # --- reporting ---

    def _kept_files(self, symbol: str, reason: str) -> CorporateFiles:
        """The entry of a symbol whose files could not be built; existing files are kept."""
        return CorporateFiles(
            symbol=symbol,
            factor_file="kept" if self._factor_file(symbol).exists() else "none",
            map_file="kept" if self._map_file(symbol).exists() else "none",
            notices=(reason,),
        )

    def _report(self, built: Sequence[CorporateFiles], failed: Mapping[str, str], events: EventStream) -> None:
        """Emit what was written, and one notice for all symbols that lack a factor file for one reason."""
        for files in built:
            for event in _events_of(files):
                events.emit(event)
        without_factor_file: dict[str, list[str]] = {}
        for symbol, reason in failed.items():
            if not self._factor_file(symbol).exists():
                without_factor_file.setdefault(reason, []).append(symbol)
        for reason, symbols in without_factor_file.items():
            events.emit(Event(kind="notice", message=_missing_notice(symbols, reason)))


@frozen(kw_only=True)
class _RefreshPolicy:
    """Builds what is still due, and records failures so that they are not repeated at once (a `BuildPolicy`).

    Attributes:
        due: The symbols, each with the first day of its factor file.
        outcomes: What was built.
        failures: The reason for each symbol that was not built.
        finished: Symbols that were built, failed, or were built by another process.
    """

    refresh: AutoRefresh
    request: DownloadRequest
    due: Mapping[str, date | None]
    failures: dict[str, str]
    outcomes: list[CorporateFiles] = field(factory=list)
    finished: set[str] = field(factory=set)

    def compared(self, symbol: str) -> tuple[date, date]:
        return self.refresh.compared(symbol, self.request)

    def is_due(self, symbol: str) -> bool:
        if self.refresh.is_due(symbol, self.request):
            return True
        self.finished.add(symbol)
        return False

    def built(self, outcome: BuildOutcome) -> None:
        files = outcome.files
        self.finished.add(files.symbol)
        since = self.due[files.symbol]
        if since is not None and self.request.start < since:
            notice = (
                f"the factor file of {files.symbol} was built with --since {since}, so LEAN reads nothing before that "
                f"day; backtest-server factor-files {files.symbol} builds all of it"
            )
            files = evolve(files, notices=(*files.notices, notice))
        self.outcomes.append(files)

    def failed(self, symbol: str, error: Exception) -> None:
        self.finished.add(symbol)
        if isinstance(error, Cancelled):
            return
        self.failures[symbol] = _reason(error)
        if isinstance(error, BacktestServerError) and not isinstance(error, WriteFailedError):  # may pass at once
            with suppress(BacktestServerError):  # the ledger cannot be written either
                self.refresh.context.record(symbol, compared=None, since=self.due[symbol], trouble=str(error))


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, BacktestServerError) else f"unexpected: {type(error).__name__}: {error}"


def _events_of(files: CorporateFiles) -> Iterator[Event]:
    kinds = (("factor file", files.factor_file), ("map file", files.map_file))
    written = [kind for kind, outcome in kinds if outcome == "written"]
    if written:
        message = f"{files.symbol}: wrote its {' and its '.join(written)}"
        yield Event(kind="notice", phase=PHASE, symbol=files.symbol, message=message, transient=True)
    if files.factor_file != "kept":
        for notice in files.notices:
            yield Event(kind="notice", symbol=files.symbol, message=notice)


def _missing_notice(symbols: Sequence[str], reason: str) -> str:
    names = list_text(symbols, _NAMES_SHOWN)
    verb, pronoun = ("has", "its") if len(symbols) == 1 else ("have", "their")
    return (
        f"{names} {verb} no factor file, so LEAN does not adjust {pronoun} prices for splits and dividends: {reason}. "
        f"When that is solved: backtest-server factor-files {' '.join(symbols[:_NAMES_SHOWN])}; "
        "or set corporate-actions to off"
    )
