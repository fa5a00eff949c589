"""The rows of universe files that LEAN offers an algorithm to select from. Pure.

Source: LEAN, ``BaseDataCollectionSubscriptionEnumeratorFactory`` (which file, when), ``FundamentalUniverse.Reader``
(which rows: of each line the identifier and the ticker), ``CoarseFundamentalDataProvider`` (their numbers, looked up by
the identifier; of several lines of one share those of the last one).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from math import nan
from typing import Any

from attrs import frozen

from server.lean.engine_numbers import UnreadableNumberError, decimal_number, whole_number
from server.lean.feed.files import FeedFiles
from server.lean.feed.sessions import TradingCalendar
from server.lean.layout import EQUITY_USA

UNIVERSE_FILES = f"{EQUITY_USA}/fundamental/coarse"
"""The folder of universe files, below the data folder."""

_ONE_DAY = timedelta(days=1)
_MARGIN = timedelta(days=15)
"""Days before a range in which there is a trading day."""

_LINE_END = re.compile(r"\r\n|\r|\n")
_IDENTIFIER = re.compile(r"[^ |]+ [0-9A-Z]+", re.ASCII)
_BOOLEAN = re.compile(r"\s*(?:true|false)\s*", re.ASCII | re.IGNORECASE)
_BLANK = re.compile(r"\s")
_LEAST_FIELDS = 5


@frozen
class SelectionRow:
    """One security that is offered.

    Attributes:
        security_id: LEAN's identifier.
        ticker: The ticker of the day.
        price: The raw close in dollars.
        volume: Whole shares.
        dollar_volume: Dollars; not a number where a number of the line cannot be read. The others are then 0.
        price_factor: Of the day; 1 in a line without it.
        split_factor: Of the day; 1 in a line without it.
        has_fundamental_data: What the engine answers, whatever the file says.
    """

    security_id: str
    ticker: str
    price: Decimal = Decimal(0)
    volume: int = 0
    dollar_volume: float = nan
    price_factor: Decimal = Decimal(0)
    split_factor: Decimal = Decimal(0)
    has_fundamental_data: bool = False


@frozen
class Selection:
    """What is offered at the midnight at which a day begins.

    Attributes:
        day: That day, mostly the one after the trading day.
        trading_day: The day of the file.
        rows: In the order of the file; empty without a file: the engine then removes all securities of the universe.
        has_file: Whether there is a file.
    """

    day: date
    trading_day: date
    rows: tuple[SelectionRow, ...]
    has_file: bool


def read_selections(files: FeedFiles, start: date, end: date, calendar: TradingCalendar) -> list[Selection]:
    """Return what LEAN offers an algorithm with a universe, in its order.

    Args:
        files: The data folder.
        start: The algorithm's first day. On it the file of the trading day before it is offered.
        end: Its last day, included.
        calendar: Has the trading days of the range and the one before it.
    """
    days = calendar.trading_days(max(start - _MARGIN, calendar.first_day), min(end, calendar.last_day))
    found = []
    for day in [*[day for day in days if day < start][-1:], *[day for day in days if day >= start]]:
        offered = max(day + _ONE_DAY, start)
        if offered <= end:
            content = files.read(f"{UNIVERSE_FILES}/{day:%Y%m%d}.csv")
            rows = () if content is None else read_universe(content)
            found.append(Selection(offered, day, rows, content is not None))
    return found


def read_universe(content: bytes) -> tuple[SelectionRow, ...]:
    """Return the rows that LEAN offers of a universe file; other lines, such as a header, are skipped."""
    lines = [line.split(",") for line in _LINE_END.split(content.decode("utf-8-sig", "replace"))]
    numbers = dict(_numbers(lines))
    return tuple(
        SelectionRow(fields[0], fields[1].upper(), **numbers.get(fields[0], {})) for fields in lines if _is_row(fields)
    )


def _is_row(fields: Sequence[str]) -> bool:
    return len(fields) > 1 and _IDENTIFIER.fullmatch(fields[0]) is not None


def _numbers(lines: Sequence[Sequence[str]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The numbers of each line that can be read, by identifier."""
    for fields in lines:
        if _is_row(fields) and len(fields) >= _LEAST_FIELDS:
            with suppress(UnreadableNumberError):
                yield fields[0], _read_numbers(fields)


def _read_numbers(fields: Sequence[str]) -> Mapping[str, Any]:
    if len(fields) > _LEAST_FIELDS and not _BOOLEAN.fullmatch(fields[5]):
        raise UnreadableNumberError
    factors = [_decimal(field) for field in fields[6:8]] if len(fields) > 7 else [Decimal(1), Decimal(1)]
    return {
        "price": _decimal(fields[2]),
        "volume": whole_number(fields[3].partition(".")[0], 64),
        "dollar_volume": float(_decimal(fields[4])),
        "price_factor": factors[0],
        "split_factor": factors[1],
    }


def _decimal(text: str) -> Decimal:
    """A number as the engine takes it, up to a blank (LEAN: ``Extensions.ToDecimal``)."""
    number = text.lstrip()
    is_negative = number.startswith("-")
    digits, places = decimal_number(_BLANK.split(number[is_negative:], maxsplit=1)[0])
    value = Decimal(digits).scaleb(-places)
    return -value if is_negative else value
