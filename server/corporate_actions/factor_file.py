"""Splits and dividends to the rows of LEAN's factor file and back. Pure.

A row says what prices up to and including its date are multiplied with, so that they compare with today's: the
price factor stands for dividends, the split factor for splits. Rows are worked out from the newest to the oldest in
exact fractions and rounded only when printed (LEAN: ``CorporateFactorRow``, ``CorporateFactorProvider``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction

from attrs import frozen

from server.corporate_actions.lines import LAST_DATE, day_of, lines_of, shown
from server.corporate_actions.model import Dividend, Events, Split
from server.data_download.errors import DownloadError
from server.lean.errors import FormatError
from server.trading_calendar import USEquityTradingCalendar

PRICE_DIGITS, SPLIT_DIGITS, REFERENCE_DIGITS = 7, 8, 4
"""Decimals that LEAN prints of each field (LEAN: ``CorporateFactorRow.GetFileFormat``)."""

_MOST, _DECIMALS = Fraction(79_228_162_514_264_337_593_543_950_335), 28
"""What a C# decimal can hold; LEAN gives up a file with a greater number in it."""

_NUMBER = re.compile(r"[\t-\r ]*([+-]?)(\d+(?:\.\d*)?|\.\d+)[\t-\r ]*([+-]?)[\t-\r ]*", re.ASCII)


class FactorFileError(DownloadError):
    """A factor file cannot be worked out, so none is written: a close is missing, or does not fit an event.

    ``days`` has the day that is at fault.
    """


@frozen
class FactorRow:
    """One row of a factor file.

    Attributes:
        date: The last trading day for which the factors hold; the event is on the trading day after.
        price_factor: For dividends; 1 or less.
        split_factor: For splits; less than 1 before a split, more before a reverse split.
        reference: The raw close of that day in dollars; 1 in a first row without an event, 0 in the last row.
    """

    date: date
    price_factor: Fraction
    split_factor: Fraction
    reference: Fraction


LAST_ROW = FactorRow(LAST_DATE, Fraction(1), Fraction(1), Fraction(0))


def closes_needed(events: Events, first_day: date, calendar: USEquityTradingCalendar, *, last_day: date) -> list[date]:
    """The days of which `factor_rows` needs the raw close: the last trading day before each event, ascending.

    Args:
        first_day: The day at which the factor file begins, as for `factor_rows`.
        last_day: The newest session whose close can be known.
    """
    return sorted(_by_row_date(events, first_day, last_day, calendar))


def factor_rows(
    first_day: date,
    events: Events,
    closes: Mapping[date, Decimal | float],
    calendar: USEquityTradingCalendar,
    *,
    last_day: date,
) -> list[FactorRow]:
    """The rows of a factor file, ascending, the one of 2050-12-31 included.

    With P the last trading day before the ex-date, C its raw close and D the dividend, the price factor up to P is
    the one after P times (C - D)/C, and the split factor up to P the one after P times the split's (LEAN:
    ``CorporateFactorRow.Apply``). D is in dollars per share as at P, before a split of the same date. All events
    with the same P make one row: dividends add up, splits multiply.

    Events up to the first day adjust nothing and are left out. An event in the future is left out, too, until the
    close before it is known: it has no C, and a row of 1 would be wrong for it. From then on it is in, a session
    before it happens: LEAN pays only when a backtest visits the ex-date, older prices are scaled all the same,
    and whoever fetches the bars of the ex-date finds it adjusted already. A postponed event leaves again with the
    next making of the file.

    Args:
        first_day: When the share was first listed, as in its map file. Nothing before the calendar's first day
            counts. LEAN reads no data before it (LEAN: ``CorporateFactorProvider.FactorFileMinimumDate``).
        events: In any order; two that are equal are two.
        closes: The raw closes in dollars of at least the days of `closes_needed`. A float is taken as its 15
            significant digits, as C# does.
        last_day: The newest session whose close can be known.

    Raises:
        FactorFileError: A close is missing or not positive, a dividend is not less than the close, or a factor
            cannot be printed in a way that LEAN accepts.
    """
    rows = [LAST_ROW]
    by_date = _by_row_date(events, first_day, last_day, calendar)
    for day in sorted(by_date, reverse=True):
        newer, found = rows[-1], by_date[day]
        close = _close(closes, day, found)
        paid = sum((Fraction(event.amount) for event in found if isinstance(event, Dividend)), Fraction(0))
        if paid >= Fraction(close):
            what = f"the dividend of {_ex_dates(found)}, ${_plain(paid, 4)}, is not less than the close {close}"
            raise _fault(day, what)
        price, split = newer.price_factor * (1 - paid / Fraction(close)), newer.split_factor
        for event in found:
            if isinstance(event, Split):
                split *= event.factor
        _check_printable(day, found, price, split)
        rows.append(FactorRow(day, price, split, Fraction(close)))
    start = max(first_day, calendar.first_day)
    if rows[-1].date != start:
        rows.append(FactorRow(start, rows[-1].price_factor, rows[-1].split_factor, Fraction(1)))
    return rows[::-1]


