"""A vendor's records of splits and dividends to what happened: sorted, each once, none that cannot be. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import TypeVar

from server.corporate_actions.model import Dividend, Events, Split

_LEAST, _MOST = Decimal("1e-12"), Decimal("1e12")
"""Numbers beyond these are no shares and no dollars, and one such as 1e999999999 would take all memory."""

Event = TypeVar("Event", Split, Dividend)
_Key = tuple[date, object, str, str]


def gather(
    splits: Iterable[tuple[str, Split]], dividends: Iterable[tuple[str, Dividend]], notices: Iterable[str] = ()
) -> Events:
    """Put a vendor's records in order. The order in which they come does not matter.

    Records are repeats of one another, of which one is kept, if they say the same (the same day and ratio, or the
    same day and amount) or have the same id. Where records of one id say different things, which of them holds
    cannot be known: one is kept, and there is a notice. Other records of one day all hold: dividends add up, and
    splits follow upon one another (a reverse split that a split undoes at once is a way to pay out small holders).

    Args:
        splits: Each with the vendor's id of the record, or "".
        dividends: Likewise, in dollars a share as it was then.
        notices: What the vendor's own reader already had to say; they come first.

    Returns:
        The events, and a notice for each record that is left out: ratios and amounts that are not positive or not
        numbers, and splits that change nothing.
    """
    doubts: list[str] = []
    return Events(
        splits=tuple(_each_once(_usable(splits, _split_fault, _split_text, doubts), _split_key, _split_text, doubts)),
        dividends=tuple(
            _each_once(
                _usable(dividends, _dividend_fault, _dividend_text, doubts), _dividend_key, _dividend_text, doubts
            )
        ),
        notices=(*notices, *dict.fromkeys(sorted(doubts))),
    )


def _usable(
    records: Iterable[tuple[str, Event]],
    fault: Callable[[Event], str | None],
    text: Callable[[Event], str],
    doubts: list[str],
) -> Iterator[tuple[str, Event]]:
    for record, event in records:
        wrong = fault(event)
        if wrong is None:
            yield record, event
        else:
            doubts.append(f"{text(event)} {wrong}; it is left out")


def _each_once(
    records: Iterable[tuple[str, Event]],
    key: Callable[[tuple[str, Event]], _Key],
    text: Callable[[Event], str],
    doubts: list[str],
) -> Iterator[Event]:
    said: set[tuple[date, object]] = set()
    kept: dict[str, Event] = {}
    for record in sorted(records, key=key):
        name, event = record
        day, content, *_ = key(record)
        if (day, content) in said:
            if name:
                kept.setdefault(name, event)
            continue
        if name in kept:
            doubts.append(f"{text(event)} has the same record id as {text(kept[name])} which is kept; it is left out")
            continue
        said.add((day, content))
        if name:
            kept[name] = event
        yield event


def _positive(number: Decimal) -> bool:
    return number.is_finite() and _LEAST <= number <= _MOST


def _split_fault(split: Split) -> str | None:
    if not (_positive(split.old) and _positive(split.new)):
        return "is no ratio"
    return "changes nothing" if split.old == split.new else None


def _dividend_fault(dividend: Dividend) -> str | None:
    return None if _positive(dividend.amount) else "is no amount"


def _split_key(record: tuple[str, Split]) -> _Key:
    name, split = record
    return split.ex_date, split.factor, name, f"{split.new} {split.old}"


def _dividend_key(record: tuple[str, Dividend]) -> _Key:
    name, dividend = record
    return dividend.ex_date, dividend.amount, name, str(dividend.amount)


def _split_text(split: Split) -> str:
    return f"the split of {split.ex_date}, {_number(split.new)} for {_number(split.old)},"


def _dividend_text(dividend: Dividend) -> str:
    return f"the dividend of {dividend.ex_date}, ${_number(dividend.amount)} a share,"


def _number(number: Decimal) -> str:
    return format(number, "f") if _positive(number) else str(number)[:40]
