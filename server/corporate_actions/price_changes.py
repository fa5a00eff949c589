"""Changes of a share's raw close from session to session, and doubts about those that no event explains. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import numpy as np
from attrs import frozen

from server.corporate_actions.summary import ratio_text
from server.data_download.findings import Doubt
from server.trading_calendar import USEquityTradingCalendar

LARGE_CHANGE = Fraction(8, 5)
"""A change beyond this factor needs an event."""

LARGE_DIVIDEND = Fraction(1, 10)
"""Of the close before the ex-date."""

_NOTABLE = 1.59
"""Below `LARGE_CHANGE`, so that rounding hides none."""

Closes = Mapping[date, Decimal | None]
"""Raw closes in dollars by session, ascending; None where it is known that there is no bar. Other sessions are not
known."""


@frozen
class ExpectedChange:
    """What the events of a session do to the close.

    Attributes:
        split: The multiplier of the price; 1 without a split.
        dividend: The part of the close before that was paid; 0 without a dividend.
    """

    split: Fraction = Fraction(1)
    dividend: Fraction = Fraction(0)


@frozen
class PriceChanges:
    """The closes of the sessions with bars, ascending, and which of them follow one another.

    Attributes:
        comparable: For each, whether all sessions since the one before it are known to have no bar.
    """

    days: Sequence[date]
    closes: Sequence[Decimal]
    comparable: Sequence[bool]
    index: Mapping[date, int]

    @classmethod
    def of(cls, closes: Closes, calendar: USEquityTradingCalendar) -> PriceChanges:
        """Arrange closes. Those of days outside the calendar are not comparable with anything, and left out."""
        with_bars = [
            (day, close)
            for day, close in closes.items()
            if close is not None and close > 0 and calendar.first_day <= day <= calendar.last_day
        ]
        days = [day for day, _ in with_bars]
        number = {day: at for at, day in enumerate(calendar.trading_days(days[0], days[-1]))} if days else {}
        sessions = list(number)
        comparable = [False]
        for before, day in pairwise(days):
            between = sessions[number[before] + 1 : number[day]] if before in number and day in number else [day]
            comparable.append(all(other in closes and closes[other] is None for other in between))
        return cls(
            days, [close for _, close in with_bars], comparable[: len(days)], {day: at for at, day in enumerate(days)}
        )

    def notable(self, expected: Collection[date]) -> list[int]:
        """Return the positions of the days that have events, and of those whose change may be large, ascending."""
        prices = np.array([float(close) for close in self.closes])
        ratios = np.ones(len(prices))
        ratios[1:] = prices[1:] / prices[:-1]
        large = np.flatnonzero((ratios > _NOTABLE) | (ratios < 1 / _NOTABLE)).tolist()
        return sorted({*large, *(self.index[day] for day in expected if day in self.index)})

    def over(self, at: int) -> Fraction | None:
        """Return the close of a day divided by the one before it; None if one of them is not known."""
        if not 0 < at < len(self.days) or not self.comparable[at]:
            return None
        return Fraction(self.closes[at]) / Fraction(self.closes[at - 1])

    def place(self, ex_date: date) -> int | None:
        """Return the position of the first day with a bar from an ex-date on; None without one, or far off.

        The days of the price before and after an event must follow one another, with the ex-date between them.
        """
        at = self.index.get(ex_date)
        if at is None:
            at = next((number for number, day in enumerate(self.days) if day >= ex_date), None)
        if at is None or self.over(at) is None or self.days[at - 1] >= ex_date:
            return None
        return at


def changes_without_event(
    symbol: str, changes: PriceChanges, expected: Mapping[date, ExpectedChange], known: set[date] | None = None
) -> list[Doubt]:
    """Return a doubt for each large dividend and each large change of the close that no event explains.

    Args:
        symbol: The share's symbol.
        changes: The changes of its close.
        expected: By session, what its events do.
        known: Sessions that have a doubt already.
    """
    doubts: list[Doubt] = []
    for at in changes.notable(expected):
        day = changes.days[at]
        change = changes.over(at)
        event = expected.get(day, ExpectedChange())
        before = changes.closes[at - 1] if at else Decimal(0)
        if event.dividend > LARGE_DIVIDEND and change is not None:
            amount = f"${dollars(float(event.dividend) * float(before))}"
            message = f"the dividend of {amount} is {float(event.dividend):.0%} of the close before it, ${before}"
            doubts.append(Doubt(symbol=symbol, day=day, kind="large_dividend", message=message))
        if change is None or day in (known or ()):
            continue
        if distance(change, event.split * (1 - event.dividend)) > LARGE_CHANGE:
            doubts.append(_change_doubt(symbol, day, (before, changes.closes[at]), event))
    return doubts


def _change_doubt(symbol: str, day: date, closes: tuple[Decimal, Decimal], event: ExpectedChange) -> Doubt:
    before, after = closes
    moved = f"the close changed from ${before} to ${after}"
    if event.split != 1:
        message = f"{moved}, which a split of {ratio_text(event.split)} does not explain"
        return Doubt(symbol=symbol, day=day, kind="split", message=message)
    if event.dividend:
        message = f"{moved}, which the dividend of ${dollars(float(event.dividend) * float(before))} does not explain"
        return Doubt(symbol=symbol, day=day, kind="price_change", message=message)
    fell = "a spin-off or a split" if after < before else "a reverse split"
    message = f"{moved}, and no event is listed that explains it; it may be {fell} that the vendor does not list"
    return Doubt(symbol=symbol, day=day, kind="price_change", message=message)


def distance(one: Fraction, other: Fraction) -> Fraction:
    """Return the factor, at least 1, between two positive numbers; a huge one if one of them is not positive."""
    if one <= 0 or other <= 0:
        return Fraction(10**9)
    return max(one / other, other / one)


def dollars(amount: float) -> str:
    """Return an amount with up to four decimals, without a sign of the currency."""
    return f"{amount:.4f}".rstrip("0").rstrip(".")
