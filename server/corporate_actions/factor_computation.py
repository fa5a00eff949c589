"""Computes the rows of factor files from events and closes, of which missing ones are downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from attrs import frozen

from server.corporate_actions.closes import DailyBars, MissingBar
from server.corporate_actions.events import ticker_for, tickers_of
from server.corporate_actions.extension import extended_factor_rows, known_through
from server.corporate_actions.model import Events
from server.corporate_actions.rows import FactorFileError, closes_needed, factor_rows
from server.lean.factor_file import FactorRow
from server.lean.map_file import MapRow
from server.trading_calendar import USEquityTradingCalendar


@frozen(kw_only=True)
class FactorComputation:
    """Computes the factor rows of one share at a time.

    Attributes:
        bars: Daily bars on disk; missing ones are downloaded.
        last_day: The newest settled session.
    """

    calendar: USEquityTradingCalendar
    bars: DailyBars
    last_day: date

    def rows(
        self, symbol: str, known: list[MapRow], events: Events, first_day: date
    ) -> tuple[list[FactorRow], list[str]]:
        """Return the rows from the first day on, or from the first day with bars, and notices.

        Closes from before all bars are not available, and nothing needs them: LEAN reads no bar that the later first
        row could hide.

        Args:
            symbol: The share's symbol.
            known: The rows of its map file.
            events: Its splits and dividends.
            first_day: The date of the first row.

        Raises:
            FactorFileError: A close that is needed is missing, or does not fit.
        """
        needed = closes_needed(events, first_day, self.calendar, last_day=self.last_day)
        closes, missing = self.bars.closes({day: ticker_for(symbol, known, day) for day in needed})
        notices: list[str] = []
        permanent = [day for day, bar in missing.items() if bar.is_permanent]
        first_bar = None
        if permanent and len(permanent) == len(missing):
            first_bar = self.bars.first_day(*tickers_of(symbol, known))
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

    def extended(
        self, symbol: str, existing: list[FactorRow], used: list[MapRow], events: Events, since: date | None
    ) -> list[FactorRow]:
        """Return an existing file's rows with the events after its last one composed in; only their closes are needed.

        Args:
            symbol: The share's symbol.
            existing: The rows of the factor file.
            used: The rows of its map file.
            events: Its splits and dividends.
            since: The first day whose events are added; None for all of them.

        Raises:
            FactorFileError: As `rows`.
        """
        first_day = max(known_through(existing) + timedelta(days=1), since or date.min)
        if first_day > self.last_day:
            return existing
        needed = closes_needed(events, first_day, self.calendar, last_day=self.last_day)
        closes, missing = self.bars.closes({day: ticker_for(symbol, used, day) for day in needed})
        try:
            rows = factor_rows(first_day, events, closes, self.calendar, last_day=self.last_day)
        except FactorFileError as error:
            raise _with_reason(error, symbol, missing) from error
        return extended_factor_rows(existing, rows)


def _with_reason(error: FactorFileError, symbol: str, missing: Mapping[date, MissingBar]) -> FactorFileError:
    bar = next((missing[day] for day in error.days if day in missing), None)
    why = f": {bar.reason}" if bar else ""
    advice = f"; --since with a later day omits the event (backtest-server factor-files {symbol} --since YYYY-MM-DD)"
    return FactorFileError(f"{symbol}: {error}{why}{advice}", symbol=symbol, days=error.days)
