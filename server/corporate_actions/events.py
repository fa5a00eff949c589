"""A share's splits and dividends from a vendor's records: sorted, without repeats, only valid ones. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import TypeVar

from attrs import evolve

from server.corporate_actions.model import Dividend, Events, Renames, Split
from server.lean.map_file import MapRow, ticker_on

_MIN, _MAX = Decimal("1e-12"), Decimal("1e12")
"""Numbers beyond these are not numbers of shares or dollars; one such as 1e999999999 would use all memory."""

_Event = TypeVar("_Event", Split, Dividend)
_Key = tuple[date, object, str, str]


# --- one ticker ---


def gather(
    splits: Iterable[tuple[str, Split]], dividends: Iterable[tuple[str, Dividend]], notices: Iterable[str] = ()
) -> Events:
    """Sort a vendor's records, given in any order, and remove repeats and invalid ones.

    Records are repeats of one another, of which one is kept, if they have the same content (the same day and ratio,
    or the same day and amount) or the same id. If records of one id differ, which one is right cannot be known: one
    is kept, with a notice. Other records of one day all count: dividends add up, and splits multiply (a reverse split
    that a split undoes at once is a way to pay out small holders).

    Args:
        splits: Each with the vendor's id of the record, or "".
        dividends: Likewise, in dollars per share at that time.
        notices: Notices of the vendor's own parser; they come first.

    Returns:
        The events, and a notice for each record that was rejected: ratios and amounts that are not positive or not
        numbers, and splits that change nothing.
    """
    rejected: list[str] = []
    valid_splits = _valid(splits, _split_fault, _split_text, rejected)
    valid_dividends = _valid(dividends, _dividend_fault, _dividend_text, rejected)
    return Events(
        splits=tuple(_without_repeats(valid_splits, _split_key, _split_text, rejected)),
        dividends=tuple(_without_repeats(valid_dividends, _dividend_key, _dividend_text, rejected)),
        notices=(*notices, *dict.fromkeys(sorted(rejected))),
    )


def _valid(
    records: Iterable[tuple[str, _Event]],
    fault: Callable[[_Event], str | None],
    text: Callable[[_Event], str],
    rejected: list[str],
) -> Iterator[tuple[str, _Event]]:
    for record_id, event in records:
        found = fault(event)
        if found is None:
            yield record_id, event
        else:
            rejected.append(f"{text(event)} {found}; it is left out")


def _without_repeats(
    records: Iterable[tuple[str, _Event]],
    key: Callable[[tuple[str, _Event]], _Key],
    text: Callable[[_Event], str],
    rejected: list[str],
) -> Iterator[_Event]:
    seen: set[tuple[date, object]] = set()
    kept: dict[str, _Event] = {}
    for record in sorted(records, key=key):
        record_id, event = record
        day, content, *_ = key(record)
        if (day, content) in seen:
            if record_id:
                kept.setdefault(record_id, event)
            continue
        if record_id in kept:
            other = text(kept[record_id])
            rejected.append(f"{text(event)} has the same record id as {other} which is kept; it is left out")
            continue
        seen.add((day, content))
        if record_id:
            kept[record_id] = event
        yield event


def _is_plausible(number: Decimal) -> bool:
    return number.is_finite() and _MIN <= number <= _MAX


def _split_fault(split: Split) -> str | None:
    if not (_is_plausible(split.old) and _is_plausible(split.new)):
        return "is not a valid ratio"
    return "changes nothing" if split.old == split.new else None


def _dividend_fault(dividend: Dividend) -> str | None:
    return None if _is_plausible(dividend.amount) else "is not a valid amount"


def _split_key(record: tuple[str, Split]) -> _Key:
    record_id, split = record
    return split.ex_date, split.factor, record_id, f"{split.new} {split.old}"


def _dividend_key(record: tuple[str, Dividend]) -> _Key:
    record_id, dividend = record
    return dividend.ex_date, dividend.amount, record_id, str(dividend.amount)


def _split_text(split: Split) -> str:
    return f"the split of {split.ex_date}, {_number(split.new)} for {_number(split.old)},"


def _dividend_text(dividend: Dividend) -> str:
    return f"the dividend of {dividend.ex_date}, ${_number(dividend.amount)} a share,"


def _number(number: Decimal) -> str:
    return format(number, "f") if _is_plausible(number) else str(number)[:40]


# --- all tickers of a share ---


def tickers_of(symbol: str, rows: Sequence[MapRow]) -> list[str]:
    """Return each ticker that the share had, in order, and the symbol itself."""
    return list(dict.fromkeys((*(row.ticker for row in rows), symbol)))


def current_ticker(symbol: str, renames: Renames) -> str | None:
    """Return the ticker that the share has now if the symbol is an earlier one of it, else None."""
    tickers = [change.ticker for change in renames.changes]
    return tickers[-1] if symbol in tickers[:-1] and symbol != tickers[-1] else None


def ticker_for(symbol: str, rows: Sequence[MapRow], day: date) -> str:
    """Return the share's ticker on a day; the first one before its map file begins, the last one after it ends."""
    if not rows:
        return symbol
    return ticker_on(rows, min(max(day, rows[0].date), rows[-1].date)) or symbol


