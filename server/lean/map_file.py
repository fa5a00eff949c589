"""LEAN's map file: the tickers of a security, and the file's text in both directions. Pure.

A row's date is the last day, inclusive, of its ticker, except that the first row holds the first day and the first
ticker; the last row is of 2050-12-31 while the security is listed, else of its last day (LEAN: ``MapFile``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

from attrs import frozen

from server.lean.errors import FormatError
from server.lean.series import parse_symbol
from server.lean.text_lines import excerpt, parse_date, split_lines


class TickerSpan(NamedTuple):
    """The days, first and last included, on which a security had one ticker."""

    ticker: str
    first: date
    last: date


@frozen
class MapRow:
    """One row of a map file.

    Attributes:
        date: The last day of the ticker; in the first row, the first day of the security.
        ticker: Upper case; the file has it in lower case.
        exchange: LEAN's letter of the primary exchange, or "" if it is not known.
    """

    date: date
    ticker: str
    exchange: str = ""


def render_map_file(rows: Sequence[MapRow]) -> str:
    """Return the text: a line for each row, each with a line feed (LEAN: ``MapFileRow.ToCsv``)."""
    return "".join(
        f"{row.date:%Y%m%d},{row.ticker.lower()}{',' if row.exchange else ''}{row.exchange}\n" for row in rows
    )


def parse_map_file(text: str) -> list[MapRow]:
    """Return the rows that LEAN's engine reads from such a file, ascending; none from an empty file.

    As in the engine, blank and repeated lines are skipped, and a line has an exchange only if it has three fields
    (LEAN: ``MapFileRow.Parse``).

    Raises:
        FormatError: A line cannot be read, and the engine ignores the whole file; or two lines of one date differ, or
            one has no ticker, and the engine stops.
    """
    rows: dict[date, MapRow] = {}
    for line in split_lines(text):
        if not line.strip():
            continue
        row = _parse_row(line)
        if rows.setdefault(row.date, row) != row:
            raise FormatError(f"the line {excerpt(line)} is a second one of its date; LEAN stops at such a map file")
    return [rows[day] for day in sorted(rows)]


def ticker_on(rows: Sequence[MapRow], day: date) -> str | None:
    """Return the ticker on that day: that of the first row not before it (LEAN: ``MapFile.GetMappedSymbol``).

    Returns:
        None before the first row's date and after the last one's: LEAN then has no data (``MapFile.HasData``).
    """
    if not rows or day < rows[0].date:
        return None
    return next((row.ticker for row in rows if row.date >= day), None)


def spans_by_ticker(rows: Sequence[MapRow], first: date, last: date) -> list[TickerSpan]:
    """Divide the days from first to last, both included, by the ticker of each day.

    Returns:
        Spans, ascending, without gaps between them. Days before the first row or after the last one are in none. A
        ticker is in several spans if the security had another one in between.

    Raises:
        FormatError: A ticker is not a US equity symbol; no path and no address is built from it.
    """
    spans: list[TickerSpan] = []
    start = max(first, rows[0].date) if rows else first
    for row in rows:
        end = min(row.date, last)
        if end < start:
            continue
        try:
            ticker = parse_symbol(row.ticker)
        except ValueError as error:
            raise FormatError(f"the map file's row of {row.date}: {error}") from error
        if spans and spans[-1].ticker == ticker:
            spans[-1] = TickerSpan(ticker, spans[-1].first, end)
        else:
            spans.append(TickerSpan(ticker, start, end))
        start = end + timedelta(days=1)
    return spans


def _parse_row(line: str) -> MapRow:
    fields = line.split(",")
    day = parse_date(fields[0])
    if day is None or len(fields) < 2 or (len(fields) == 3 and len(fields[2]) != 1):
        raise FormatError(f"the line {excerpt(line)} is not a row of a map file; LEAN then ignores the whole file")
    if not fields[1]:
        raise FormatError(f"the line {excerpt(line)} has no ticker; LEAN stops at such a map file")
    return MapRow(day, fields[1].upper(), fields[2] if len(fields) == 3 else "")
