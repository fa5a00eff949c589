"""Splits, dividends, ticker changes and listings of shares, and the protocol of their source."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from attrs import frozen


@frozen(kw_only=True)
class Split:
    """``new`` shares replace ``old`` ones at the open of ``ex_date``; in a reverse split ``new`` is smaller."""

    ex_date: date
    old: Decimal
    new: Decimal

    @property
    def factor(self) -> Fraction:
        """The multiplier of prices before the split to compare with those after it: 1/4 for a 4:1 split."""
        return Fraction(self.old) / Fraction(self.new)


@frozen(kw_only=True)
class Dividend:
    """Dollars paid to holders before ``ex_date``, per share at that time (not adjusted for later splits)."""

    ex_date: date
    amount: Decimal


@frozen(kw_only=True)
class Events:
    """The splits and dividends of one ticker, ascending by date and without repeats.

    Attributes:
        notices: A sentence for each listed record that could not be used.
    """

    splits: tuple[Split, ...] = ()
    dividends: tuple[Dividend, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def every(self) -> list[Split | Dividend]:
        """Splits and dividends, ascending by date."""
        both: list[Split | Dividend] = [*self.splits, *self.dividends]
        return sorted(both, key=lambda event: event.ex_date)


@frozen(kw_only=True)
class TickerChange:
    """The share trades as ``ticker``, in LEAN's spelling and upper case, from ``first_day`` on."""

    first_day: date
    ticker: str


@frozen(kw_only=True)
class Listing:
    """The vendor's reference data of a ticker.

    Attributes:
        exchange: Market identifier code of the primary exchange, such as XNAS; None if not listed.
        listed: First trading day, if known.
        delisted: Last trading day, if the share is known to be delisted; None while it trades or if not known.
        figi: Composite FIGI, which identifies the share in its country whatever its ticker; empty if not known.
    """

    ticker: str
    active: bool
    name: str = ""
    exchange: str | None = None
    listed: date | None = None
    delisted: date | None = None
    figi: str = ""


@frozen(kw_only=True)
class Renames:
    """The tickers of one share, ascending by their first day; empty if the vendor lists none."""

    changes: tuple[TickerChange, ...] = ()
    notices: tuple[str, ...] = ()


class CorporateActionSource(Protocol):
    """A source of corporate actions. Tickers are in LEAN's spelling, upper case (``BRK.B``).

    Every method raises a `BacktestServerError` if the complete response is not available. Methods are called from
    several threads at once.
    """

    def events(self, ticker: str) -> Events:
        """Return all splits and dividends that the vendor lists under this ticker."""

    def renames(self, ticker: str) -> Renames:
        """Return the tickers of the share that now trades, or last traded, as ``ticker``."""

    def listing(self, ticker: str, on: date | None = None) -> Listing | None:
        """Return reference data of the ticker, as of a day or now; None if the vendor does not know it."""

    def close(self) -> None:
        """Close connections and files."""
