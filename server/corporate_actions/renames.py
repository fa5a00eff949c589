"""Decides which of a vendor's ticker changes are accepted. Pure; what traded and who held a ticker comes from a lookup.

The vendor's list of them is experimental: dates drift by days, and entries are wrong or missing. A wrong rename sends
LEAN to another share's files, so each change has to fit the days on which its two tickers traded. A change that does
not fit is left out, with a doubt; the others stay.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from typing import Protocol

from attrs import evolve, field, frozen

from server.corporate_actions.model import Listing, Renames, TickerChange
from server.data_download.findings import Doubt
from server.trading_calendar import USEquityTradingCalendar

DRIFT = timedelta(days=10)
"""How far before and after the listed date the change is looked for."""


@frozen
class ChangeWindow:
    """The days around a change of ticker, both included, whose bars show when it happened."""

    old: str
    new: str
    first: date
    last: date

    @classmethod
    def of(cls, old: str, new: str, listed_day: date) -> ChangeWindow:
        """The days around the listed date of a change."""
        return cls(old, new, listed_day - DRIFT, listed_day + DRIFT)

    @property
    def listed_day(self) -> date:
        """The listed date of the change."""
        return self.first + DRIFT


class RenameEvidence(Protocol):
    """What is known about tickers besides the list of changes. Its methods may send requests."""

    def traded(self, window: ChangeWindow) -> Mapping[str, Collection[date]]:
        """Return by ticker the days of a window on which it traded; empty if that is not known."""

    def is_other_holder(self, ticker: str, day: date) -> bool | None:
        """Return whether another share had a ticker on a day; None if that is not known."""

    def taken_over(self, ticker: str, day: date) -> bool:
        """Return whether the vendor's list for a ticker says that another share took it about that day."""

    def continues(self, window: ChangeWindow, last: date, first: date) -> bool:
        """Return whether the first close of the new ticker goes on from the last one of the old ticker."""


@frozen(kw_only=True)
class AcceptedRenames:
    """The changes that fit, ascending, and a doubt for each that does not."""

    changes: tuple[TickerChange, ...] = ()
    notices: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    @property
    def renames(self) -> Renames:
        """The changes and notices."""
        return Renames(changes=self.changes, notices=self.notices)


def accept_renames(
    symbol: str,
    renames: Renames,
    listing: Listing | None,
    calendar: USEquityTradingCalendar,
    evidence: RenameEvidence,
    *,
    last_day: date,
) -> AcceptedRenames:
    """Return the ticker changes that are plausible, from the newest to the oldest.

    An entry is accepted if the change from its ticker to the next accepted one fits; else it is left out, with a
    doubt, and the entry before it is tried. A list that does not end with the symbol is not about it: none is
    accepted.

    Trading decides: if the old ticker traded until the session before, and the new one began, that is the day of the
    change, whatever date the vendor lists (META's change of 2022-06-09 has been listed under Saturday 2022-06-11). A
    ticker that goes on trading, or traded before, must have passed to another share on that day (GOOG became GOOGL
    and passed to class C): by the vendor's details of the day, else by its list for the ticker that goes on, or by a
    price that goes on from the old ticker to the new one. Sessions on which neither traded, between the two, are a
    halt: accepted, with a doubt. If nothing is known about the days, the listed date counts where it is a session and
    not before the listing.

    Args:
        symbol: The ticker that was requested.
        renames: What the vendor lists, ascending.
        listing: Reference data of that ticker, if there are any. Its first day is known to be late, and alone proves
            nothing.
        calendar: The trading calendar.
        evidence: What traded, and who held a ticker.
        last_day: The newest session.
    """
    changes = renames.changes
    if not changes:
        return AcceptedRenames(notices=renames.notices)
    if changes[-1].ticker != symbol:
        message = f"the list of the tickers of {symbol} ends with {changes[-1].ticker}, so no rename is taken from it"
        doubt = Doubt(symbol=symbol, day=changes[-1].first_day, kind="rename", message=message)
        return AcceptedRenames(notices=renames.notices, doubts=(doubt,))
    judge = _Judge(symbol, listing, calendar, evidence, last_day)
    accepted = [changes[-1]]
    for older in reversed(changes[:-1]):
        newer = accepted[0]
        if older.ticker == newer.ticker:
            accepted[0] = evolve(newer, first_day=older.first_day)
            continue
        day = judge.day_of_change(older, newer)
        if day is not None:
            accepted = [older, evolve(newer, first_day=day), *accepted[1:]]
    return AcceptedRenames(changes=tuple(accepted), notices=renames.notices, doubts=tuple(judge.doubts))


