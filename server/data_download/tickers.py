"""The tickers under which a security's days are requested and stored, from its map file on disk.

In the common case, a security that always had one ticker, no other module is loaded.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Protocol

from attrs import frozen

from server.lean.layout import MAP_FILES
from server.lean.map_file import TickerSpan, parse_map_file, spans_by_ticker


class TickerLookup(Protocol):
    """Finds the tickers of a symbol."""

    def __call__(self, symbol: str, first: date, last: date) -> tuple[list[TickerSpan], str]:
        """Return the range, both days included, as spans, each with its ticker; and a notice, or an empty text."""


def same_ticker(symbol: str, first: date, last: date) -> tuple[list[TickerSpan], str]:
    """Find each symbol under its own name on all days (a `TickerLookup`)."""
    return [TickerSpan(symbol, first, last)], ""


@frozen
class TickersOnDisk:
    """Finds tickers in the map files of a data folder, of any origin (a `TickerLookup`)."""

    root: Path

    def __call__(self, symbol: str, first: date, last: date) -> tuple[list[TickerSpan], str]:
        """Return the range as spans by ticker.

        On days that the map file does not cover the ticker is the symbol itself. So it is on all days, with a notice,
        if the file cannot be read: LEAN ignores such a file.
        """
        try:
            content = (self.root / MAP_FILES / f"{symbol.lower()}.csv").read_bytes()
        except OSError:
            return same_ticker(symbol, first, last)
        name = symbol.encode()
        if all(line.split(b",")[1:2] == [name] for line in content.upper().split()):
            return same_ticker(symbol, first, last)
        from server.lean.errors import FormatError

        try:
            known = spans_by_ticker(parse_map_file(content.decode("utf-8", "replace")), first, last)
        except FormatError as error:
            notice = f"the map file of {symbol} cannot be used, so all days are requested as {symbol}: {error}"
            return same_ticker(symbol, first, last)[0], notice
        return _filled(symbol, known, first, last), ""


def _filled(symbol: str, known: list[TickerSpan], first: date, last: date) -> list[TickerSpan]:
    """The known spans, with spans of the symbol's own name for the days between them."""
    spans: list[TickerSpan] = []
    day = timedelta(days=1)
    for span in known:
        if span.first > first:
            spans.append(TickerSpan(symbol, first, span.first - day))
        spans.append(span)
        first = span.last + day
    if first <= last:
        spans.append(TickerSpan(symbol, first, last))
    return spans
