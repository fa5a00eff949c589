"""Factor file and map file of a share: asked for, worked out, compared with what stands there, written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from attrs import field, frozen

from server.corporate_actions.closes import DailyBars, Lack
from server.corporate_actions.compare import Differences, factor_differences, map_differences
from server.corporate_actions.event_merge import (
    events_of_share,
    moved_to,
    ticker_for,
    tickers_of,
)
from server.corporate_actions.existing_file import Standing, place
from server.corporate_actions.factor_file import (
    FactorFileError,
    FactorRow,
    closes_needed,
    factor_file_text,
    factor_rows,
    read_factor_file,
)
from server.corporate_actions.map_file import MapRow, inception, map_file_text, map_rows, read_map_file
from server.corporate_actions.model import CorporateActionSource, Events, Listing, Renames
from server.corporate_actions.paths import factor_file_path, map_file_path
from server.corporate_actions.renames import handovers, plausible_renames
from server.data_download.data_folder import DataFolder
from server.data_download.report import CorporateFiles, FileOutcome
from server.trading_calendar import USEquityTradingCalendar


@frozen(kw_only=True)
class Made:
    """What was worked out for a symbol, and what became of its files.

    Attributes:
        files: As it stands in reports.
        events: The share's splits and dividends, those that adjust nothing included.
        first_day: The first row's date of the factor file; None where none was worked out.
        factors: How the factor file that stands there, and is not ours, differs from ours.
        map: Likewise the map file.
    """

    files: CorporateFiles
    events: Events = field(factory=Events)
    first_day: date | None = None
    factors: Differences = field(factory=Differences)
    map: Differences = field(factory=Differences)


@frozen(kw_only=True)
class _Share:
    """A share as its map file has it."""

    listing: Listing | None
    renames: Renames
    rows: list[MapRow]
    moved: str | None = None


@frozen(kw_only=True)
class CorporateActions:
    """Makes the files of one symbol at a time. Whoever calls holds the symbol's lock.

    Attributes:
        last_day: The newest settled session.
        replace: Also put ours in place of files that somebody else wrote.
        told: What the source said of the tickers of symbols; it is asked once about each.
    """

    folder: DataFolder
    calendar: USEquityTradingCalendar
    source: CorporateActionSource
    bars: DailyBars
    last_day: date
    replace: bool = False
    told: dict[str, Renames] = field(factory=dict)
    _shares: dict[str, _Share] = field(factory=dict, init=False)

    def was_renamed(self, symbol: str) -> bool:
        """Whether the vendor lists other tickers of the share before this one.

        Raises:
            BacktestServerError: It cannot be asked.
        """
        changes = self._renames(symbol).changes
        return len(changes) > 1 and changes[-1].ticker == symbol

    def make_map(self, symbol: str) -> Made:
        """Make the map file alone, so that days can be asked for by their tickers.

        Raises:
            BacktestServerError: Something that it needs cannot be had; nothing is written.
        """
        share = self._share(symbol)
        standing = self._standing_map(symbol)
        return Made(files=CorporateFiles(symbol=symbol, map_file=self._put_map(symbol, share, standing)))

    def make(self, symbol: str, since: date | None = None) -> Made:
        """Make both files.

        Args:
            since: The day at which the factor file begins; None for the share's first day.

        Raises:
            FactorFileError: A close that is needed cannot be had, or does not fit; nothing is written.
            BacktestServerError: Something else that they need cannot be had; nothing is written.
        """
        share = self._share(symbol)
        if share.moved is not None:
            notice = (
                f"{symbol} is {share.moved} now, whose files cover the days of {symbol}: ask for {share.moved} "
                f"(backtest-server factor-files {share.moved})"
            )
            return Made(files=CorporateFiles(symbol=symbol, notices=(notice,)))
        standing_map = self._standing_map(symbol)
        theirs = standing_map.rows if not (self.replace or standing_map.ours) else None
        known = theirs or share.rows  # LEAN goes by the file that stands there
        events = events_of_share(known, {ticker: self.source.events(ticker) for ticker in tickers_of(symbol, known)})
        if share.listing is None and not (events.splits or events.dividends) and self._first_bar(symbol, known) is None:
            notice = f"nothing is known of {symbol}, and there are no bars of it; no files are made for it"
            return Made(files=CorporateFiles(symbol=symbol, notices=(*share.renames.notices, *events.notices, notice)))
        first_day = min(known[0].date, share.rows[0].date)
        rows, notices = self._factor_rows(symbol, known, events, max(first_day, since) if since else first_day)
        standing = place(self.folder, factor_file_path(self.folder.path, symbol), read_factor_file)
        map_outcome = self._put_map(symbol, share, standing_map)
        outcome = standing.put(self.folder, symbol, factor_file_text(rows), replace=self.replace)
        notices = [*share.renames.notices, *events.notices, *notices]
        notices += standing_map.notices(symbol, "map", map_outcome)
        notices += standing.notices(symbol, "factor", outcome)
        return Made(
            files=CorporateFiles(
                symbol=symbol, factor_file=outcome, map_file=map_outcome, notices=tuple(dict.fromkeys(notices))
            ),
            events=events,
            first_day=rows[0].date,
            factors=factor_differences(rows, standing.rows or ()) if outcome == "kept" else Differences(),
            map=map_differences(share.rows, standing_map.rows or ()) if map_outcome == "kept" else Differences(),
        )

    # --- the share ---

    def _renames(self, symbol: str) -> Renames:
        if symbol not in self.told:
            self.told[symbol] = self.source.renames(symbol)
        return self.told[symbol]

    def _share(self, symbol: str) -> _Share:
        if symbol not in self._shares:
            self._shares[symbol] = self._find_share(symbol)
        return self._shares[symbol]

    def _find_share(self, symbol: str) -> _Share:
        told = self._renames(symbol)
        moved = moved_to(symbol, told)
        if moved is not None:
            return _Share(listing=None, renames=told, rows=[], moved=moved)
        listing = self.source.listing(symbol)
        seen = self.bars.seen(handovers(told), self.last_day)
        renames = plausible_renames(symbol, told, listing, self.calendar, last_day=self.last_day, seen=seen)
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
        """The rows from the first day on, or from the first day of which there are data at all.

        Closes from before all data are not to be had, and nothing needs them: LEAN reads no bar that the later first
        row could hide.
        """
        needed = closes_needed(events, first_day, self.calendar, last_day=self.last_day)
        tickers = {day: ticker_for(symbol, known, day) for day in needed}
        closes, lacking = self.bars.closes(tickers)
        notices: list[str] = []
        gone = [day for day, lack in lacking.items() if lack.for_good]
        data = self._first_bar(symbol, known)
        if gone and len(gone) == len(lacking) and data is not None and max(gone) < data:
            notices.append(
                f"the factor file of {symbol} begins on {data}, the first day of which there are bars: closes that "
                f"older events need are not to be had ({lacking[max(gone)].reason}); LEAN reads nothing before that day"
            )
            first_day = data
        try:
            return factor_rows(first_day, events, closes, self.calendar, last_day=self.last_day), notices
        except FactorFileError as error:
            raise _explained(error, symbol, lacking) from error

    # --- the map file ---

    def _standing_map(self, symbol: str) -> Standing[MapRow]:
        return place(self.folder, map_file_path(self.folder.path, symbol), read_map_file)

    def _put_map(self, symbol: str, share: _Share, standing: Standing[MapRow]) -> FileOutcome:
        return standing.put(self.folder, symbol, map_file_text(share.rows), replace=self.replace)


def _explained(error: FactorFileError, symbol: str, lacking: Mapping[date, Lack]) -> FactorFileError:
    lack = next((lacking[day] for day in error.days if day in lacking), None)
    why = f": {lack.reason}" if lack else ""
    advice = f"; --since a later day leaves it out (backtest-server factor-files {symbol} --since YYYY-MM-DD)"
    return FactorFileError(f"{symbol}: {error}{why}{advice}", symbol=symbol, days=error.days)