@frozen
class _Judge:
    symbol: str
    listing: Listing | None
    calendar: USEquityTradingCalendar
    evidence: RenameEvidence
    last_day: date
    doubts: list[Doubt] = field(factory=list, init=False)

    def day_of_change(self, older: TickerChange, newer: TickerChange) -> date | None:
        """Return the first day of the newer ticker; None, after a doubt, if the change does not fit."""
        reason = self._list_fault(older, newer)
        if reason is None:
            window = ChangeWindow.of(older.ticker, newer.ticker, newer.first_day)
            traded = self.evidence.traded(window)
            day = self._by_trading(window, newer.first_day, traded) if traded else self._by_list(newer)
            if isinstance(day, date):
                if day > older.first_day:
                    return day
                day = f"{newer.ticker} traded before the first day of {older.ticker}, {older.first_day}"
            reason = day
        self._doubt(newer.first_day, f"{older.ticker} is listed as an earlier ticker, which is left out: {reason}")
        return None

    def _list_fault(self, older: TickerChange, newer: TickerChange) -> str | None:
        what = f"{newer.ticker} of {newer.first_day}"
        delisted = self.listing.delisted if self.listing and not self.listing.active else None
        if newer.first_day <= older.first_day:
            return f"{what} comes after {older.ticker} of {older.first_day}"
        if delisted is not None and newer.first_day > delisted:
            return f"{what} is after the delisting of {delisted}"
        if newer.first_day > self.last_day:
            return f"{what} is after the last session, {self.last_day}"
        if newer.first_day <= self.calendar.first_day:
            return f"{what} is before {self.calendar.first_day}, where the calendar begins"
        return None

    def _by_list(self, newer: TickerChange) -> date | str:
        """The listed day, where no bars are known."""
        listed = self.listing.listed if self.listing else None
        if listed is not None and newer.first_day < listed:
            return f"{newer.ticker} of {newer.first_day} is before the listing of {listed}, and no bars show it"
        if not self.calendar.is_trading_day(newer.first_day):
            return f"{newer.ticker} is listed from {newer.first_day} on, which is not a trading day"
        return newer.first_day

    def _by_trading(self, window: ChangeWindow, listed_day: date, traded: Mapping[str, Collection[date]]) -> date | str:
        days = self.calendar.trading_days(max(window.first, self.calendar.first_day), min(window.last, self.last_day))
        old = [at for at, day in enumerate(days) if day in traded.get(window.old, ())]
        new = [at for at, day in enumerate(days) if day in traded.get(window.new, ())]
        if not old or not new:
            return f"around {listed_day} {window.new if old else window.old} did not trade"
        if old[-1] < new[0]:
            if old[-1] + 1 < new[0]:
                halt = f"neither {window.old} nor {window.new} traded between {days[old[-1]]} and {days[new[0]]}"
                self._doubt(days[new[0]], f"{halt}; the change of ticker is taken as of {days[new[0]]}")
            return days[new[0]]
        return self._passed_on(window, days, old, new)

    def _passed_on(
        self, window: ChangeWindow, days: Sequence[date], old: Sequence[int], new: Sequence[int]
    ) -> date | str:
        """The day of a change whose old ticker goes on trading, or whose new one traded before."""
        begins, ends = new[0], old[-1] + 1
        if begins - 1 in old and self._passes_at(window.old, days[begins]):
            return days[begins]
        if ends in new and self._came_free(window, days[old[-1]], days[ends]):
            return days[ends]
        at = bisect_left(days, window.listed_day)
        both = at - 1 in old and at in new  # have bars before and after: each must have passed on that day
        if both and self._passes_at(window.old, days[at]) and self._came_free(window, days[at - 1], days[at]):
            return days[at]
        return f"{window.old} traded until {days[old[-1]]} and {window.new} from {days[new[0]]} on"

    def _passes_at(self, ticker: str, day: date) -> bool:
        """Whether another share has the old ticker from the day of the change on."""
        other = self.evidence.is_other_holder(ticker, day)
        return self.evidence.taken_over(ticker, day) if other is None else other

    def _came_free(self, window: ChangeWindow, last: date, first: date) -> bool:
        """Whether another share had the new ticker up to the last day of the old one.

        Where the holder is not known, the change must be listed for the very day, and the price go on from the old
        ticker to the new one: the list of a company that was taken over may name the buyer's ticker.
        """
        other = self.evidence.is_other_holder(window.new, last)
        if other is not None:
            return other
        return window.listed_day == first and self.evidence.continues(window, last, first)

    def _doubt(self, day: date, message: str) -> None:
        self.doubts.append(Doubt(symbol=self.symbol, day=day, kind="rename", message=message))
