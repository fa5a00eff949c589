"""Splits, dividends, renames and delistings, as the engine finds them from trading day to trading day.

Source: LEAN, ``SplitEventProvider``, ``DividendEventProvider``, ``MappingEventProvider``, ``DelistingEventProvider``,
called in this order for each new trading day.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from fractions import Fraction

from server.lean.errors import FormatError
from server.lean.factor_file import FactorRow
from server.lean.feed.items import (
    Delisting,
    DelistingKind,
    Dividend,
    Event,
    Rename,
    Split,
    SplitKind,
)
from server.lean.feed.share import Share
from server.lean.price_adjustment import DISTRIBUTION_DIGITS

_DECIMALS = 28
"""Decimals of a C# decimal."""


class EventFinder:
    """The events of one share, and its current ticker. Days are visited once, ascending."""

    def __init__(self, share: Share, start: date) -> None:
        """Begin with the ticker of the algorithm's first day.

        Args:
            share: The share.
            start: The algorithm's first day.
        """
        self.ticker = share.ticker_on(start, share.ticker) if share.has_data(start) else share.ticker
        self._share = share
        self._split: tuple[FactorRow, FactorRow] | None = None
        self._dividend: tuple[FactorRow, FactorRow] | None = None
        self._warned = self._delisted = False

    def eventful(self, days: Sequence[date]) -> list[int]:
        """Return the places of the trading days on which `visit` may find something; on others it changes nothing.

        Args:
            days: The trading days that will be visited, ascending.
        """
        share = self._share
        places = {0}
        dates = [*(row.date for row in share.factor_rows), *(row.date for row in share.map_rows), share.delisted_on]
        for one in dates:
            at = bisect_left(days, one)
            places |= {at, at + 1}
        return sorted(place for place in places if place < len(days))

    def visit(self, day: date, last_price: float) -> list[Event]:
        """Return the events of a trading day, and take over its ticker.

        Args:
            day: The day.
            last_price: The close of the last row read, 0 before the first one.

        Raises:
            FormatError: An event has the reference price 0, at which the engine ends the share's data.
        """
        ticker = self.ticker
        found: list[Event] = []
        if self._share.has_data(day):
            rows = self._rows_of(day)
            found += self._splits(day, ticker, rows, last_price)
            found += self._dividends(day, ticker, rows)
            self.ticker = self._share.ticker_on(day, ticker)
            if self.ticker != ticker:
                found.append(Rename(day, self.ticker, ticker, self.ticker))
        found += self._delistings(day, ticker)
        return found

    def _rows_of(self, day: date) -> tuple[FactorRow, FactorRow] | None:
        """The row of a day and the next one."""
        rows = self._share.factor_rows
        at = bisect_left(rows, day, key=lambda row: row.date)
        return (rows[at], rows[at + 1]) if at + 1 < len(rows) and rows[at].date == day else None

    def _splits(
        self, day: date, ticker: str, rows: tuple[FactorRow, FactorRow] | None, last_price: float
    ) -> Iterator[Event]:
        if self._split:
            row, newer = self._split
            self._check_reference(row, "split", day)
            factor = float(row.split_factor / newer.split_factor)
            yield Split(day, ticker, SplitKind.OCCURRED, factor, float(row.reference))
        self._split = rows if rows and rows[0].split_factor != rows[1].split_factor else None
        if self._split:
            factor = float(self._split[0].split_factor / self._split[1].split_factor)
            yield Split(day, ticker, SplitKind.WARNING, factor, last_price)

    def _dividends(self, day: date, ticker: str, rows: tuple[FactorRow, FactorRow] | None) -> Iterator[Event]:
        if self._dividend:
            row, newer = self._dividend
            self._check_reference(row, "dividend", day)
            yield Dividend(day, ticker, float(_distribution(row, newer)), float(row.reference))
        self._dividend = rows if rows and rows[0].price_factor != rows[1].price_factor else None

    def _delistings(self, day: date, ticker: str) -> Iterator[Event]:
        last = self._share.delisted_on
        if day >= last and not self._warned:
            self._warned = True
            yield Delisting(last, ticker, DelistingKind.WARNING)
        if day > last and not self._delisted:
            self._delisted = True
            yield Delisting(last + timedelta(days=1), ticker, DelistingKind.DELISTED)

    def _check_reference(self, row: FactorRow, what: str, day: date) -> None:
        if row.reference == 0:
            raise FormatError(
                f"the row of {row.date} has the reference price 0, so LEAN ends the share's data at its {what} of {day}"
            )


def _distribution(row: FactorRow, newer: FactorRow) -> Fraction:
    """The dollars of a dividend, in whole cents, half to even (LEAN: ``Dividend.ComputeDistribution``)."""
    ratio = round(row.price_factor / newer.price_factor, _DECIMALS)
    return round(row.reference - row.reference * ratio, DISTRIBUTION_DIGITS)
