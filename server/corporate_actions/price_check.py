"""Compares a share's events with its raw closes: closes decide where they can, else they raise doubts. Pure.

A vendor's list and the prices are independent sources. A split is confirmed by the change of the close over its
ex-date; a change without an event shows one that is not listed, such as a spin-off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from math import prod

from attrs import Factory, define, evolve, frozen

from server.corporate_actions.model import Dividend, Events, Split
from server.corporate_actions.price_changes import (
    Closes,
    ExpectedChange,
    PriceChanges,
    changes_without_event,
    distance,
    dollars,
)
from server.corporate_actions.summary import ratio_text
from server.data_download.findings import Doubt, DoubtKind
from server.trading_calendar import USEquityTradingCalendar

FIT = Fraction(5, 4)
"""A change fits a split if it is within this factor of its ratio; prices do not show ratios within it of 1."""

NEAR_DAYS, NEAR_AMOUNT = timedelta(days=10), Fraction(21, 20)
"""Two dividends this close to one another, with amounts within this factor, may be one that is listed twice."""

_PAYER_DAYS, _PAYER_COUNT = timedelta(days=25), 4
"""A share with this number of dividends within this distance of one, itself included, pays every week."""


@frozen(kw_only=True)
class CheckedEvents:
    """Events after the comparison.

    Attributes:
        events: The events to apply.
        notices: A sentence for each event that closes changed or removed.
        doubts: What does not fit.
    """

    events: Events
    notices: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()


def check_events(symbol: str, events: Events, closes: Closes, calendar: USEquityTradingCalendar) -> CheckedEvents:
    """Compare a share's events with its closes.

    A split whose ratio does not fit the change over its date, but fits that of the session before or after, is moved
    there, or left out where the same split is listed there as well; of several splits on one date that do not fit
    together, the one that fits counts. Everything else is applied as listed, with a doubt. Dividends of a session are
    taken out of its change first. Events whose closes are not known are not compared.

    Args:
        symbol: The share's symbol.
        events: Of one holder of the ticker.
        closes: Of the same holder.
        calendar: The trading calendar.
    """
    changes = PriceChanges.of(closes, calendar)
    draft = _Draft(symbol)
    by_date: dict[date, list[Split]] = {}
    for split in events.splits:
        by_date.setdefault(split.ex_date, []).append(split)
    comparison = _Comparison(changes, _expected(evolve(events, splits=()), changes), by_date)
    for day, splits in by_date.items():
        draft.splits += _decide(day, splits, comparison, draft)
    _compare_dividends(events, draft)
    checked = evolve(events, splits=tuple(sorted(draft.splits, key=lambda split: split.ex_date)))
    expected = _expected(checked, changes)
    doubts = [*draft.doubts, *changes_without_event(symbol, changes, expected, {doubt.day for doubt in draft.doubts})]
    return CheckedEvents(
        events=checked, notices=tuple(draft.notices), doubts=tuple(sorted(doubts, key=lambda doubt: doubt.day))
    )


@define
class _Draft:
    symbol: str
    splits: list[Split] = Factory(list)
    notices: list[str] = Factory(list)
    doubts: list[Doubt] = Factory(list)

    def doubt(self, day: date, kind: DoubtKind, message: str) -> None:
        self.doubts.append(Doubt(symbol=self.symbol, day=day, kind=kind, message=message))


@frozen
class _Comparison:
    """The changes of the close, what dividends do to it, and the listed splits by date."""

    changes: PriceChanges
    dividends: Mapping[date, ExpectedChange]
    listed: Mapping[date, Sequence[Split]]

    def over(self, at: int) -> Fraction | None:
        """Return the change of the close without the dividends of the day; None if it is not known."""
        change = self.changes.over(at)
        if change is None:
            return None
        paid = self.dividends.get(self.changes.days[at], ExpectedChange()).dividend
        return change / (1 - paid) if paid < 1 else change

    def fits(self, at: int, total: Fraction) -> bool:
        """Return whether the change at a position shows a split."""
        change = self.over(at)
        return change is not None and distance(change, total) <= FIT

    def shows_elsewhere(self, at: int, split: Split) -> bool:
        """Return whether a change that fits a split is far better explained without it, next to one that shows it.

        A ratio near 1 may fit an ordinary change of the session before or after the split.
        """
        change, one = self.over(at) or Fraction(0), Fraction(1)
        for other in (at - 1, at + 1):
            near = self.over(other)
            if near is None or not self.fits(other, split.factor) or self.listed_at(other):
                continue
            as_listed = distance(change, split.factor) * distance(near, one)
            if as_listed > FIT * distance(change, one) * distance(near, split.factor):
                return True
        return False

    def listed_at(self, at: int) -> list[Split]:
        """Return the splits whose change is the one at a position."""
        return [split for day, splits in self.listed.items() if self.changes.place(day) == at for split in splits]


def _decide(day: date, splits: Sequence[Split], comparison: _Comparison, draft: _Draft) -> Sequence[Split]:
    """Return the splits of one date as the closes show them."""
    at = comparison.changes.place(day)
    if at is None:
        if len(splits) > 1:
            draft.doubt(day, "two_events", f"{_names(splits)} are listed on one day, and the closes are not known")
        return splits
    fits = comparison.fits(at, prod((split.factor for split in splits), start=Fraction(1)))
    if fits and not (len(splits) == 1 and _shows(splits[0]) and comparison.shows_elsewhere(at, splits[0])):
        return splits
    small = [split for split in splits if not _shows(split)]
    large = [split for split in splits if _shows(split)]
    if len(large) > 1:
        return [*small, *_decide_several(day, large, comparison, at, draft)]
    return [*small, *(moved for split in large for moved in _decide_one(split, comparison, at, draft))]


def _decide_one(split: Split, comparison: _Comparison, at: int, draft: _Draft) -> Sequence[Split]:
    """Return a split that may not fit the change at its position: as listed, moved by a session, or left out."""
    if comparison.fits(at, split.factor) and not comparison.shows_elsewhere(at, split):
        return [split]
    changes, ratio = comparison.changes, ratio_text(split.factor)
    near = [other for other in (at - 1, at + 1) if comparison.fits(other, split.factor)]
    listed = comparison.listed_at(near[0]) if len(near) == 1 else []
    if len(near) == 1 and (not listed or [one.factor for one in listed] == [split.factor]):
        shown = changes.days[near[0]]
        what = f"it is listed for {shown}, too, so the other is left out" if listed else f"it is applied on {shown}"
        draft.notices.append(
            f"the split of {draft.symbol}, {ratio}, is listed for {split.ex_date}, but the closes show it on {shown}; "
            f"{what}"
        )
        return [] if listed else [evolve(split, ex_date=shown)]
    message = (
        f"a split of {ratio} is listed, but the close changed from ${changes.closes[at - 1]} to "
        f"${changes.closes[at]}; it is applied as listed"
    )
    draft.doubt(split.ex_date, "split", message)
    return [split]


def _decide_several(
    day: date, splits: Sequence[Split], comparison: _Comparison, at: int, draft: _Draft
) -> Sequence[Split]:
    """Return those of several splits of one date that the change at its position shows."""
    change = comparison.over(at) or Fraction(0)
    if distance(change, prod((split.factor for split in splits), start=Fraction(1))) <= FIT:
        return splits
    fitting = sorted(
        (split for split in splits if distance(change, split.factor) <= FIT),
        key=lambda split: distance(change, split.factor),
    )
    if not fitting:
        message = f"{_names(splits)} are listed on one day, and none fits the change of the close; all are applied"
        draft.doubt(day, "two_events", message)
        return splits
    chosen = fitting[0]
    draft.notices.append(
        f"{_names(splits)} of {draft.symbol} are listed for {day}; the closes show {ratio_text(chosen.factor)}, so "
        f"{'the other is' if len(splits) == 2 else 'the others are'} left out"
    )
    if len(fitting) > 1:
        draft.doubt(day, "two_events", f"{_names(splits)} are listed on one day, and more than one fits the closes")
    return [chosen]


def _shows(split: Split) -> bool:
    """Whether the close shows a split: ratios near 1 cannot be distinguished from other changes."""
    return distance(split.factor, Fraction(1)) > FIT


def _compare_dividends(events: Events, draft: _Draft) -> None:
    """Add doubts about dates with several events and dividends that may be listed twice."""
    paid: dict[date, list[Dividend]] = {}
    for dividend in events.dividends:
        paid.setdefault(dividend.ex_date, []).append(dividend)
    for day, same in paid.items():
        if len(same) > 1:
            draft.doubt(day, "two_events", f"{_amounts(same)} are listed on one day; they add up")
    for day in sorted(paid.keys() & {split.ex_date for split in draft.splits}):
        message = f"{_amounts(paid[day])} and a split are listed on one day; the amount is taken as before the split"
        draft.doubt(day, "two_events", message)
    for earlier, later in _near_pairs(events.dividends):
        if not _pays_weekly(events.dividends, later.ex_date):
            message = (
                f"dividends of {_amount(earlier)} on {earlier.ex_date} and {_amount(later)} on {later.ex_date} may be "
                "one that is listed twice; both are applied"
            )
            draft.doubt(later.ex_date, "near_duplicate", message)


def _near_pairs(dividends: Sequence[Dividend]) -> Iterator[tuple[Dividend, Dividend]]:
    """The dividends of nearly one amount, each with the next one like it within `NEAR_DAYS`."""
    for at, earlier in enumerate(dividends):
        for later in dividends[at + 1 :]:
            if later.ex_date > earlier.ex_date + NEAR_DAYS:
                break
            near = distance(Fraction(earlier.amount), Fraction(later.amount)) <= NEAR_AMOUNT
            if near and earlier.ex_date < later.ex_date:
                yield earlier, later
                break


def _pays_weekly(dividends: Sequence[Dividend], day: date) -> bool:
    return sum(abs(dividend.ex_date - day) <= _PAYER_DAYS for dividend in dividends) >= _PAYER_COUNT


def _expected(events: Events, changes: PriceChanges) -> dict[date, ExpectedChange]:
    expected: dict[date, ExpectedChange] = {}
    for event in events.every:
        at = changes.place(event.ex_date)
        if at is None:
            continue
        day = changes.days[at]
        so_far = expected.get(day, ExpectedChange())
        if isinstance(event, Split):
            expected[day] = evolve(so_far, split=so_far.split * event.factor)
        else:
            paid = Fraction(event.amount) / Fraction(changes.closes[at - 1])
            expected[day] = evolve(so_far, dividend=so_far.dividend + paid)
    return expected


def _names(splits: Sequence[Split]) -> str:
    return "splits of " + " and ".join(ratio_text(split.factor) for split in splits)


def _amounts(dividends: Sequence[Dividend]) -> str:
    return "dividends of " + " and ".join(map(_amount, dividends)) if len(dividends) > 1 else _amount(dividends[0])


def _amount(dividend: Dividend) -> str:
    return f"${dollars(float(dividend.amount))}"
