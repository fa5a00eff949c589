"""Which ticker a symbol had on which days."""

from __future__ import annotations

from datetime import date
from typing import Protocol

from server.lean.map_file import TickerSpan


class TickerLookup(Protocol):
    """Finds the tickers of a symbol."""

    def __call__(self, symbol: str, first: date, last: date) -> tuple[list[TickerSpan], str]:
        """Return the range, both days included, as spans, each with its ticker; and a notice, or an empty text."""


def same_ticker(symbol: str, first: date, last: date) -> tuple[list[TickerSpan], str]:
    """Find each symbol under its own name on all days (a `TickerLookup`)."""
    return [TickerSpan(symbol, first, last)], ""
