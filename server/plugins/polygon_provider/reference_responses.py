"""Decodes splits, dividends, ticker changes and ticker details, and validates them. Pure.

Numbers are decoded as decimals from their text, so that 0.1 is a tenth and ``2e+06`` two million.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Generic, TypeVar

import msgspec
from attrs import frozen

from server.corporate_actions.model import Dividend, Listing, Renames, Split, TickerChange
from server.lean.series import Series, parse_symbol
from server.plugins.polygon_provider.requests import bad_response, on_one_line

_SUCCESS = ("OK", "DELAYED")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 1900, 2099
_LEAST, _MOST = Decimal("1e-12"), Decimal("1e12")
"""Limits of plausible numbers of shares and dollars; arithmetic with 1e999999999 would take all memory."""


@frozen(kw_only=True)
class ReferenceRequest:
    """A request for reference data of a ticker; see `Request`."""

    ticker: str
    subject: str
    refresh: bool = False

    @property
    def about(self) -> str:
        """What is requested, for people."""
        return f"the {self.subject} of {self.ticker}"

    @property
    def series(self) -> Series | None:
        """None: it is not about bars."""
        return None

    @property
    def days(self) -> tuple[date, ...]:
        """Empty: it is about all days."""
        return ()


class SplitRecord(msgspec.Struct):
    """One split: ``split_from`` shares become ``split_to`` shares on ``execution_date``."""

    ticker: str
    execution_date: str | None = None
    split_from: Decimal | None = None
    split_to: Decimal | None = None
    id: str | int | None = None


class DividendRecord(msgspec.Struct):
    """One dividend: ``cash_amount`` per share as declared, before later splits. The default currency is the dollar."""

    ticker: str
    ex_dividend_date: str | None = None
    cash_amount: Decimal | None = None
    currency: str | None = None
    id: str | int | None = None


class TickerRecord(msgspec.Struct):
    """Details of a ticker."""

    ticker: str
    name: str | None = None
    active: bool | None = None
    primary_exchange: str | None = None
    list_date: str | None = None
    delisted_utc: str | None = None
    composite_figi: str | None = None


class _Ticker(msgspec.Struct):
    ticker: str | None = None


class _Event(msgspec.Struct):
    type: str | None = None
    date: str | None = None
    ticker_change: _Ticker | None = None


class EventsRecord(msgspec.Struct):
    """Ticker changes of the security that has a ticker."""

    events: list[_Event] | None = None


Results = TypeVar("Results")
Record = TypeVar("Record", SplitRecord, DividendRecord, TickerRecord)


class ReferencePage(msgspec.Struct, Generic[Results]):
    """One response of a reference endpoint. ``results`` may be absent if it is empty."""

    status: str
    results: Results | None = None
    next_url: str | None = None
    request_id: str | int | None = None
    error: str | None = None
    message: str | None = None

    @property
    def id(self) -> str | None:
        """The request id, to quote to the vendor's support."""
        return None if self.request_id is None else str(self.request_id)


def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(ReferencePage[kind])


_decoders: dict[Any, msgspec.json.Decoder[Any]] = {
    kind: _decoder(kind)
    for kind in (list[SplitRecord], list[DividendRecord], list[TickerRecord], TickerRecord, EventsRecord)
}


def read_reference_page(body: bytes, request: ReferenceRequest, kind: type[Results]) -> ReferencePage[Results]:
    """Decode a page, and check that it succeeded and that all its records have the requested ticker.

    Args:
        body: The decompressed body.
        request: The request that it answers.
        kind: The type of its results.

    Raises:
        msgspec.ValidationError: JSON, but not a response of this kind.
        msgspec.DecodeError, RecursionError: Not JSON (cut off, HTML), or nested too deeply.
        BadResponseError: Its status is an error, or a record is about another ticker.
    """
    page: ReferencePage[Results] = _decoders[kind].decode(body)
    if page.status not in _SUCCESS:
        reason = page.error or page.message or "no reason given"
        raise bad_response(request, on_one_line(f"its status is {page.status}: {reason}"), page.id)
    found = page.results
    for record in found if isinstance(found, list) else [found]:
        if isinstance(record, (SplitRecord, DividendRecord, TickerRecord)) and record.ticker != request.ticker:
            raise bad_response(request, on_one_line(f"it is about {record.ticker}"), page.id)
    return page


def splits_of(records: Iterable[SplitRecord], symbol: str) -> tuple[list[tuple[str, Split]], list[str]]:
    """Return the splits, each with the vendor's id, and a notice for each record that is rejected.

    Source: https://massive.com/docs/rest/stocks/corporate-actions/splits; shares per share may be fractions.
    """
    splits: list[tuple[str, Split]] = []
    notices: list[str] = []
    for record in records:
        day, old, new = _day(record.execution_date), _number(record.split_from), _number(record.split_to)
        shown = f"Polygon lists a split of {symbol}, {record.split_to} for {record.split_from}"
        if day is None:
            notices.append(_left_out(f"{shown}, on {record.execution_date or 'no day'}, which cannot be", record.id))
        elif old is None or new is None:
            notices.append(_left_out(f"{shown}, on {day}, which is no ratio", record.id))
        else:
            splits.append((_id(record.id), Split(ex_date=day, old=old, new=new)))
    return splits, notices


