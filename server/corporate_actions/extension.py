"""Files of another origin: whether they are what this program would have written, what they lack, and adding it. Pure.

A file of another program is known through its last event: what the vendor lists after it is missing from the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise

from attrs import evolve

from server.corporate_actions.model import Dividend, Events
from server.corporate_actions.summary import ratio_text
from server.data_download.findings import LaterEvent
from server.lean.factor_file import LAST_ROW, FactorRow, render_factor_file
from server.lean.map_file import MapRow, render_map_file, ticker_on
from server.lean.price_adjustment import Factors, changes_factors, factors_on
from server.lean.text_lines import LAST_DATE
from server.trading_calendar import USEquityTradingCalendar


def known_through(rows: Sequence[FactorRow]) -> date:
    """Return the date of the last row of a factor file that has an event; of the first row if none has one."""
    events = [row.date for row, newer in pairwise(rows) if changes_factors(row, newer)]
    return events[-1] if events else rows[0].date


def later_events(
    symbol: str,
    rows: Sequence[FactorRow],
    events: Events,
    calendar: USEquityTradingCalendar,
    *,
    last_day: date,
) -> list[LaterEvent]:
    """Return the vendor's events after the last one of a factor file, up to the session after `last_day`.

    Args:
        symbol: The share's symbol.
        rows: Of the existing file, ascending.
        events: What the vendor lists.
        calendar: The trading calendar.
        last_day: The newest settled session.
    """
    through, end = known_through(rows), calendar.next_trading_day(last_day)
    start = max(through, calendar.first_day)
    found = []
    for event in events.every:
        if start < event.ex_date <= end and calendar.previous_trading_day(event.ex_date) > through:
            if isinstance(event, Dividend):
                what = f"dividend of ${event.amount:f}"
            else:
                what = f"split of {ratio_text(event.factor)}"
            found.append(LaterEvent(symbol=symbol, day=event.ex_date, what=what))
    return found


def is_own_factor_file(content: bytes, rows: Sequence[FactorRow], computed: Sequence[FactorRow]) -> bool:
    """Return whether a factor file is what this program writes from the events up to its last row.

    Args:
        content: The existing file.
        rows: Its rows, ascending.
        computed: The rows that would be written now for the same first day, ascending.
    """
    return content == render_factor_file(rows_through(computed, known_through(rows))).encode()


def rows_through(computed: Sequence[FactorRow], through: date) -> list[FactorRow]:
    """Return rows as they were before the events after a day: those rows are removed, and their factors divided out."""
    kept = [row for row in computed if row.date <= through]
    newer = next((row for row in computed if row.date > through), LAST_ROW)
    older = [
        evolve(
            row,
            price_factor=row.price_factor / newer.price_factor,
            split_factor=row.split_factor / newer.split_factor,
        )
        for row in kept
    ]
    return [*older, LAST_ROW]


def extended_factor_rows(rows: Sequence[FactorRow], computed: Sequence[FactorRow]) -> list[FactorRow]:
    """Return the rows of an existing factor file with the later events composed in.

    The printed factors of its rows are multiplied by the factors of the later events, as when LEAN's own generator
    adds a new row (LEAN: ``CorporateFactorProvider.Apply``).

    Args:
        rows: Of the existing file, ascending, as printed.
        computed: The rows that would be written from the vendor's events, ascending.
    """
    through = known_through(rows)
    later = [row for row, newer in pairwise(computed) if row.date > through and changes_factors(row, newer)]
    if not later:
        return list(rows)
    added = {row.date for row in later}
    kept = [row for row in rows if row.date < LAST_DATE and row.date not in added]
    composed = [*(_times(row, factors_on(later, row.date)) for row in kept), *later]
    return [*sorted(composed, key=lambda row: row.date), LAST_ROW]


def _times(row: FactorRow, factors: Factors) -> FactorRow:
    return evolve(row, price_factor=row.price_factor * factors.price, split_factor=row.split_factor * factors.split)


def later_changes(symbol: str, rows: Sequence[MapRow], computed: Sequence[MapRow]) -> list[LaterEvent]:
    """Return the changes of ticker and the delisting that the vendor lists after the last change of a map file."""
    through = _last_change(rows)
    found = [
        LaterEvent(
            symbol=symbol,
            day=row.date + timedelta(days=1),
            what=f"change of ticker from {row.ticker} to {newer.ticker}",
        )
        for row, newer in _changes_after(rows, [row for row in computed[1:] if row.date > through])
    ]
    if _is_delisted_since(rows, computed):
        found.append(LaterEvent(symbol=symbol, day=computed[-1].date, what="delisting"))
    return found


def extended_map_rows(rows: Sequence[MapRow], computed: Sequence[MapRow]) -> list[MapRow]:
    """Return the rows of an existing map file with the later changes of ticker and the delisting added.

    The rows are unchanged if `later_changes` is empty.
    """
    through = _last_change(rows)
    later = [row for row in computed[1:] if row.date > through]
    if not _changes_after(rows, later) and not _is_delisted_since(rows, computed):
        return list(rows)
    kept = [row for row in rows if row.date <= through]
    if len(kept) == 1:  # the first row has the first ticker
        kept = [evolve(kept[0], ticker=ticker_on(computed, max(through, computed[0].date)) or kept[0].ticker)]
    return [*kept, *(evolve(row, exchange=rows[-1].exchange) for row in later)]


def is_own_map_file(content: bytes, computed: Sequence[MapRow], first_day: date | None = None) -> bool:
    """Return whether a map file is what this program writes, now or before the share was delisted.

    Args:
        content: The existing file.
        computed: The rows that would be written now.
        first_day: Another first day that the file may have.
    """
    if first_day is not None:
        computed = [evolve(computed[0], date=first_day), *computed[1:]]
    listed = [*computed[:-1], evolve(computed[-1], date=LAST_DATE)]
    return content in (render_map_file(computed).encode(), render_map_file(listed).encode())


def _changes_after(rows: Sequence[MapRow], later: Sequence[MapRow]) -> list[tuple[MapRow, MapRow]]:
    """The changes among later rows that an existing file lacks: the rows of the earlier and of the later ticker."""
    return [(row, newer) for row, newer in pairwise(later) if ticker_on(rows, row.date) != row.ticker]


def _is_delisted_since(rows: Sequence[MapRow], computed: Sequence[MapRow]) -> bool:
    return computed[-1].date < LAST_DATE <= rows[-1].date


def _last_change(rows: Sequence[MapRow]) -> date:
    """The last day of the ticker before the current one; the first row's date if there was only one."""
    changes = [row.date for row, newer in pairwise(rows[1:]) if row.ticker != newer.ticker]
    return changes[-1] if changes else rows[0].date
