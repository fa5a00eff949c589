"""Builds the factor file and map file of a symbol: requests, computes, compares with existing files, writes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date

from attrs import field, frozen

from server.corporate_actions.closes import DailyBars
from server.corporate_actions.events import current_ticker, events_until
from server.corporate_actions.existing_file import Differences, ExistingFile, factor_differences, map_differences
from server.corporate_actions.extension import (
    extended_map_rows,
    is_own_factor_file,
    is_own_map_file,
    known_through,
    later_changes,
    later_events,
)
from server.corporate_actions.factor_computation import FactorComputation
from server.corporate_actions.findings import doubts_about_closes
from server.corporate_actions.identity import included_holders, is_same_holder
from server.corporate_actions.model import CorporateActionSource, Events, Renames
from server.corporate_actions.paths import factor_file_path, map_file_path
from server.corporate_actions.price_check import CheckedEvents, check_events
from server.corporate_actions.rows import FactorFileError
from server.corporate_actions.share import Share, ShareReader
from server.data_download.data_folder import DataFolder
from server.data_download.findings import Doubt, Findings
from server.data_download.report import CorporateFiles, FileOutcome
from server.lean.factor_file import FactorRow, parse_factor_file, render_factor_file
from server.lean.map_file import MapRow, parse_map_file, render_map_file
from server.trading_calendar import USEquityTradingCalendar


@frozen(kw_only=True)
class BuildOutcome:
    """Result of building a symbol's factor and map files.

    Attributes:
        files: The part that reports contain.
        events: The share's splits and dividends, including those that adjust nothing.
        first_day: The first row's date of the factor file; None if none was computed.
        findings: Other holders of the ticker, doubts, and events that an existing file lacks.
        factor_differences: How an existing factor file of another program differs from the built one.
        map_differences: Likewise for the map file.
    """

    files: CorporateFiles
    events: Events = field(factory=Events)
    first_day: date | None = None
    findings: Findings = field(factory=Findings)
    factor_differences: Differences = field(factory=Differences)
    map_differences: Differences = field(factory=Differences)


@frozen(kw_only=True)
class CorporateActions:
    """Builds the files of one symbol at a time. The caller holds the symbol's lock.

    Attributes:
        last_day: The newest settled session.
        replace: Also replace files that another program wrote.
        extend: Add later events to files that another program wrote.
        renames: Ticker changes by symbol, as the source listed them; each list is requested once.
    """

    folder: DataFolder
    calendar: USEquityTradingCalendar
    source: CorporateActionSource
    bars: DailyBars
    last_day: date
    replace: bool = False
    extend: bool = False
    renames: dict[str, Renames] = field(factory=dict)

    def was_renamed(self, symbol: str) -> bool:
        """Return whether the vendor lists earlier tickers of the share.

        Raises:
            BacktestServerError: The list could not be requested.
        """
        changes = self._renames(symbol).changes
        return len(changes) > 1 and changes[-1].ticker == symbol

    def build_map(self, symbol: str) -> BuildOutcome:
        """Build the map file only, so that days can be requested under their tickers.

        Raises:
            BacktestServerError: Something that it needs is not available; nothing was written.
        """
        share = self._reader().tickers(symbol, self._renames(symbol))
        existing = self._existing_map(symbol, share.rows)
        outcome = existing.replace_with(render_map_file(share.rows), self.folder, symbol, replace_foreign=self.replace)
        return BuildOutcome(files=CorporateFiles(symbol=symbol, map_file=outcome))

    def build(self, symbol: str, since: date | None = None, compared: tuple[date, date] | None = None) -> BuildOutcome:
        """Build both files.

        Args:
            symbol: The symbol.
            since: The first day of the factor file; None for the share's first day.
            compared: The first and last day whose closes are compared with the events; None for no days.

        Raises:
            FactorFileError: A close that is needed is missing, or does not fit; nothing was written.
            BacktestServerError: Something else that they need is not available; nothing was written.
        """
        current = current_ticker(symbol, self._renames(symbol))
        if current is not None and not self._has_another_holder(symbol, current):
            return _not_built(
                symbol,
                f"{symbol} is now {current}, whose files cover the days of {symbol}; use {current} instead "
                f"(backtest-server factor-files {current})",
            )
        foreign = self._existing_map(symbol, ())
        kept = foreign.rows if foreign.is_foreign and not (self.replace or self.extend) else None
        with ThreadPoolExecutor(1, thread_name_prefix="corporate-events") as pool:
            requested = pool.submit(self.source.events, symbol)
            days = self._compared_days(compared)
            share = self._reader().read(symbol, self._renames(symbol), requested.result, days, kept)
        if share.listing is None and not (share.events.splits or share.events.dividends) and not share.has_bars:
            notice = f"nothing is known about {symbol}, and it has no bars; no files are built for it"
            return _not_built(symbol, *share.notices, notice)
        return self._write(symbol, share, since)

    def _write(self, symbol: str, share: Share, since: date | None) -> BuildOutcome:
        checked = check_events(symbol, share.events, share.closes, self.calendar)
        map_file = self._existing_map(symbol, share.rows)
        used = self._used_rows(map_file, share.rows)
        factor_file, rows, notices = self._factors(symbol, share, used, checked.events, since)
        if self.extend and factor_file.is_foreign and factor_file.rows:
            rows = self._computation.extended(symbol, factor_file.rows, used, checked.events, since)
        map_outcome = self._put_map(symbol, map_file, share.rows)
        factor_outcome = self._put_factors(symbol, factor_file, rows)
        notices = [*share.notices, *_details_notice(symbol, share), *checked.notices, *notices]
        notices += map_file.notices(symbol, "map", map_outcome)
        notices += factor_file.notices(symbol, "factor", factor_outcome)
        kept = factor_outcome == "kept", map_outcome == "kept"
        begins = [used[0].date, *(row.date for row in ((factor_file.rows if kept[0] else rows) or ())[:1])]
        later = (
            later_events(symbol, factor_file.rows, checked.events, self.calendar, last_day=self.last_day)
            if (kept[0] and factor_file.rows)
            else []
        )
        later += later_changes(symbol, map_file.rows, share.rows) if kept[1] and map_file.rows else []
        return BuildOutcome(
            files=CorporateFiles(
                symbol=symbol,
                factor_file=factor_outcome,
                map_file=map_outcome,
                notices=tuple(dict.fromkeys(notices)),
            ),
            events=checked.events,
            first_day=rows[0].date if rows else None,
            findings=Findings(
                other_holders=share.other_holders,
                doubts=(
                    *share.doubts,
                    *self._doubts(symbol, share, checked, factor_file.rows if kept[0] else None),
                    *included_holders(symbol, share.other_holders, share.rows[0].date, begins),
                ),
                later_events=tuple(later),
            ),
            factor_differences=factor_differences(rows, factor_file.rows or ()) if kept[0] and rows else Differences(),
            map_differences=map_differences(share.rows, map_file.rows or ()) if kept[1] else Differences(),
        )

    def _doubts(
        self, symbol: str, share: Share, checked: CheckedEvents, kept: list[FactorRow] | None
    ) -> Sequence[Doubt]:
        """The doubts, without changes of the close that a kept file of another program explains, such as spin-offs."""
        if not kept:
            return checked.doubts
        found = doubts_about_closes(symbol, kept, share.closes, self.calendar)
        days = {doubt.day for doubt in found if doubt.kind != "large_dividend"}
        return [doubt for doubt in checked.doubts if doubt.kind != "price_change" or doubt.day in days]

    # --- the share ---

    def _has_another_holder(self, symbol: str, current: str) -> bool:
        """Whether another share trades under a ticker whose list of changes is still that of the share before it."""
        now, renamed = self.source.listing(symbol), None
        if now is not None and now.active and now.figi:
            renamed = self.source.listing(current)
        return now is not None and renamed is not None and is_same_holder(renamed, now, paused=False) is False

    def _renames(self, symbol: str) -> Renames:
        if symbol not in self.renames:
            self.renames[symbol] = self.source.renames(symbol)
        return self.renames[symbol]

    def _reader(self) -> ShareReader:
        return ShareReader(calendar=self.calendar, source=self.source, bars=self.bars, last_day=self.last_day)

    def _compared_days(self, compared: tuple[date, date] | None) -> Sequence[date]:
        """The sessions of a range up to the last settled one; none for None."""
        if compared is None:
            return ()
        first, last = max(compared[0], self.calendar.first_day), min(compared[1], self.last_day)
        return self.calendar.trading_days(first, last) if first <= last else ()

    # --- the factor file ---

    @property
    def _computation(self) -> FactorComputation:
        return FactorComputation(calendar=self.calendar, bars=self.bars, last_day=self.last_day)

    def _factors(
        self, symbol: str, share: Share, used: list[MapRow], events: Events, since: date | None
    ) -> tuple[ExistingFile[FactorRow], list[FactorRow], list[str]]:
        """The existing factor file, the rows to write, and notices; no rows if a foreign file is kept without them."""
        existing = ExistingFile.load(self.folder, factor_file_path(self.folder.path, symbol), parse_factor_file)
        first_day = max(used[0].date, share.rows[0].date) if share.other_holders else used[0].date
        if existing.is_foreign and existing.rows:
            known = self._known_events(events, existing.rows)  # a close that only later ones need may be missing
            with suppress(FactorFileError):
                same, _ = self._computation.rows(symbol, used, known, existing.rows[0].date)
                existing = existing.recognized(is_own_factor_file(existing.content or b"", existing.rows, same))
        try:
            rows, notices = self._computation.rows(symbol, used, events, max(first_day, since) if since else first_day)
        except FactorFileError:
            if not existing.is_foreign or self.replace:
                raise
            return existing, [], []
        return existing, rows, notices

    def _known_events(self, events: Events, rows: Sequence[FactorRow]) -> Events:
        """The events up to the last one of an existing file."""
        through = max(known_through(rows), self.calendar.first_day)
        return events if through >= self.last_day else events_until(events, self.calendar.next_trading_day(through))

    def _put_factors(self, symbol: str, existing: ExistingFile[FactorRow], rows: list[FactorRow]) -> FileOutcome:
        if not rows:
            return "kept"
        if self.extend and existing.is_foreign and existing.rows:
            return existing.extend_to(rows, render_factor_file(rows), self.folder, symbol)
        return existing.replace_with(render_factor_file(rows), self.folder, symbol, replace_foreign=self.replace)

    # --- the map file ---

    def _existing_map(self, symbol: str, computed: Sequence[MapRow]) -> ExistingFile[MapRow]:
        found = ExistingFile.load(self.folder, map_file_path(self.folder.path, symbol), parse_map_file)
        if not computed or not found.rows:
            return found
        first_day = found.rows[0].date  # an own file begins later than today's if older bars were added since
        later = first_day > computed[0].date and self._traded_before(computed[0].ticker, first_day)
        return found.recognized(is_own_map_file(found.content or b"", computed, first_day if later else None))

    def _traded_before(self, ticker: str, day: date) -> bool:
        """Whether a ticker traded on the session before a day: it had no pause, and no other holder, there."""
        if not self.calendar.first_day < day <= self.calendar.last_day:  # such as the end of LEAN's files, 2050-12-31
            return False
        return self.calendar.previous_trading_day(day) in self.bars.days_on_disk(ticker)

    def _used_rows(self, existing: ExistingFile[MapRow], computed: list[MapRow]) -> list[MapRow]:
        """The rows that LEAN uses after the build: those of an existing file of another program, or the built ones."""
        if self.replace or not existing.is_foreign or not existing.rows:
            return computed
        return extended_map_rows(existing.rows, computed) if self.extend else existing.rows

    def _put_map(self, symbol: str, existing: ExistingFile[MapRow], rows: list[MapRow]) -> FileOutcome:
        if self.extend and existing.is_foreign and existing.rows:
            extended = self._used_rows(existing, rows)
            return existing.extend_to(extended, render_map_file(extended), self.folder, symbol)
        return existing.replace_with(render_map_file(rows), self.folder, symbol, replace_foreign=self.replace)


def _details_notice(symbol: str, share: Share) -> list[str]:
    if share.listing is not None:
        return []
    return [
        f"the vendor has no details of {symbol}: its map file has no exchange and no last day, and its files begin "
        "with its first bar"
    ]


def _not_built(symbol: str, *notices: str) -> BuildOutcome:
    return BuildOutcome(files=CorporateFiles(symbol=symbol, notices=notices))