def dividends_of(records: Iterable[DividendRecord], symbol: str) -> tuple[list[tuple[str, Dividend]], list[str]]:
    """Return the dividends, special ones included, each with the vendor's id, and a notice for each rejected record.

    Source: https://massive.com/docs/rest/stocks/corporate-actions/dividends; amounts are in dollars per share as
    declared, before later splits.
    """
    dividends: list[tuple[str, Dividend]] = []
    notices: list[str] = []
    for record in records:
        day, amount = _day(record.ex_dividend_date), _number(record.cash_amount)
        currency = record.currency or "USD"
        shown = f"Polygon lists a dividend of {symbol}, {record.cash_amount} {currency} a share"
        if day is None:
            notices.append(_left_out(f"{shown}, on {record.ex_dividend_date or 'no day'}, which cannot be", record.id))
        elif amount is None:
            notices.append(_left_out(f"{shown}, on {day}, which is no amount", record.id))
        elif currency.upper() != "USD":
            notices.append(_left_out(f"{shown}, on {day}, which is not in dollars", record.id))
        else:
            dividends.append((_id(record.id), Dividend(ex_date=day, amount=amount)))
    return dividends, notices


def renames_of(record: EventsRecord | None, symbol: str) -> Renames:
    """Return the tickers of the security that has the ticker `symbol`, ascending by day.

    The endpoint is experimental and known to be wrong in places. An entry without a day, or with a ticker that LEAN
    cannot store, is left out with a notice; the others stay, and are compared with the days on which their tickers
    traded. A list with two tickers on one day, or without the symbol, is rejected as a whole.
    Source: https://massive.com/docs/rest/stocks/corporate-actions/ticker-events
    """
    events = record.events or [] if record else []
    listed = [event for event in events if event.type == "ticker_change"]
    by_day: dict[date, str] = {}
    notices: list[str] = []
    for event in listed:
        given = event.ticker_change.ticker if event.ticker_change else None
        day, ticker = _day(event.date), _ticker(given)
        shown = f"from {event.date or 'no day'} as {given or 'nothing'}"
        if day is None or ticker is None:
            notices.append(on_one_line(f"Polygon lists {symbol} {shown}, which cannot be; that ticker is left out"))
        elif by_day.setdefault(day, ticker) != ticker:
            return _rejected(symbol, f"lists it {shown} and as {by_day[day]}")
    if listed and symbol not in by_day.values():
        return _rejected(symbol, f"lists it only as {', '.join(sorted(set(by_day.values())))}")
    changes = tuple(TickerChange(first_day=day, ticker=by_day[day]) for day in sorted(by_day))
    return Renames(changes=changes, notices=tuple(dict.fromkeys(notices)))


def listing_of(record: TickerRecord) -> Listing:
    """Return the reference data of a ticker.

    ``delisted`` is the vendor's ``delisted_utc``. Its documentation calls that the last date of trading; records of
    securities whose last session is known (YHOO, AABA) have the day after. So trading may have ended a session before.
    Source: https://massive.com/docs/rest/stocks/tickers/ticker-overview
    """
    delisted = _day((record.delisted_utc or "")[:10])
    return Listing(
        ticker=record.ticker,
        active=delisted is None if record.active is None else record.active,
        name=on_one_line(record.name or ""),
        exchange=on_one_line(record.primary_exchange or "") or None,
        listed=_day(record.list_date),
        delisted=delisted,
        figi=on_one_line(record.composite_figi or ""),
    )


def listing_among(records: Sequence[TickerRecord], on: date | None = None) -> Listing | None:
    """Return the delisted security that had a ticker on a day, or last; None without such a security.

    Args:
        records: The delisted securities that had the ticker.
        on: A day. The security that was delisted first from that day on had the ticker, unless it was listed later.
    """
    found = [listing_of(record) for record in records]
    if on is None:
        return max(found, key=lambda listing: listing.delisted or date.min, default=None)
    then = [one for one in found if one.delisted and one.delisted >= on and not (one.listed and one.listed > on)]
    return min(then, key=lambda listing: listing.delisted or date.max, default=None)


def _day(text: str | None) -> date | None:
    """Return the day, if it exists and is within the range of plausible years."""
    if text is None or not _DAY.fullmatch(text):
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if _FIRST_YEAR <= day.year <= _LAST_YEAR else None


def _number(value: Decimal | None) -> Decimal | None:
    return value if value is not None and value.is_finite() and _LEAST <= value <= _MOST else None


def _ticker(text: str | None) -> str | None:
    """Return the ticker, if LEAN can store it. The vendor's lower case is significant (``BACpL``), so it is kept."""
    try:
        return text if text and parse_symbol(text) == text else None
    except ValueError:
        return None


def _id(given: str | int | None) -> str:
    return "" if given is None else str(given)


def _left_out(sentence: str, given: str | int | None) -> str:
    return on_one_line(f"{sentence[:200]}; it is left out" + (f" (its id is {_id(given)[:70]})" if given else ""))


def _rejected(symbol: str, what: str) -> Renames:
    notice = f"Polygon's list of the tickers of {symbol} is not believed, so no rename is taken from it: it {what}"
    return Renames(notices=(on_one_line(notice),))
