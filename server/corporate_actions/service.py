"""Builds the factor file and map file of a symbol: requests, computes, compares with existing files, writes."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from attrs import field, frozen

from server.corporate_actions.closes import DailyBars, MissingBar
from server.corporate_actions.events import current_ticker, events_of_share, ticker_for, tickers_of
from server.corporate_actions.existing_file import Differences, ExistingFile, factor_differences, map_differences
from server.corporate_actions.model import CorporateActionSource, Events, Listing, Renames
from server.corporate_actions.paths import factor_file_path, map_file_path
from server.corporate_actions.renames import change_windows, plausible_renames
from server.corporate_actions.rows import FactorFileError, closes_needed, factor_rows, inception, map_rows
from server.data_download.data_folder import DataFolder
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
        factor_differences: How an existing factor file of another program differs from the built one.
        map_differences: Likewise for the map file.
    """

    files: CorporateFiles
    events: Events = field(factory=Events)
    first_day: date | None = None
    factor_differences: Differences = field(factory=Differences)
    map_differences: Differences = field(factory=Differences)


@frozen(kw_only=True)
class _Share:
    """What the source lists about a share, and the rows of its map file."""

    listing: Listing | None
    renames: Renames
    rows: list[MapRow]


@frozen(kw_only=True)
class CorporateActions:
    """Builds the files of one symbol at a time. The caller holds the symbol's lock.

    Attributes:
        last_day: The newest settled session.
        replace: Also replace files that another program wrote.
        renames: Ticker changes by symbol, as the source listed them; each list is requested once.
    """

    folder: DataFolder
    calendar: USEquityTradingCalendar
    source: CorporateActionSource
    bars: DailyBars
    last_day: date
    replace: bool = False
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
        share = self._share(symbol)
        outcome = self._put_map(symbol, share, self._existing_map(symbol))
        return BuildOutcome(files=CorporateFiles(symbol=symbol, map_file=outcome))

    def build(self, symbol: str, since: date | None = None) -> BuildOutcome:
        """Build both files.

        Args:
            symbol: The symbol.
            since: The first day of the factor file; None for the share's first day.

        Raises:
            FactorFileError: A close that is needed is missing, or does not fit; nothing was written.
            BacktestServerError: Something else that they need is not available; nothing was written.
        """
        current = current_ticker(symbol, self._renames(symbol))
        if current is not None:
            return _not_built(
                symbol,
                f"{symbol} is now {current}, whose files cover the days of {symbol}; use {current} instead "
                f"(backtest-server factor-files {current})",
            )
        with ThreadPoolExecutor(1, thread_name_prefix="corporate-events") as pool:
            requested = pool.submit(self.source.events, symbol)
            share, own_events = self._share(symbol), requested.result()
        existing_map = self._existing_map(symbol)
        foreign_rows = existing_map.rows if not (self.replace or existing_map.ours) else None
        known = foreign_rows or share.rows  # LEAN uses the file that exists
        tickers = tickers_of(symbol, known)
        listed = {ticker: own_events if ticker == symbol else self.source.events(ticker) for ticker in tickers}
        events = events_of_share(known, listed)
        if share.listing is None and not (events.splits or events.dividends) and self._first_bar(symbol, known) is None:
            notice = f"nothing is known about {symbol}, and it has no bars; no files are built for it"
            return _not_built(symbol, *share.renames.notices, *events.notices, notice)
        first_day = min(known[0].date, share.rows[0].date)
        rows, notices = self._factor_rows(symbol, known, events, max(first_day, since) if since else first_day)
        notices = [*share.renames.notices, *events.notices, *notices]
        return self._write(symbol, share, rows, existing_map, events=events, notices=notices)

    def _write(
        self,
        symbol: str,
        share: _Share,
        rows: list[FactorRow],
        existing_map: ExistingFile[MapRow],
        *,
        events: Events,
        notices: list[str],
    ) -> BuildOutcome:
        path = factor_file_path(self.folder.path, symbol)
        existing = ExistingFile.load(self.folder, path, parse_factor_file)
        map_outcome = self._put_map(symbol, share, existing_map)
        outcome = existing.replace_with(render_factor_file(rows), self.folder, symbol, replace_foreign=self.replace)
        notices += existing_map.notices(symbol, "map", map_outcome)
        notices += existing.notices(symbol, "factor", outcome)
        factors = factor_differences(rows, existing.rows or ()) if outcome == "kept" else Differences()
        tickers = map_differences(share.rows, existing_map.rows or ()) if map_outcome == "kept" else Differences()
        return BuildOutcome(
            files=CorporateFiles(
                symbol=symbol, factor_file=outcome, map_file=map_outcome, notices=tuple(dict.fromkeys(notices))
            ),
            events=events,
            first_day=rows[0].date,
            factor_differences=factors,
            map_differences=tickers,
        )

    # --- the share ---

    def _renames(self, symbol: str) -> Renames:
        if symbol not in self.renames:
            self.renames[symbol] = self.source.renames(symbol)
        return self.renames[symbol]

    def _share(self, symbol: str) -> _Share:
        listed = self._renames(symbol)
        listing = self.source.listing(symbol)
        traded = self.bars.days_traded(change_windows(listed), self.last_day)
        renames = plausible_renames(symbol, listed, listing, self.calendar, last_day=self.last_day, traded=traded)
        oldest = renames.changes[0].ticker if renames.changes else symbol
        first_day = inception(listing, renames, self.calendar, self.bars.first_day(oldest))
        rows = map_rows(symbol, listing, renames, first_day, self.calendar)
        return _Share(listing=listing, renames=renames, rows=rows)

    def _first_bar(self, symbol: str, rows: list[MapRow]) -> date | None:
        days = [self.bars.first_day(ticker) for ticker in tickers_of(symbol, rows)]
        return min((day for day in days if day is not None), default=None)

    # --- the factor file ---

    def _factor_rows(
        self, symbol: str, known: list[MapRow], events: Events, first_day: date
    ) -> tuple[list[FactorRow], list[str]]:
        """The rows from the first day on, or from the first day with bars, and notices.

        Closes from before all bars are not available, and nothing needs them: LEAN reads no bar that the later first
        row could hide.
        """
        needed = closes_needed(events, first_day, self.calendar, last_day=self.last_day)
        closes, missing = self.bars.closes({day: ticker_for(symbol, known, day) for day in needed})
        notices: list[str] = []
        permanent = [day for day, bar in missing.items() if bar.is_permanent]
        first_bar = self._first_bar(symbol, known) if permanent and len(permanent) == len(missing) else None
        if first_bar is not None and max(permanent) < first_bar:
            notices.append(
                f"the factor file of {symbol} begins on {first_bar}, the first day with bars: closes that older events "
                f"need are not available ({missing[max(permanent)].reason}); LEAN reads nothing before that day"
            )
            first_day = first_bar
        try:
            return factor_rows(first_day, events, closes, self.calendar, last_day=self.last_day), notices
        except FactorFileError as error:
            raise _with_reason(error, symbol, missing) from error

    # --- the map file ---

    def _existing_map(self, symbol: str) -> ExistingFile[MapRow]:
        return ExistingFile.load(self.folder, map_file_path(self.folder.path, symbol), parse_map_file)

    def _put_map(self, symbol: str, share: _Share, existing: ExistingFile[MapRow]) -> FileOutcome:
        text = render_map_file(share.rows)
        return existing.replace_with(text, self.folder, symbol, replace_foreign=self.replace)


def _not_built(symbol: str, *notices: str) -> BuildOutcome:
    return BuildOutcome(files=CorporateFiles(symbol=symbol, notices=notices))


def _with_reason(error: FactorFileError, symbol: str, missing: Mapping[date, MissingBar]) -> FactorFileError:
    bar = next((missing[day] for day in error.days if day in missing), None)
    why = f": {bar.reason}" if bar else ""
    advice = f"; --since with a later day omits the event (backtest-server factor-files {symbol} --since YYYY-MM-DD)"
    return FactorFileError(f"{symbol}: {error}{why}{advice}", symbol=symbol, days=error.days)
