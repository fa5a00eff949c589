"""LEAN's security identifier of a US equity, in both directions. Pure.

It consists of the first ticker of the share and of a number in base 36, which holds the first date of the share's map
file: ``GOOG T1AZ164W5VTX`` (LEAN: ``SecurityIdentifier.GenerateEquity``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta

from server.lean.errors import FormatError
from server.lean.map_file import MapRow
from server.lean.text_lines import excerpt

NO_FIRST_DATE = date(1899, 12, 30)
"""The date of a share without a map file (LEAN: ``SecurityIdentifier.DefaultDate``)."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DAY = 10**14
"""What one day adds to the number (LEAN: ``DaysOffset``)."""

_MAX_DAYS = 99_999
"""Days since 1899-12-30 that the number has digits for (LEAN: ``DaysWidth``)."""

_US_EQUITY = 101
"""Market usa, 1 with two digits behind it, and security type equity, 1."""

_SECURITY_ID = re.compile(r"([^ |,]+) ([0-9A-Z]{1,13})", re.ASCII)
_HOLDER = re.compile(r"\.\d+$", re.ASCII)


def security_id(first_ticker: str, first_date: date = NO_FIRST_DATE) -> str:
    """Return the identifier of a share.

    Args:
        first_ticker: The first ticker in the share's map file; its ticker if there is no map file.
        first_date: The first date in the map file.

    Raises:
        ValueError: The ticker is empty or has a character that separates parts of an identifier, or the date is before
            1899-12-30 or after 2173-10-13.
    """
    days = (first_date - NO_FIRST_DATE).days
    if not first_ticker or set(first_ticker) & set(" |,") or not 0 <= days <= _MAX_DAYS:
        raise ValueError(f"LEAN has no identifier for {first_ticker!r} from {first_date} on")
    return f"{first_ticker.upper()} {_base36(days * _DAY + _US_EQUITY)}"


def security_id_of_share(ticker: str, rows: Sequence[MapRow]) -> str:
    """Return the identifier of a share by the rows of its map file.

    A number after the last dot of the first ticker is not part of it (LEAN: ``MapFile.FirstTicker``).

    Args:
        ticker: A ticker of the share, for a share without a map file.
        rows: The rows of its map file, ascending; empty without one.

    Raises:
        ValueError: See `security_id`.
    """
    return security_id(_HOLDER.sub("", rows[0].ticker), rows[0].date) if rows else security_id(ticker)


def parse_security_id(text: str) -> tuple[str, date]:
    """Return the first ticker and the first date of a share; `NO_FIRST_DATE` where it has no map file.

    Raises:
        FormatError: The text is not the identifier of a US equity.
    """
    found = _SECURITY_ID.fullmatch(text)
    days, rest = divmod(int(found[2], 36), _DAY) if found else (0, 0)
    if found is None or rest != _US_EQUITY or days > _MAX_DAYS:
        raise FormatError(f"{excerpt(text)} is not the identifier of a US equity")
    return found[1], NO_FIRST_DATE + timedelta(days=days)


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits
