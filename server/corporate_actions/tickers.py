"""Under which ticker a share's days are asked for and filed: what its map file on disk says.

The common case, a share that always had one ticker, is told without loading anything.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from attrs import frozen

from server.data_download.tickers import TickerSpan, same_ticker
from server.lean.layout import EQUITY_USA


@frozen
class TickersOnDisk:
    """The map files of a data folder, ours or QuantConnect's (see `Tickers`)."""

    root: Path

    def __call__(self, symbol: str, first: date, last: date) -> tuple[list[TickerSpan], str]:
        """Return the range as spans by ticker.

        On days of which the map file says nothing the symbol is its own ticker. So it is, with a notice, where the file
        cannot be read: LEAN ignores such a file.
        """
        try:
            content = (self.root / EQUITY_USA / "map_files" / f"{symbol.lower()}.csv").read_bytes()
        except OSError:
            return same_ticker(symbol, first, last)
        name = symbol.encode()
        if all(line.split(b",")[1:2] == [name] for line in content.upper().split()):
            return same_ticker(symbol, first, last)
        from server.corporate_actions.map_file import split_by_ticker
        from server.corporate_actions.paths import load_map_rows
        from server.lean.zip import FormatError

        try:
            known = split_by_ticker(load_map_rows(self.root, symbol) or [], first, last)
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
