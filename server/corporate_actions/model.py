"""What happened to a share, and where that can be asked."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from attrs import field, frozen


@frozen(kw_only=True)
class Split:
    """``new`` shares for every ``old`` ones, from the open of ``ex_date`` on; fewer in a reverse split."""

    ex_date: date
    old: Decimal
    new: Decimal

    @property
    def factor(self) -> Fraction:
        """What prices before the split are multiplied with to compare with those after it: 1/4 for a 4:1 split."""
        return Fraction(self.old) / Fraction(self.new)


@frozen(kw_only=True)
class Dividend:
    """Dollars paid for each share as it was then (not adjusted for later splits) to who held it before ``ex_date``."""

    ex_date: date
    amount: Decimal


@frozen(kw_only=True)
class Events:
    """The splits and dividends of one ticker, ascending by date and without repeats.

    Attributes:
        notices: What the vendor lists that could not be used, one sentence each.
    """

    splits: tuple[Split, ...] = ()
    dividends: tuple[Dividend, ...] = ()
    notices: tuple[str, ...] = ()


@frozen(kw_only=True)
class TickerChange:
    """From ``first_day`` on the share trades as ``ticker``, in LEAN's spelling, upper case."""

    first_day: date
    ticker: str


@frozen(kw_only=True)
class Listing:
    """What the vendor's reference data say of a ticker.

    Attributes:
        exchange: Market identifier code of the primary exchange, such as XNAS; None where it is not said.
        listed: First trading day, if known.
        delisted: Last trading day, if the share is known to be delisted; None while it trades or where nobody knows.
    """

    ticker: str
    active: bool
    name: str = ""
    exchange: str | None = None
    listed: date | None = None
    delisted: date | None = None


@frozen(kw_only=True)
class Renames:
    """The tickers of one share, ascending by their first day; empty where the vendor knows of none."""

    changes: tuple[TickerChange, ...] = ()
    notices: tuple[str, ...] = field(default=(), converter=tuple)


class CorporateActionSource(Protocol):
    """A source of corporate actions. Tickers are in LEAN's spelling, upper case (``BRK.B``).

    Every method raises a `BacktestServerError` where the answer cannot be had, and never gives a part for the whole.
    """

    def events(self, ticker: str) -> Events:
        """All splits and dividends that the vendor lists under this ticker."""

    def renames(self, ticker: str) -> Renames:
        """The tickers of the share that now trades, or last traded, as ``ticker``."""

    def listing(self, ticker: str, on: date | None = None) -> Listing | None:
        """Reference data of the ticker, as of a day or now; None where the vendor does not know it."""

    def close(self) -> None:
        """Let go of connections and files."""
