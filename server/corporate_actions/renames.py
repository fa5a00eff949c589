"""Decides which of a vendor's ticker changes are accepted. Pure.

The vendor's list of them is experimental: dates drift by days, and entries are wrong or missing. A wrong rename sends
LEAN to another share's files, so the list is accepted as a whole or not at all. A list with a contradiction is rejected
with a notice; a date is corrected by the days on which the tickers traded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date, timedelta
from itertools import pairwise

from attrs import evolve, frozen

from server.corporate_actions.model import Listing, Renames, TickerChange
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


def change_windows(renames: Renames) -> list[ChangeWindow]:
    """Return the window of each change, ascending. The days traded in them are an argument of `plausible_renames`."""
    return [
        ChangeWindow(old.ticker, new.ticker, new.first_day - DRIFT, new.first_day + DRIFT)
        for old, new in pairwise(renames.changes)
    ]


def plausible_renames(
    symbol: str,
    renames: Renames,
    listing: Listing | None,
    calendar: USEquityTradingCalendar,
    *,
    last_day: date,
    traded: Mapping[str, Collection[date]] | None = None,
) -> Renames:
    """Return the ticker changes if all of them are plausible; else no changes, and a notice with the reason.

    The list is rejected if it does not ascend, names one ticker twice (in a row, or again after another), does not
    end with the symbol, or has a change before the listing, after the delisting or after the last session.

    A change on a day without trading is rejected, too. It is not moved to the next session: META's change of Thursday
    2022-06-09 has been listed under Saturday 2022-06-11, and the Monday after would put two days of META among FB's.
    Only trading decides: if the first day of the new ticker in the window is the session after the last day of the
    old one, that is the day of the change, whatever date the vendor lists. If the days traded do not fit together
    (both on one day, a day of neither in between), the change is rejected even on a trading day.

    Args:
        symbol: The ticker that was requested.
        renames: What the vendor lists.
        listing: Reference data of that ticker, if there are any.
        calendar: The trading calendar.
        last_day: The newest session.
        traded: By ticker, the days in each of `change_windows` on which it traded. A change with neither ticker in it
            keeps its date.
    """
    changes = renames.changes
    doubt = _list_doubt(symbol, changes) or next(_date_doubts(changes, listing, calendar, last_day), None)
    accepted: list[TickerChange] = []
    if doubt is None:
        accepted, doubt = _dated_by_trading(renames, calendar, traded or {}, last_day)
    if doubt is None:
        return evolve(renames, changes=tuple(accepted))
    notice = f"the list of the tickers of {symbol} is not plausible, so no rename is taken from it: {doubt}"
    return Renames(notices=(*renames.notices, notice))


def _list_doubt(symbol: str, changes: tuple[TickerChange, ...]) -> str | None:
    for before, after in pairwise(changes):
        if after.first_day <= before.first_day:
            return f"{after.ticker} of {after.first_day} comes after {before.ticker} of {before.first_day}"
        if after.ticker == before.ticker:
            return f"{after.ticker} follows itself on {after.first_day}"
    tickers = [change.ticker for change in changes]
    twice = next((ticker for ticker in tickers if tickers.count(ticker) > 1), None)
    if twice is not None:
        return f"{twice} is in it twice, with another ticker in between"
    if tickers and tickers[-1] != symbol:
        return f"it ends with {tickers[-1]}"
    return None


def _date_doubts(
    changes: tuple[TickerChange, ...], listing: Listing | None, calendar: USEquityTradingCalendar, last_day: date
) -> Iterator[str]:
    listed = listing.listed if listing else None
    delisted = listing.delisted if listing and not listing.active else None
    for change in changes:
        what = f"{change.ticker} of {change.first_day}"
        if listed is not None and change.first_day < listed:
            yield f"{what} is before the listing of {listed}"
        if delisted is not None and change.first_day > delisted:
            yield f"{what} is after the delisting of {delisted}"
        if change.first_day > last_day:
            yield f"{what} is after the last session, {last_day}"
    for change in changes[1:]:
        if change.first_day <= calendar.first_day:
            yield f"{change.ticker} of {change.first_day} is before {calendar.first_day}, where the calendar begins"


def _dated_by_trading(
    renames: Renames, calendar: USEquityTradingCalendar, traded: Mapping[str, Collection[date]], last_day: date
) -> tuple[list[TickerChange], str | None]:
    """The changes with the days that trading shows, and why they do not fit, if so."""
    accepted = list(renames.changes[:1])
    for window, change in zip(change_windows(renames), renames.changes[1:], strict=True):
        day = _day_of_change(window, change.first_day, calendar, traded, last_day)
        if isinstance(day, str):
            return accepted, day
        if day <= accepted[-1].first_day:
            return accepted, f"{change.ticker} traded before the change from {window.old} that comes before it"
        accepted.append(evolve(change, first_day=day))
    return accepted, None


def _day_of_change(
    window: ChangeWindow,
    listed_day: date,
    calendar: USEquityTradingCalendar,
    traded: Mapping[str, Collection[date]],
    last_day: date,
) -> date | str:
    """The first day of the new ticker, or why it is not known."""
    if window.old not in traded and window.new not in traded:
        if calendar.is_trading_day(listed_day):
            return listed_day
        return f"{window.new} is listed as following {window.old} on {listed_day}, which is not a trading day"
    days = calendar.trading_days(max(window.first, calendar.first_day), min(window.last, last_day))
    old = [day for day in days if day in traded.get(window.old, ())]
    new = [day for day in days if day in traded.get(window.new, ())]
    around = f"around {listed_day}, when {window.new} is listed as following {window.old},"
    if not old or not new:
        return f"{around} {window.new if old else window.old} did not trade"
    if days.index(new[0]) != days.index(old[-1]) + 1:
        return f"{around} {window.old} traded until {old[-1]} and {window.new} from {new[0]} on"
    return new[0]
