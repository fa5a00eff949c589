"""Gathers what is known about one share: its tickers, the holders of its oldest one, its events and its raw closes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import groupby, pairwise

from attrs import evolve, field, frozen

from server.corporate_actions.closes import DailyBars
from server.corporate_actions.events import (
    events_from,
    events_of_share,
    ticker_for,
    tickers_of,
    unattributed_events,
)
from server.corporate_actions.identity import PAUSE_SESSIONS, Tenure, find_tenure, is_same_holder
from server.corporate_actions.model import CorporateActionSource, Events, Listing, Renames
from server.corporate_actions.price_changes import distance
from server.corporate_actions.price_check import FIT
from server.corporate_actions.renames import DRIFT, AcceptedRenames, ChangeWindow, accept_renames
from server.corporate_actions.rows import closes_needed, inception, map_rows
from server.data_download.errors import BadResponseError, PlanLimitError
from server.data_download.findings import Doubt, OtherHolder
from server.lean.map_file import MapRow
from server.lean.text_lines import LAST_DATE
from server.trading_calendar import USEquityTradingCalendar

_BAD_REQUEST = 400


@frozen(kw_only=True)
class Share:
    """What is known about a share.

    Attributes:
        listing: Reference data of its ticker; None if the vendor has none.
        rows: Of its map file.
        events: Its splits and dividends as listed.
        closes: Its raw closes; see `price_changes.Closes`.
        other_holders: Earlier holders of its oldest ticker.
        doubts: About its tickers and their holders.
        notices: Sentences for people.
        has_bars: Whether there is a bar of it.
    """

    listing: Listing | None
    rows: list[MapRow]
    events: Events = field(factory=Events)
    closes: Mapping[date, Decimal | None] = field(factory=dict)
    other_holders: tuple[OtherHolder, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    notices: tuple[str, ...] = ()
    has_bars: bool = True


@frozen(kw_only=True)
class ShareReader:
    """Reads one share at a time from a source and the daily bars.

    Attributes:
        source: The vendor's corporate actions.
        bars: Daily bars on disk; missing ones are downloaded.
        last_day: The newest settled session.
    """

    calendar: USEquityTradingCalendar
    source: CorporateActionSource
    bars: DailyBars
    last_day: date

    def tickers(self, symbol: str, renames: Renames) -> Share:
        """Read the tickers of a share only: no events, no closes.

        Raises:
            BacktestServerError: Something that it needs is not available.
        """
        listing = self.source.listing(symbol)
        accepted = self._accepted(symbol, renames, listing)
        return self._with_rows(symbol, listing, accepted, Tenure())

    def read(
        self,
        symbol: str,
        renames: Renames,
        listed: Callable[[], Events],
        days: Sequence[date],
        used: list[MapRow] | None,
    ) -> Share:
        """Read everything about a share.

        Args:
            symbol: The share's last ticker.
            renames: What the vendor lists.
            listed: Returns the events that the vendor lists under the symbol.
            days: Sessions whose closes are compared with the events, ascending; missing ones are downloaded.
            used: The rows of an existing map file that is kept; LEAN uses them instead of the share's own, and reads
                nothing from before the first one.

        Raises:
            BacktestServerError: Something that it needs is not available.
        """
        listing = self.source.listing(symbol)
        accepted = self._accepted(symbol, renames, listing)
        draft = self._with_rows(symbol, listing, accepted, Tenure())
        rows = used or draft.rows
        own = listed()
        by_ticker = {
            ticker: own if ticker == symbol else self.source.events(ticker) for ticker in tickers_of(symbol, rows)
        }
        events = events_of_share(rows, by_ticker)
        history = self._history(symbol, rows, events, days)
        tenure = self._tenure(symbol, listing, rows, history)
        share = self._with_rows(symbol, listing, accepted, tenure)
        if used is None:
            rows = share.rows
        events = events_of_share(rows, by_ticker, self._restated(listing, rows, by_ticker))
        first = max(share.rows[0].date if tenure.is_limited else date.min, used[0].date if used else date.min)
        return evolve(
            share,
            doubts=tuple(doubt for doubt in share.doubts if doubt.kind != "pause" or doubt.day > first),
            events=events_from(events, first) if tenure.is_limited else events,
            closes=_closes_from(first, symbol, rows, history),
            notices=(*share.notices, *events.notices),
            has_bars=self.bars.first_day(*tickers_of(symbol, rows)) is not None,
        )

    # --- tickers and holders ---

    def _accepted(self, symbol: str, renames: Renames, listing: Listing | None) -> AcceptedRenames:
        evidence = _Evidence(self, listing)
        return accept_renames(symbol, renames, listing, self.calendar, evidence, last_day=self.last_day)

    def _with_rows(self, symbol: str, listing: Listing | None, accepted: AcceptedRenames, tenure: Tenure) -> Share:
        oldest = accepted.changes[0].ticker if accepted.changes else symbol
        if tenure.is_limited:
            first_day = tenure.first_day or self._next_session(tenure.other_holders[-1].last_day)
        else:
            first_day = inception(listing, accepted.renames, self.calendar, self.bars.first_day(oldest))
        return Share(
            listing=listing,
            rows=map_rows(symbol, listing, accepted.renames, first_day, self.calendar),
            other_holders=tenure.other_holders,
            doubts=(*accepted.doubts, *tenure.doubts),
            notices=accepted.notices,
        )

    def _next_session(self, day: date) -> date:
        return self.calendar.next_trading_day(day)

    def _tenure(
        self,
        symbol: str,
        listing: Listing | None,
        rows: Sequence[MapRow],
        history: Mapping[str, Mapping[date, Decimal | None]],
    ) -> Tenure:
        """Find the holders of the oldest ticker on the days with bars."""
        oldest = rows[0].ticker
        end = rows[1].date if len(rows) > 1 else LAST_DATE
        closes = history.get(oldest, {})
        traded = {day for day, close in closes.items() if close is not None} | self.bars.days_on_disk(oldest)
        days = sorted(day for day in traded if self.calendar.first_day <= day <= min(end, self.last_day))
        if not days:
            return Tenure()
        spans = self._spans(days, closes)
        current = listing or self.listing_on(oldest, days[-1])
        if current is None:
            current = Listing(ticker=symbol, active=True)

        @functools.cache
        def holder_on(day: date) -> Listing | None:
            if day >= min(end, self.last_day):
                return current
            found = self.listing_on(oldest, day)
            ends = found is not None and not found.active and found.delisted == day  # perhaps on the session before
            return None if ends and self._goes_on(day, closes) else found

        return find_tenure(symbol, oldest, spans, current, holder_on)

    def _goes_on(self, day: date, closes: Mapping[date, Decimal | None]) -> bool:
        """Whether the close of a day is nearer to that of the next session than to that of the one before."""
        around = self.calendar.previous_trading_day(day), day, self.calendar.next_trading_day(day)
        before, here, after = (Fraction(closes.get(one) or 0) for one in around)
        return after > 0 and distance(here, after) < distance(before, here)

    def _spans(self, days: Sequence[date], closes: Mapping[date, Decimal | None]) -> list[list[date]]:
        """Divide days with bars where it is known that trading paused for `PAUSE_SESSIONS`."""
        spans = [[days[0]]]
        for day in days[1:]:
            sessions = self.calendar.trading_days(spans[-1][-1], day)[1:-1]
            paused = len(sessions) >= PAUSE_SESSIONS and all(closes.get(one, 0) is None for one in sessions)
            if paused:
                spans.append([day])
            else:
                spans[-1].append(day)
        return spans

    def listing_on(self, ticker: str, day: date) -> Listing | None:
        """The holder of a ticker on a day; None also if the vendor does not serve that day."""
        try:
            return self.source.listing(ticker, day)
        except PlanLimitError:
            return None
        except BadResponseError as error:
            if error.status != _BAD_REQUEST:
                raise
            return None

    # --- events ---

    def _restated(
        self, listing: Listing | None, rows: Sequence[MapRow], events: Mapping[str, Events]
    ) -> dict[str, list[date]]:
        """Return by ticker the ex-dates of events listed under it on which no other share had it."""
        restated: dict[str, list[date]] = {}
        for ticker, listed in unattributed_events(rows, events).items():
            days = [day for day in listed if self.calendar.first_day < day <= self.last_day]
            for traded, group in groupby(days, self._traded_around(ticker, days)):
                free = functools.partial(self._is_free, ticker, listing, traded is False)
                restated.setdefault(ticker, []).extend(_free_days(list(group), free))
        return restated

    def _traded_around(self, ticker: str, days: Sequence[date]) -> Callable[[date], bool | None]:
        """Return a function of these days: whether a ticker traded on one or before it; None if that is not known."""
        before = {day: self.calendar.previous_trading_day(day) for day in days}
        sessions = {day: self.calendar.trading_days(before[day], day) for day in days}
        closes = self.bars.history(ticker, sorted({one for some in sessions.values() for one in some}))

        def traded(day: date) -> bool | None:
            if any(closes.get(one) is not None for one in sessions[day]):
                return True
            return False if all(one in closes for one in sessions[day]) else None

        return traded

    def _is_free(self, ticker: str, listing: Listing | None, without_bars: bool, day: date) -> bool:
        """Whether no other share had a ticker on a day: the vendor has no details of one, and there is no bar.

        One that was delisted later need not have been listed then; without a bar it proves nothing.
        """
        found = self.listing_on(ticker, day)
        if found is not None and (found.active or not without_bars):
            return listing is not None and is_same_holder(listing, found, paused=False) is True
        return without_bars

    # --- closes ---

    def _history(
        self, symbol: str, rows: list[MapRow], events: Events, days: Sequence[date]
    ) -> dict[str, dict[date, Decimal | None]]:
        """Download the daily bars that are needed, each ticker in one download; return all closes by ticker."""
        needed = {*days, *self._days_of_events(events, rows)}
        by_ticker: dict[str, list[date]] = {ticker: [] for ticker in tickers_of(symbol, rows)}
        for day in sorted(needed):
            by_ticker[ticker_for(symbol, rows, day)].append(day)
        return {ticker: self.bars.history(ticker, sessions) for ticker, sessions in by_ticker.items()}

    def _days_of_events(self, events: Events, rows: Sequence[MapRow]) -> set[date]:
        """The sessions before and on each ex-date, and of splits those that show one a session early or late."""
        calendar, start = self.calendar, rows[0].date
        before = set(closes_needed(events, start, calendar, last_day=self.last_day))
        before |= {self._next_session(day) for day in before}
        around = closes_needed(evolve(events, dividends=()), start, calendar, last_day=self.last_day)
        before |= {calendar.previous_trading_day(day) for day in around if day > calendar.first_day}
        before |= {self._next_session(self._next_session(day)) for day in around}
        return {day for day in before if day <= self.last_day}


def _free_days(days: Sequence[date], is_free: Callable[[date], bool]) -> Sequence[date]:
    """Return those of some days that are free; between the first and the last one only if those two differ."""
    edges = {day: is_free(day) for day in (days[0], days[-1])}
    if len(set(edges.values())) == 1:
        return days if edges[days[0]] else ()
    return [day for day in days if (edges[day] if day in edges else is_free(day))]


def _closes_from(
    first: date, symbol: str, rows: Sequence[MapRow], history: Mapping[str, Mapping[date, Decimal | None]]
) -> dict[date, Decimal | None]:
    """Return the closes under the share's ticker of each day, from a day on, ascending."""
    closes = {
        day: close
        for ticker, known in history.items()
        for day, close in known.items()
        if day >= first and ticker_for(symbol, rows, day) == ticker
    }
    return dict(sorted(closes.items()))


