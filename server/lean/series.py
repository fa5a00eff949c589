"""The key of all market data: which file, gap, lock or event a value belongs to."""

from __future__ import annotations

import enum
import re
from zoneinfo import ZoneInfo

from attrs import frozen

NEW_YORK = ZoneInfo("America/New_York")
"""Data time zone of US equities (LEAN: ``market-hours-database.json``)."""


class Resolution(enum.StrEnum):
    """Length of a bar, named as in LEAN's paths (LEAN: ``Resolution``)."""

    DAILY = "daily"
    HOUR = "hour"
    MINUTE = "minute"
    SECOND = "second"


class DataType(enum.StrEnum):
    """What a row holds, named as in LEAN's file names (LEAN: ``TickType``)."""

    TRADE = "trade"
    QUOTE = "quote"


class SecurityType(enum.StrEnum):
    """The class of a security, named as in LEAN's paths (LEAN: ``SecurityType``)."""

    EQUITY = "equity"


@frozen(order=True)
class Series:
    """The data that LEAN stores under one name.

    A symbol is a security; a series belongs to the ticker that the security had on the days concerned, which its map
    file gives.

    Attributes:
        ticker: Upper case, as `parse_symbol` returns it: ``SPY``, ``BRK.B``.
    """

    ticker: str
    resolution: Resolution
    data_type: DataType = DataType.TRADE
    security_type: SecurityType = SecurityType.EQUITY
    market: str = "usa"

    @property
    def key(self) -> str:
        """The series as one text, unique and stable, for databases: ``equity/usa/minute/trade/SPY``."""
        kind, size, what = self.security_type.value, self.resolution.value, self.data_type.value
        return f"{kind}/{self.market}/{size}/{what}/{self.ticker}"

    def __str__(self) -> str:
        """The series for people: ``SPY minute``, and the data type where it is not trades."""
        kind = "" if self.data_type is DataType.TRADE else f" {self.data_type.value}"
        return f"{self.ticker} {self.resolution.value}{kind}"


_SYMBOL = re.compile(r"[A-Z][A-Z0-9]{0,9}(?:\.[A-Z0-9]{1,3}){0,2}", re.ASCII)


def parse_symbol(text: str) -> str:
    """Return the symbol in capitals, as LEAN and the vendor write it (``SPY``, ``BRK.B``).

    Raises:
        ValueError: The text is not a US equity symbol. No path is ever built from such a text.
    """
    symbol = text.upper() if text.isascii() else text
    if not _SYMBOL.fullmatch(symbol):
        shown = text if len(text) <= 24 else text[:21] + "..."
        raise ValueError(f"{shown!r} is not a US equity symbol; write it as LEAN does, for example SPY or BRK.B")
    return symbol
