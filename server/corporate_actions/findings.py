"""What is known about shares without asking the vendor: from the ledger, and from the files and closes on disk.

The ledger has what the last check found. Without it, doubts about the events of a factor file still follow from the
closes on disk, and another holder of a ticker from the map files. Nothing here writes or sends anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from server.corporate_actions.closes import known_closes
from server.corporate_actions.older_holders import days_of_older_holder
from server.corporate_actions.paths import load_factor_rows, load_map_rows, recorded_findings
from server.corporate_actions.price_changes import Closes, ExpectedChange, PriceChanges, changes_without_event
from server.data_download.data_folder import DataFolder
from server.data_download.days_on_disk import first_day_on_disk
from server.data_download.findings import AcceptedDoubt, Doubt, Findings, OtherHolder, joined
from server.lean.errors import FormatError
from server.lean.factor_file import FactorRow
from server.lean.map_file import MapRow, spans_by_ticker
from server.lean.price_adjustment import changes_factors
from server.trading_calendar import USEquityTradingCalendar


def read_findings(
    folder: DataFolder,
    symbols: Sequence[str],
    calendar: USEquityTradingCalendar,
    *,
    first: date = date.min,
    last: date = date.max,
    accepted: Collection[AcceptedDoubt] = (),
    closes: DataFolder | None = None,
) -> Findings:
    """Return what is known about symbols on the days of a range.

    Args:
        folder: The data folder.
        symbols: Upper case.
        calendar: The trading calendar.
        first: The first day.
        last: The last day, included.
        accepted: The doubts that the user accepts.
        closes: Another folder of daily bars, for days of which the data folder has none.
    """
    checks = folder.ledger.corporate_checks(symbols)
    found = []
    for symbol in symbols:
        on_disk = findings_on_disk(folder, symbol, calendar, closes)
        check = checks.get(symbol)
        if check and check.findings.other_holders:  # with names
            on_disk = Findings(doubts=on_disk.doubts)
        found += [on_disk, *([recorded_findings(folder.path, symbol, check)] if check else [])]
    return joined(found).within(first, last).accepting(accepted)


def findings_on_disk(
    folder: DataFolder, symbol: str, calendar: USEquityTradingCalendar, closes: DataFolder | None = None
) -> Findings:
    """Return what follows about a symbol from files alone (see `read_findings`). Damaged files count as missing."""
    maps: list[MapRow] | None = None
    factors: list[FactorRow] | None = None
    with suppress(FormatError):
        maps = load_map_rows(folder.path, symbol)
    with suppress(FormatError):
        factors = load_factor_rows(folder.path, symbol)
    holder = other_holder(folder.path, symbol, maps, calendar) if maps else None
    known = _closes(folder, symbol, maps)
    if closes is not None and closes is not folder:
        known = dict(sorted({**_closes(closes, symbol, maps), **known}.items()))
    return Findings(
        other_holders=(holder,) if holder else (),
        doubts=tuple(doubts_about_closes(symbol, factors, known, calendar)),
    )


def doubts_about_closes(
    symbol: str, rows: Sequence[FactorRow] | None, closes: Closes, calendar: USEquityTradingCalendar
) -> list[Doubt]:
    """Compare the events of a factor file with raw closes; without a file, no event is expected.

    Args:
        symbol: The share's symbol.
        rows: Of the factor file.
        closes: The share's raw closes, see `Closes`.
        calendar: The trading calendar.
    """
    changes = PriceChanges.of(closes, calendar)
    expected: dict[date, ExpectedChange] = {}
    for row, newer in pairwise(rows or ()):
        if not changes_factors(row, newer) or not calendar.first_day <= row.date < calendar.last_day:
            continue
        at = changes.place(calendar.next_trading_day(row.date))
        if at is not None:
            dividend = 1 - row.price_factor / newer.price_factor
            split = row.split_factor / newer.split_factor
            expected[changes.days[at]] = ExpectedChange(split, max(dividend, Fraction(0)))
    return changes_without_event(symbol, changes, expected)


def other_holder(
    root: Path, symbol: str, rows: Sequence[MapRow], calendar: USEquityTradingCalendar
) -> OtherHolder | None:
    """Return the older holder of a share's first ticker, if bars from before its map file belong to one.

    Args:
        root: LEAN's data folder.
        symbol: The share's symbol.
        rows: Of its map file.
        calendar: The trading calendar.
    """
    ticker, begin = rows[0].ticker, rows[0].date
    with suppress(ValueError):
        first = first_day_on_disk(root, ticker)
        days = days_of_older_holder(root, ticker, begin, calendar) if first and first < begin else []
        if days:
            return OtherHolder(symbol=symbol, ticker=ticker, first_day=days[0], last_day=days[-1])
    return None


def _closes(folder: DataFolder, symbol: str, maps: Sequence[MapRow] | None) -> Mapping[date, Decimal | None]:
    """The closes on disk under the share's ticker of each day; without a usable map file that is the symbol."""
    try:
        spans = spans_by_ticker(maps, maps[0].date, maps[-1].date) if maps else []
    except FormatError:
        spans = []
    if not spans:
        return known_closes(folder, symbol)
    closes: dict[date, Decimal | None] = {}
    for span in spans:
        known = known_closes(folder, span.ticker)
        closes |= {day: close for day, close in known.items() if span.first <= day <= span.last}
    return dict(sorted(closes.items()))
