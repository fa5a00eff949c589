"""What several tickers' records say of one share. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from server.corporate_actions.events import Event, gather
from server.corporate_actions.map_file import MapRow, ticker_on
from server.corporate_actions.model import Dividend, Events, Renames, Split


def tickers_of(symbol: str, rows: Sequence[MapRow]) -> list[str]:
    """Each ticker that the share had, in order, and the symbol itself."""
    return list(dict.fromkeys((*(row.ticker for row in rows), symbol)))


def moved_to(symbol: str, renames: Renames) -> str | None:
    """The ticker that the share has now, where the symbol is an earlier one of it."""
    tickers = [change.ticker for change in renames.changes]
    return tickers[-1] if symbol in tickers[:-1] and symbol != tickers[-1] else None


def events_of_share(rows: Sequence[MapRow], found: Mapping[str, Events]) -> Events:
    """The events of a share from those listed under each of its tickers.

    An event counts where it is listed under the ticker of its ex-date: at other times another share may have had that
    ticker. One that is left out for that, and not listed under the right ticker as well, is told.

    Args:
        rows: The share's map file; its first ticker counts for all days before, its last one for all days after.
        found: By ticker.
    """
    splits: list[tuple[str, Split]] = []
    dividends: list[tuple[str, Dividend]] = []
    strangers: dict[str, list[Split | Dividend]] = {}
    for ticker, events in found.items():
        for split in events.splits:
            if _had(rows, ticker, split):
                splits.append(("", split))
            else:
                strangers.setdefault(ticker, []).append(split)
        for dividend in events.dividends:
            if _had(rows, ticker, dividend):
                dividends.append(("", dividend))
            else:
                strangers.setdefault(ticker, []).append(dividend)
    kept = {event for _, event in (*splits, *dividends)}
    notices = [notice for events in found.values() for notice in events.notices]
    for ticker, events_left in strangers.items():
        days = sorted({event.ex_date for event in events_left if event not in kept})
        if days:
            span = f"{days[0]}" if len(days) == 1 else f"{len(days)} days from {days[0]} to {days[-1]}"
            notices.append(f"what is listed under {ticker} of {span} is left out: the share had another ticker then")
    return gather(splits, dividends, notices)


def ticker_for(symbol: str, rows: Sequence[MapRow], day: date) -> str:
    """The ticker of the share on a day; the first one before its map file begins, the last one after it ends."""
    if not rows:
        return symbol
    return ticker_on(rows, min(max(day, rows[0].date), rows[-1].date)) or symbol


def _had(rows: Sequence[MapRow], ticker: str, event: Event) -> bool:
    return not rows or ticker_for(ticker, rows, event.ex_date) == ticker
