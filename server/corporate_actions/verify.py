"""Checks factor and map files: finds those that LEAN ignores, stops at, or that hide data from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

from attrs import frozen

from server.core.cancel import CancelToken
from server.corporate_actions.older_holders import days_of_older_holder
from server.corporate_actions.paths import (
    load_map_rows,
    read_text,
)
from server.data_download.catalog import first_day_on_disk
from server.data_download.file_check import DamagedFile
from server.lean.errors import FormatError
from server.lean.factor_file import parse_factor_file
from server.lean.layout import FACTOR_FILES, MAP_FILES
from server.lean.map_file import parse_map_file, spans_by_ticker
from server.lean.price_adjustment import changes_factors
from server.lean.series import parse_symbol
from server.lean.text_lines import LAST_DATE, excerpt, parse_date, split_lines
from server.trading_calendar import USEquityTradingCalendar

_IsOurs = Callable[[str, bytes], bool]


@frozen(kw_only=True)
class CheckedFiles:
    """Result of checking factor and map files."""

    files: int
    damaged: tuple[DamagedFile, ...]


def check_files(
    data_folder: Path,
    symbols: Collection[str] = (),
    *,
    ours: _IsOurs = lambda path, content: False,
    cancel: CancelToken,
) -> CheckedFiles:
    """Check every factor and map file.

    Args:
        data_folder: LEAN's.
        symbols: Only these, upper case; all if empty.
        ours: Whether this program wrote a content at a path below the data folder: its first row is then meant, since
            it was computed from the share's history.
        cancel: Stops the check between two files.
    """
    files = 0
    damaged = []
    for folder, find in ((FACTOR_FILES, _factor_file_fault), (MAP_FILES, _map_file_fault)):
        for path, symbol in _files(data_folder / folder, symbols):
            if cancel.cancelled:
                break
            files += 1
            try:
                fault = find(data_folder, path, symbol, ours)
            except FormatError as error:
                fault = str(error)
            if fault:
                damaged.append(DamagedFile(path=path, reason=fault))
    return CheckedFiles(files=files, damaged=tuple(damaged))


def factor_fault(text: str) -> str | None:
    """Return what is wrong with the text of a factor file, or None.

    A line that the engine cannot read, dates that do not ascend, or a reference price of 0 in a row with an event,
    at which the engine stops (LEAN: ``DividendEventProvider``, ``SplitEventProvider``).
    """
    try:
        rows = parse_factor_file(text)
    except FormatError as error:
        return str(error)
    for row, newer in pairwise(rows):
        if row.reference == 0 and changes_factors(row, newer):
            return f"the row of {row.date} has an event and the reference price 0; LEAN stops there"
    return _order_fault(text)


def map_fault(text: str) -> str | None:
    """Return what is wrong with the text of a map file, or None.

    A line that the engine cannot read or stops at, an invalid ticker, or dates that do not ascend.
    """
    try:
        rows = parse_map_file(text)
        if rows:
            spans_by_ticker(rows, rows[0].date, min(rows[-1].date, LAST_DATE))
    except FormatError as error:
        return str(error)
    return _order_fault(text)


def _order_fault(text: str) -> str | None:
    lines = [line for line in split_lines(text) if line.strip()]
    for before, line in pairwise(lines):
        older, newer = parse_date(before.split(",")[0]), parse_date(line.split(",")[0])
        if older and newer and newer <= older:
            return f"the line {excerpt(line)} is not later than the one before it"
    return None


def _factor_file_fault(data_folder: Path, path: Path, symbol: str, ours: _IsOurs) -> str | None:
    text = read_text(path) or ""
    fault = factor_fault(text)
    rows = [] if fault else parse_factor_file(text)
    if not rows or _is_ours(data_folder, path, ours):
        return fault
    return _hidden(data_folder, symbol, rows[0].date - timedelta(days=1), rows[0].date)


def _map_file_fault(data_folder: Path, path: Path, symbol: str, ours: _IsOurs) -> str | None:
    text = read_text(path) or ""
    fault = map_fault(text)
    rows = [] if fault else parse_map_file(text)
    if not rows or _is_ours(data_folder, path, ours):
        return fault
    return _hidden(data_folder, symbol, rows[0].date, rows[0].date)


def _is_ours(data_folder: Path, path: Path, ours: _IsOurs) -> bool:
    return ours(path.relative_to(data_folder).as_posix(), path.read_bytes())


def _hidden(data_folder: Path, symbol: str, read_from: date, first_row: date) -> str | None:
    """Why LEAN does not read bars that exist: they are from before the first row, and not of an older holder."""
    try:
        mapped = load_map_rows(data_folder, symbol)
        ticker = parse_symbol(mapped[0].ticker) if mapped else symbol
    except (FormatError, ValueError):
        ticker = symbol
    earliest = first_day_on_disk(data_folder, ticker)
    if earliest is None or earliest >= read_from:
        return None
    calendar = USEquityTradingCalendar.load(read_from)
    if days_of_older_holder(data_folder, ticker, read_from, calendar):
        return None
    return f"it begins on {first_row}, but there are bars from {earliest} on; LEAN does not read those before it"


def _files(folder: Path, symbols: Collection[str]) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.glob("*.csv")):
        try:
            symbol = parse_symbol(path.stem)
        except ValueError:
            continue
        if not symbols or symbol in symbols:
            yield path, symbol
