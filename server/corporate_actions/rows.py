"""The rules that turn a vendor's records into the rows of LEAN's factor and map files. Pure.

Factor rows are computed from the newest to the oldest in exact fractions and rounded only when printed (LEAN:
``CorporateFactorRow``, ``CorporateFactorProvider``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from server.corporate_actions.model import Dividend, Events, Listing, Renames, Split
from server.data_download.errors import DownloadError
from server.lean.factor_file import (
    LAST_ROW,
    MAX_NUMBER,
    PRICE_DIGITS,
    REFERENCE_DIGITS,
    SPLIT_DIGITS,
    FactorRow,
    decimal_text,
)
from server.lean.map_file import MapRow
from server.lean.text_lines import LAST_DATE
from server.trading_calendar import USEquityTradingCalendar

EXCHANGE_LETTERS = {
    "XNAS": "Q",
    "XNGS": "Q",
    "XNMS": "Q",
    "XNCM": "Q",
    "XNYS": "N",
    "ARCX": "P",
    "BATS": "Z",
    "XASE": "A",
}
"""LEAN's letter for each US exchange that lists shares, by its ISO 10383 code; Nasdaq has four codes
(LEAN: ``Exchanges.GetPrimaryExchange``)."""

_EventList = Collection[Split | Dividend]


class FactorFileError(DownloadError):
    """A factor file cannot be computed, so none is written: a close is missing, or does not fit an event.

    ``days`` holds the day concerned.
    """

    concerns_one_symbol = True


# --- factor file ---


def closes_needed(events: Events, first_day: date, calendar: USEquityTradingCalendar, *, last_day: date) -> list[date]:
    """Return the days whose raw close `factor_rows` needs: the last trading day before each event, ascending.

    Args:
        events: Splits and dividends.
        first_day: The first day of the factor file, as for `factor_rows`.
        calendar: The trading calendar.
        last_day: The newest session whose close can be known.
    """
    return sorted(_by_row_date(events, first_day, last_day, calendar))


def factor_rows(
    first_day: date,
    events: Events,
    closes: Mapping[date, Decimal | float],
    calendar: USEquityTradingCalendar,
    *,
    last_day: date,
) -> list[FactorRow]:
    """Return the rows of a factor file, ascending, including the one of 2050-12-31.

    With P the last trading day before the ex-date, C its raw close and D the dividend, the price factor up to P is
    the one after P times (C - D)/C, and the split factor up to P the one after P times the split's (LEAN:
    ``CorporateFactorRow.Apply``). D is in dollars per share as at P, before a split of the same date. All events
    with the same P make one row: dividends add up, splits multiply.

    Events up to the first day adjust nothing and are omitted. A future event is omitted, too, until the close before
    it is known: it has no C, and a row of 1 would be wrong for it. From then on it is included, a session before it
    happens: LEAN pays only when a backtest visits the ex-date, but older prices are scaled, and the file is already
    right when the bars of the ex-date are downloaded. A postponed event is removed by the next build.

    Args:
        first_day: When the share was first listed, as in its map file. Nothing before the calendar's first day
            counts. LEAN reads no data before it (LEAN: ``CorporateFactorProvider.FactorFileMinimumDate``).
        events: In any order; two that are equal are two.
        closes: The raw closes in dollars of at least the days of `closes_needed`. A float is taken as its 15
            significant digits, as C# does.
        calendar: The trading calendar.
        last_day: The newest session whose close can be known.

    Raises:
        FactorFileError: A close is missing or not positive, a dividend is not less than the close, or a factor
            cannot be printed in a way that LEAN accepts.
    """
    rows = [LAST_ROW]
    by_date = _by_row_date(events, first_day, last_day, calendar)
    for day in sorted(by_date, reverse=True):
        rows.append(_row_before(rows[-1], day, by_date[day], closes))
    start = max(first_day, calendar.first_day)
    if rows[-1].date != start:
        rows.append(FactorRow(start, rows[-1].price_factor, rows[-1].split_factor, Fraction(1)))
    return rows[::-1]


def _by_row_date(
    events: Events, first_day: date, last_day: date, calendar: USEquityTradingCalendar
) -> dict[date, list[Split | Dividend]]:
    start = max(first_day, calendar.first_day)
    end = calendar.next_trading_day(last_day)
    by_date: dict[date, list[Split | Dividend]] = {}
    every: list[Split | Dividend] = [*events.splits, *events.dividends]
    for event in every:
        if start < event.ex_date <= end:
            day = calendar.previous_trading_day(event.ex_date)
            if day >= start:
                by_date.setdefault(day, []).append(event)
    return by_date


def _row_before(newer: FactorRow, day: date, events: _EventList, closes: Mapping[date, Decimal | float]) -> FactorRow:
    close = _close(closes, day, events)
    amount = sum((Fraction(event.amount) for event in events if isinstance(event, Dividend)), Fraction(0))
    if amount >= Fraction(close):
        what = f"the dividend of {_ex_dates(events)}, ${decimal_text(amount, 4)}, is not less than the close {close}"
        raise _error(day, what)
    price, split = newer.price_factor * (1 - amount / Fraction(close)), newer.split_factor
    for event in events:
        if isinstance(event, Split):
            split *= event.factor
    if round(price, PRICE_DIGITS) <= 0 or round(split, SPLIT_DIGITS) <= 0 or split > MAX_NUMBER:
        raise _error(day, f"with the event of {_ex_dates(events)} a factor is outside the numbers that LEAN can read")
    return FactorRow(day, price, split, Fraction(close))


def _close(closes: Mapping[date, Decimal | float], day: date, events: _EventList) -> Decimal:
    if day not in closes:
        raise _error(day, f"the close is missing, which the event of {_ex_dates(events)} needs")
    value = closes[day]
    close = value if isinstance(value, Decimal) else Decimal(format(value, ".15g"))
    if not close.is_finite() or round(Fraction(close), REFERENCE_DIGITS) <= 0:  # LEAN stops at a reference price of 0
        raise _error(day, f"the close {close} is not a price; the event of {_ex_dates(events)} needs one")
    return close


def _error(day: date, what: str) -> FactorFileError:
    return FactorFileError(f"the factor file cannot be built: on {day} {what}", days=(day,))


def _ex_dates(events: _EventList) -> str:
    return " and ".join(sorted({str(event.ex_date) for event in events}))


# --- map file ---


def inception(
    listing: Listing | None, renames: Renames, calendar: USEquityTradingCalendar, first_data_day: date | None = None
) -> date:
    """Return the first day of the map file, which is also that of the factor file.

    LEAN reads no data before it, so the earliest known day counts: the first day of the listing, of the first ticker,
    or of the data. It is a trading day, not before LEAN's calendar; that calendar's first if nothing is known.
    """
    newest = calendar.previous_trading_day(calendar.last_day)
    first_ticker = renames.changes[0].first_day if renames.changes else None
    known = (first_ticker, listing.listed if listing else None, first_data_day)
    day = min((day for day in known if day is not None and day <= newest), default=calendar.first_day)
    if day <= calendar.first_day:
        return calendar.first_day
    return calendar.next_trading_day(day - timedelta(days=1))


def map_rows(
    ticker: str, listing: Listing | None, renames: Renames, first_day: date, calendar: USEquityTradingCalendar
) -> list[MapRow]:
    """Return the rows of a map file, ascending.

    All rows have the exchange of today, since the vendor does not list former ones. The file ends the share only if
    the listing has both that it is inactive and when it last traded: LEAN sells holdings after that day and reads
    nothing more (LEAN: ``DelistingEventProvider``).

    Args:
        ticker: The share's ticker now, or its last one.
        listing: Reference data of that ticker, if there are any.
        renames: The result of `plausible_renames`; without changes, one ticker for all days.
        first_day: See `inception`.
        calendar: The trading calendar.
    """
    letter = EXCHANGE_LETTERS.get(listing.exchange or "", "") if listing else ""
    changes = [change for change in renames.changes[1:] if change.first_day > first_day]
    earlier = [change.ticker for change in renames.changes if change not in changes]
    tickers = [earlier[-1] if earlier else ticker, *(change.ticker for change in changes)]
    last_days = [calendar.previous_trading_day(change.first_day) for change in changes]
    ends: Sequence[date] = [*last_days, _last_day(listing, first_day, calendar)]
    rows = [MapRow(first_day, tickers[0], letter)]
    rows += [MapRow(day, name, letter) for day, name in zip(ends, tickers, strict=True) if day > first_day]
    return rows


def _last_day(listing: Listing | None, first_day: date, calendar: USEquityTradingCalendar) -> date:
    """The last session of a delisted share, else the end of time."""
    if listing and not listing.active and listing.delisted and first_day < listing.delisted < calendar.last_day:
        return calendar.previous_trading_day(listing.delisted + timedelta(days=1))
    return LAST_DATE
