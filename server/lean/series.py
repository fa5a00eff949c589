"""The key of all market data: which file, gap, lock or event a value belongs to."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
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


_OTHER_SEPARATORS = str.maketrans("-/_", "...")
"""How other programs separate the class of a share, as in BRK-B and BRK/B."""

_LONGEST_SHOWN = 24


def parse_symbol(text: str) -> str:
    """Return the symbol in capitals, as LEAN and the vendor write it (``SPY``, ``BRK.B``).

    Capitals and lower case are accepted, a mixture is not: the vendor's tickers are case-sensitive, and LEAN's file
    names are in lower case (LEAN: ``LeanData.GenerateZipFilePath``), so that two securities would share a file.

    Raises:
        ValueError: The text is not a US equity symbol. No path is ever built from such a text.
    """
    problem = symbol_problem(text)
    if problem:
        shown = text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
        raise ValueError(f"{shown!r} {problem}")
    return text.upper()


def parse_symbols(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the symbols in capitals, each once, in the order of the texts.

    Raises:
        ValueError: Texts are not US equity symbols; the message has all of them.
    """
    symbols: dict[str, None] = {}
    problems: dict[str, None] = {}
    for text in texts:
        try:
            symbols[parse_symbol(text)] = None
        except ValueError as error:
            problems[str(error)] = None
    if problems:
        raise ValueError("; ".join(problems))
    return tuple(symbols)


def symbol_problem(text: str) -> str | None:
    """Why a text is not a US equity symbol, as the end of a sentence that begins with it; None if it is one."""
    capitals = text.upper() if text.isascii() else text
    if not _SYMBOL.fullmatch(capitals):
        nearest = capitals.translate(_OTHER_SEPARATORS)
        advice = "write it as LEAN does, for example SPY or BRK.B"
        return f"is not a US equity symbol; {f'did you mean {nearest}?' if _SYMBOL.fullmatch(nearest) else advice}"
    if text not in (capitals, text.lower()):
        return (
            f"mixes capitals and lower case, which the vendor uses for other securities than {capitals} (BACpB is a "
            f"preferred share) and LEAN cannot store; write {capitals} if you mean that one"
        )
    return None