def factor_file_text(rows: Sequence[FactorRow]) -> str:
    """The file, as QuantConnect's own are: a line for each row, line feeds between, none at the end, no exponents.

    Factors have 7 and 8 decimals, rounded half to even and with their zeros, or all they have where that is fewer;
    the reference price has up to 4 (LEAN: ``CorporateFactorRow.GetFileFormat``).
    """
    return "\n".join(",".join((f"{row.date:%Y%m%d}", *factor_fields(row))) for row in rows)


def factor_fields(row: FactorRow) -> tuple[str, str, str]:
    """The price factor, split factor and reference price of a row, as LEAN prints them."""
    price, split = _factor(row.price_factor, PRICE_DIGITS), _factor(row.split_factor, SPLIT_DIGITS)
    return price, split, _plain(row.reference, REFERENCE_DIGITS)


def read_factor_file(text: str) -> list[FactorRow]:
    """The rows that LEAN's engine has of such a file, ascending; none of an empty file.

    As in the engine, equal lines count once, lines with ``inf`` or ``e+`` and rows whose factors are not positive
    are passed over, and of several rows of one date the first counts (LEAN: ``PriceScalingExtensions.SafeRead``,
    ``CorporateFactorRow.Parse``).

    Raises:
        FormatError: A line cannot be read. The engine then goes on without the whole file, and says nothing.
    """
    rows: dict[date, FactorRow] = {}
    for line in dict.fromkeys(lines_of(text)):
        if "inf" in line or "e+" in line:
            continue
        row = _row(line)
        if round(row.price_factor * row.split_factor, _DECIMALS) > 0:
            rows.setdefault(row.date, row)
    return [rows[day] for day in sorted(rows)]


_Found = Collection[Split | Dividend]


def _by_row_date(
    events: Events, first_day: date, last_day: date, calendar: USEquityTradingCalendar
) -> dict[date, list[Split | Dividend]]:
    start = max(first_day, calendar.first_day)
    end = calendar.next_trading_day(last_day)
    found: dict[date, list[Split | Dividend]] = {}
    every: list[Split | Dividend] = [*events.splits, *events.dividends]
    for event in every:
        if start < event.ex_date <= end:
            day = calendar.previous_trading_day(event.ex_date)
            if day >= start:
                found.setdefault(day, []).append(event)
    return found


def _close(closes: Mapping[date, Decimal | float], day: date, found: _Found) -> Decimal:
    if day not in closes:
        raise _fault(day, f"the close is missing, which the event of {_ex_dates(found)} needs")
    given = closes[day]
    close = given if isinstance(given, Decimal) else Decimal(format(given, ".15g"))
    if not close.is_finite() or round(Fraction(close), REFERENCE_DIGITS) <= 0:  # LEAN stops at a reference price of 0
        raise _fault(day, f"the close {close} is no price; the event of {_ex_dates(found)} needs one")
    return close


def _check_printable(day: date, found: _Found, price: Fraction, split: Fraction) -> None:
    if round(price, PRICE_DIGITS) <= 0 or round(split, SPLIT_DIGITS) <= 0 or split > _MOST:
        raise _fault(day, f"with the event of {_ex_dates(found)} a factor has no number that LEAN could read")


def _fault(day: date, what: str) -> FactorFileError:
    return FactorFileError(f"no factor file can be made: on {day} {what}", days=(day,))


def _ex_dates(found: _Found) -> str:
    return " and ".join(sorted({str(event.ex_date) for event in found}))


def _factor(value: Fraction, digits: int) -> str:
    """Rounded with its zeros where it has more decimals than that; else as short as it is."""
    text = _rounded(value, digits)
    return text if (value * 10**digits).denominator != 1 else _stripped(text)


def _plain(value: Fraction, digits: int) -> str:
    return _stripped(_rounded(value, digits))


def _rounded(value: Fraction, digits: int) -> str:
    units = round(value * 10**digits)  # a Fraction is rounded half to even
    whole, rest = divmod(abs(units), 10**digits)
    return f"{'-' if units < 0 else ''}{whole}.{rest:0{digits}d}"


def _stripped(text: str) -> str:
    return text.rstrip("0").rstrip(".")


def _row(line: str) -> FactorRow:
    fields = line.split(",")
    day, numbers = day_of(fields[0]), [_number(field) for field in fields[1:4]]
    given = [number for number in numbers if number is not None]
    if day is None or len(numbers) < 2 or len(given) < len(numbers) or abs(given[0] * given[1]) > _MOST:
        raise FormatError(f"the line {shown(line)} is no row of a factor file; LEAN then passes over the whole file")
    return FactorRow(day, given[0], given[1], given[2] if len(given) > 2 else Fraction(0))


def _number(text: str) -> Fraction | None:
    """What C# makes of it (``NumberStyles.Number``): no exponent, a sign at either end, 28 decimals."""
    found = _NUMBER.fullmatch(text)
    if not found or (found[1] and found[3]):
        return None
    number = round(Fraction(Decimal(found[2])), _DECIMALS)
    if number > _MOST:
        return None
    return -number if "-" in (found[1], found[3]) else number
