"""Which of a vendor's ticker changes are believed. Pure.

The vendor's list of them is experimental: dates drift by days, and entries are wrong or missing. A wrong rename sends
LEAN to another share's files, so the list counts as a whole or not at all. A list that says the impossible is left out
with a sentence that says what; a date can be set right by the days on which the tickers were seen to trade.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from attrs import evolve, frozen

from server.corporate_actions.model import Listing, Renames, TickerChange
from server.trading_calendar import USEquityTradingCalendar

DRIFT = timedelta(days=10)
"""So many days before and after the date given the change is looked for."""


@frozen
class Handover:
    """The days, both included, whose bars or reference data under either ticker tell when one became the other."""

    old: str
    new: str
    first: date
    last: date


def handovers(renames: Renames) -> list[Handover]:
    """What to look at so as to settle on which day each change happened, ascending; what is seen goes to
    `plausible_renames`."""
    return [
        Handover(old.ticker, new.ticker, new.first_day - DRIFT, new.first_day + DRIFT)
        for old, new in pairwise(renames.changes)
    ]


def plausible_renames(
    symbol: str,
    renames: Renames,
    listing: Listing | None,
    calendar: USEquityTradingCalendar,
    *,
    last_day: date,
    seen: Mapping[str, Collection[date]] | None = None,
) -> Renames:
    """The ticker changes, if all of them are believed; else none, and a notice that says which doubt there is.

    There is doubt where the list does not ascend, names one ticker twice (in a row, or again after another), does
    not end with the symbol, or has a change before the listing, after the delisting or after the last session.

    A change on a day without trading is doubted, too. It is not moved to the next session: META's change of Thursday
    2022-06-09 has been listed under Saturday 2022-06-11, and the Monday after would put two days of META among FB's.
    Only what was traded settles it: where one of the days around it is the first seen of the new ticker, and the
    last seen of the old one is the session before, that is the day, whatever date the vendor lists. What was seen
    and does not fit (both on one day, a day of neither in between) makes a change doubtful even on a trading day.

    Args:
        symbol: The ticker that was asked for.
        listing: Reference data of that ticker, if there are any.
        last_day: The newest session.
        seen: By ticker, the days around each change (see `handovers`) on which it traded. A change neither of whose
            tickers is in it is taken at its date.
    """
    changes = renames.changes
    doubt = _list_doubt(symbol, changes) or next(_date_doubts(changes, listing, calendar, last_day), None)
    settled = list(changes[:1])
    for at, old, new in () if doubt else zip(handovers(renames), changes, changes[1:], strict=False):
        day = _settled(at, new.first_day, calendar, seen or {}, last_day)
        if isinstance(day, str):
            doubt = day
            break
        settled.append(evolve(new, first_day=day))
        if day <= settled[-2].first_day:
            doubt = f"{new.ticker} traded before the change from {old.ticker} that comes before it"
            break
    if doubt is None:
        return evolve(renames, changes=tuple(settled))
    notice = f"the list of the tickers of {symbol} is not believed, so no rename is taken from it: {doubt}"
    notices: Any = (*renames.notices, notice)  # mypy does not know what a converter takes
    return Renames(notices=notices)


def _list_doubt(symbol: str, changes: tuple[TickerChange, ...]) -> str | None:
    for before, after in pairwise(changes):
        if after.first_day <= before.first_day:
            return f"{after.ticker} of {after.first_day} comes after {before.ticker} of {before.first_day}"
        if after.ticker == before.ticker:
            return f"{after.ticker} follows upon itself on {after.first_day}"
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
            yield f"{what} lies before the listing of {listed}"
        if delisted is not None and change.first_day > delisted:
            yield f"{what} lies after the delisting of {delisted}"
        if change.first_day > last_day:
            yield f"{what} lies after the last session, {last_day}"
    for change in changes[1:]:
        if change.first_day <= calendar.first_day:
            yield f"{change.ticker} of {change.first_day} lies before {calendar.first_day}, where the calendar begins"


def _settled(
    at: Handover,
    given: date,
    calendar: USEquityTradingCalendar,
    seen: Mapping[str, Collection[date]],
    last_day: date,
) -> date | str:
    """The first day of the new ticker, or why there is none."""
    if at.old not in seen and at.new not in seen:
        if calendar.is_trading_day(given):
            return given
        return f"{at.new} is said to follow {at.old} on {given}, which is no trading day"
    days = calendar.trading_days(max(at.first, calendar.first_day), min(at.last, last_day))
    old = [day for day in days if day in seen.get(at.old, ())]
    new = [day for day in days if day in seen.get(at.new, ())]
    around = f"around {given}, when {at.new} is said to follow {at.old},"
    if not old or not new:
        return f"{around} no trading of {at.new if old else at.old} was seen"
    if days.index(new[0]) != days.index(old[-1]) + 1:
        return f"{around} {at.old} was seen until {old[-1]} and {at.new} from {new[0]} on"
    return new[0]