def unattributed_events(rows: Sequence[MapRow], events: Mapping[str, Events]) -> dict[str, list[date]]:
    """Return by ticker the ex-dates of events that are listed only under another ticker than the share's of that day.

    A vendor that restates lists the events of a share under its later ticker, too; but at that time another share may
    have had it.

    Args:
        rows: The share's map file, see `events_of_share`.
        events: By ticker.
    """
    counted = _counted(rows, events)
    dates = {(type(event), event.ex_date) for event in counted}
    found: dict[str, list[date]] = {}
    for ticker, listed in events.items():
        days = {event.ex_date for event in listed.every if (type(event), event.ex_date) not in dates}
        if days:
            found[ticker] = sorted(days)
    return found


def events_of_share(
    rows: Sequence[MapRow], events: Mapping[str, Events], restated: Mapping[str, Collection[date]] | None = None
) -> Events:
    """Return the events of a share from those listed under each of its tickers.

    An event counts if it is listed under the share's ticker of its ex-date: at other times another share may have had
    that ticker. One that is not listed under the right ticker counts if it is known that no other share had the ticker
    then; otherwise it is left out, with a notice.

    Args:
        rows: The share's map file; its first ticker counts for all days before, its last one for all days after.
        events: By ticker.
        restated: By ticker, ex-dates on which no other share had it.
    """
    restated = restated or {}
    counted = _counted(rows, events)
    dates = {(type(event), event.ex_date) for event in counted}
    notices = [notice for listed in events.values() for notice in listed.notices]
    for ticker, listed in events.items():
        others = [event for event in listed.every if event not in counted]
        counted.update(
            event
            for event in others
            if event.ex_date in restated.get(ticker, ()) and (type(event), event.ex_date) not in dates
        )
        days = sorted({event.ex_date for event in others if event not in counted})
        if days:
            span = f"{days[0]}" if len(days) == 1 else f"{len(days)} days from {days[0]} to {days[-1]}"
            notices.append(f"events listed under {ticker} on {span} are left out: the share had another ticker then")
    splits = [("", event) for event in counted if isinstance(event, Split)]
    dividends = [("", event) for event in counted if isinstance(event, Dividend)]
    return gather(splits, dividends, notices)


def events_from(events: Events, first_day: date) -> Events:
    """Return the events after a share's first day: those up to it adjust nothing, or are another holder's."""
    return evolve(
        events,
        splits=tuple(split for split in events.splits if split.ex_date > first_day),
        dividends=tuple(dividend for dividend in events.dividends if dividend.ex_date > first_day),
    )


def events_until(events: Events, last_day: date) -> Events:
    """Return the events up to a day, included."""
    return evolve(
        events,
        splits=tuple(split for split in events.splits if split.ex_date <= last_day),
        dividends=tuple(dividend for dividend in events.dividends if dividend.ex_date <= last_day),
    )


def _counted(rows: Sequence[MapRow], events: Mapping[str, Events]) -> set[Split | Dividend]:
    """The events that are listed under the share's ticker of their ex-date."""
    return {event for ticker, listed in events.items() for event in listed.every if _had_ticker(rows, ticker, event)}


def _had_ticker(rows: Sequence[MapRow], ticker: str, event: Split | Dividend) -> bool:
    return not rows or ticker_for(ticker, rows, event.ex_date) == ticker
