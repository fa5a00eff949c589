"""The tickers of a share to the rows of LEAN's map file and back. Pure.

A row's date is the last day, inclusive, of its ticker, except that the first row states the first day with the first
ticker; the last row is of 2050-12-31 while the share is listed, else of its last day (LEAN: ``MapFile``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from attrs import frozen

from server.corporate_actions.lines import LAST_DATE, day_of, lines_of, shown
from server.corporate_actions.model import Listing, Renames
from server.data_download.tickers import TickerSpan
from server.lean.series import parse_symbol
from server.lean.zip import FormatError
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
"""LEAN's letter for each market that lists shares in the US, by its ISO 10383 code; Nasdaq's has four codes
(LEAN: ``Exchanges.GetPrimaryExchange``)."""


@frozen
class MapRow:
    """One row of a map file.

    Attributes:
        date: The last day of the ticker; in the first row, the first day of the share.
        ticker: Upper case; the file has it in lower case.
        exchange: LEAN's letter of the primary exchange, or "" where it is not known.
    """

    date: date
    ticker: str
    exchange: str = ""


def inception(
    listing: Listing | None, renames: Renames, calendar: USEquityTradingCalendar, first_data_day: date | None = None
) -> date:
    """The day at which the map file, and with it the factor file, begins.

    LEAN reads no data before it, so of what is known the earliest counts: the listing's first day, that of the first
    ticker, the first day of which there are data. It is a trading day, not before LEAN's calendar; that calendar's
    first where nothing is known.
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
    """The rows of a map file, ascending.

    All rows have the exchange of today, since the vendor does not say the former ones. The file ends the share only
    where the listing says both that it is inactive and when it last traded: LEAN sells what is held after that day,
    and reads nothing more (LEAN: ``DelistingEventProvider``).

    Args:
        ticker: The share's ticker now, or its last one.
        listing: Reference data of that ticker; None where there are none.
        renames: What `plausible_renames` believes; without changes, one ticker for all days.
        first_day: See `inception`.
    """
    letter = EXCHANGE_LETTERS.get(listing.exchange or "", "") if listing else ""
    end = LAST_DATE
    if listing and not listing.active and listing.delisted and first_day < listing.delisted < calendar.last_day:
        end = calendar.previous_trading_day(listing.delisted + timedelta(days=1))
    changes = [change for change in renames.changes[1:] if change.first_day > first_day]
    earlier = [change.ticker for change in renames.changes if change not in changes]
    tickers = [earlier[-1] if earlier else ticker, *(change.ticker for change in changes)]
    last_days = [calendar.previous_trading_day(change.first_day) for change in changes]
    rows = [MapRow(first_day, tickers[0], letter)]
    rows += [MapRow(day, name, letter) for day, name in zip([*last_days, end], tickers, strict=True) if day > first_day]
    return rows


def map_file_text(rows: Sequence[MapRow]) -> str:
    """The file: a line for each row, each with a line feed (LEAN: ``MapFileRow.ToCsv``)."""
    return "".join(
        f"{row.date:%Y%m%d},{row.ticker.lower()}{',' if row.exchange else ''}{row.exchange}\n" for row in rows
    )


def read_map_file(text: str) -> list[MapRow]:
    """The rows that LEAN's engine has of such a file, ascending; none of an empty file.

    As in the engine, blank lines and repeated ones are passed over, and a line has an exchange only if it has three
    fields (LEAN: ``MapFileRow.Parse``).

    Raises:
        FormatError: A line cannot be read, and the engine goes on without the whole file; or two lines of one date
            differ, or one has no ticker, and the engine stops.
    """
    rows: dict[date, MapRow] = {}
    for line in lines_of(text):
        if not line.strip():
            continue
        row = _row(line)
        if rows.setdefault(row.date, row) != row:
            raise FormatError(f"the line {shown(line)} is a second one of its date; LEAN stops at such a map file")
    return [rows[day] for day in sorted(rows)]


def ticker_on(rows: Sequence[MapRow], day: date) -> str | None:
    """The ticker of the share on that day: that of the first row not before it (LEAN: ``MapFile.GetMappedSymbol``).

    None before the first row's date and after the last one's, when LEAN has no data of it (``MapFile.HasData``).
    """
    if not rows or day < rows[0].date:
        return None
    return next((row.ticker for row in rows if row.date >= day), None)


def split_by_ticker(rows: Sequence[MapRow], first: date, last: date) -> list[TickerSpan]:
    """The days from first to last, both included, by the ticker they were traded under, ascending.

    Days before the first row or after the last one are in none. Days follow upon one another without a gap, and
    one ticker may be there twice, if another share or none had it in between.

    Raises:
        FormatError: A ticker is no US equity symbol; no path and no address must be built from it.
    """
    parts: list[TickerSpan] = []
    start = max(first, rows[0].date) if rows else first
    for row in rows:
        end = min(row.date, last)
        if end < start:
            continue
        try:
            ticker = parse_symbol(row.ticker)
        except ValueError as error:
            raise FormatError(f"the map file's row of {row.date}: {error}") from error
        if parts and parts[-1].ticker == ticker:
            parts[-1] = TickerSpan(ticker, parts[-1].first, end)
        else:
            parts.append(TickerSpan(ticker, start, end))
        start = end + timedelta(days=1)
    return parts


def _row(line: str) -> MapRow:
    fields = line.split(",")
    day = day_of(fields[0])
    if day is None or len(fields) < 2 or (len(fields) == 3 and len(fields[2]) != 1):
        raise FormatError(f"the line {shown(line)} is no row of a map file; LEAN then passes over the whole file")
    if not fields[1]:
        raise FormatError(f"the line {shown(line)} has no ticker; LEAN stops at such a map file")
    return MapRow(day, fields[1].upper(), fields[2] if len(fields) == 3 else "")