@frozen
class _Evidence:
    """`RenameEvidence` from daily bars and the vendor's ticker details."""

    reader: ShareReader
    listing: Listing | None

    def traded(self, window: ChangeWindow) -> Mapping[str, set[date]]:
        """The days of a window on which each ticker traded."""
        return self.reader.bars.days_traded(window, self.reader.last_day)

    def is_other_holder(self, ticker: str, day: date) -> bool | None:
        """Whether another share had a ticker on a day."""
        found = self.reader.listing_on(ticker, day)
        if found is None or self.listing is None:
            return None
        same = is_same_holder(self.listing, found, paused=False)
        if same is None or (same and found.delisted == day):  # it may have lost the ticker on that very day
            return None
        return not same

    def taken_over(self, ticker: str, day: date) -> bool:
        """Whether the share that has a ticker now had another one until about that day."""
        changes = self.reader.source.renames(ticker).changes
        return any(
            change.ticker == ticker and abs(change.first_day - day) <= DRIFT and before.ticker != ticker
            for before, change in pairwise(changes)
        )

    def continues(self, window: ChangeWindow, last: date, first: date) -> bool:
        """Whether two closes are within the factor by which splits are recognised."""
        before = self.reader.bars.history(window.old, [last]).get(last)
        after = self.reader.bars.history(window.new, [first]).get(first)
        return bool(before and after) and distance(Fraction(before or 1), Fraction(after or 1)) <= FIT
