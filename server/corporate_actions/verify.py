"""Checks factor and map files: finds those that LEAN ignores, stops at, or that hide data from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date, timedelta
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from attrs import frozen

from server.core.cancel import CancelToken
from server.corporate_actions.file_findings import (
    CorporateFile,
    factor_file_findings,
    map_file_findings,
    no_reference_text,
    order_fault,
)
from server.corporate_actions.older_holders import days_of_older_holder
from server.corporate_actions.paths import load_map_rows, read_text
from server.corporate_actions.share_check import hidden_after_text, hidden_before_text, is_held_later, read_bound
from server.data_download.data_findings import DataFinding
from server.data_download.days_on_disk import days_on_disk, first_days_on_disk
from server.data_download.feed_files import FolderFiles
from server.data_download.file_check import DamagedFile
from server.lean.errors import FormatError
from server.lean.factor_file import parse_factor_file
from server.lean.feed.share import MapFiles
from server.lean.layout import FACTOR_FILES, MAP_FILES
from server.lean.map_file import MapRow, parse_map_file
from server.lean.price_adjustment import changes_factors
from server.lean.series import parse_symbol
from server.lean.text_lines import LAST_DATE
from server.trading_calendar import USEquityTradingCalendar

_IsOurs = Callable[[str, bytes], bool]


@frozen(kw_only=True)
class CheckedFiles:
    """Result of checking factor and map files.

    Attributes:
        findings: What LEAN ignores of them, stops at, or does not see because of them, over all sessions.
    """

    files: int
    damaged: tuple[DamagedFile, ...]
    findings: tuple[DataFinding, ...] = ()


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
        ours: Whether this program wrote a content at a path below the data folder: its first and last row are then
            meant, since they were computed from the share's history.
        cancel: Stops the check between two files.
    """
    files = 0
    damaged: list[DamagedFile] = []
    findings: list[DataFinding] = []
    check = _Check(data_folder, ours)
    for folder, find in ((FACTOR_FILES, check.factor_file), (MAP_FILES, check.map_file)):
        for path, symbol in _files(data_folder / folder, symbols):
            if cancel.cancelled:
                break
            files += 1
            found, fault = find(path, symbol)
            findings += found
            reasons = [fault] if fault else [one.message for one in found if one.is_damage]
            damaged += [DamagedFile(path=path, reason=reasons[0])] if reasons else []
    return CheckedFiles(files=files, damaged=tuple(damaged), findings=tuple(findings))


@frozen(eq=False)
class _Check:
    """A check of the files of one data folder."""

    data_folder: Path
    ours: _IsOurs

    @cached_property
    def _calendar(self) -> USEquityTradingCalendar:
        return USEquityTradingCalendar.shipped()

    @cached_property
    def _sessions(self) -> Sequence[date]:
        return self._calendar.trading_days(self._calendar.first_day, self._calendar.last_day)

    @cached_property
    def _maps(self) -> MapFiles:
        return MapFiles(FolderFiles(self.data_folder))

    def factor_file(self, path: Path, symbol: str) -> tuple[list[DataFinding], str | None]:
        """Return what was found about a factor file, and why verify calls its text damaged."""
        file, problem = self._load(path, symbol)
        if problem:
            return [file.damage("unreadable_file", problem)], None
        found, fault = factor_file_findings(file, self._sessions), factor_fault(file.text)
        rows = [] if fault else parse_factor_file(file.text)
        if rows and not self._is_own(path):
            hidden = self._hidden_before(symbol, rows[0].date - timedelta(days=1), rows[0].date)
            found += [file.damage("factor_file_begins_late", hidden)] if hidden else []
        return found, fault

    def map_file(self, path: Path, symbol: str) -> tuple[list[DataFinding], str | None]:
        """Return what was found about a map file, and why verify calls its text damaged."""
        file, problem = self._load(path, symbol)
        if problem:
            return [file.damage("unreadable_file", problem)], None
        found, fault = map_file_findings(file), map_fault(file.text)
        rows = [] if fault else parse_map_file(file.text)
        if rows and not self._is_own(path):
            hidden = self._hidden_before(symbol, rows[0].date, rows[0].date)
            found += [file.damage("map_file_begins_late", hidden)] if hidden else []
            after = self._hidden_after(file.path, rows)
            found += [file.damage("map_file_ends", hidden_after_text(rows[-1].date, after[-1]), after)] if after else []
        return found, fault

    def _load(self, path: Path, symbol: str) -> tuple[CorporateFile, str]:
        """The file, and why it cannot be opened."""
        relative = path.relative_to(self.data_folder).as_posix()
        try:
            return CorporateFile(symbol, relative, read_text(path) or ""), ""
        except FormatError as error:
            return CorporateFile(symbol, relative, ""), str(error)

    def _is_own(self, path: Path) -> bool:
        return self.ours(path.relative_to(self.data_folder).as_posix(), path.read_bytes())

    def _hidden_before(self, symbol: str, read_from: date, first_row: date) -> str | None:
        """Why LEAN does not read bars that exist: they are from before the first row, and not of an older holder."""
        try:
            mapped = load_map_rows(self.data_folder, symbol)
            ticker = parse_symbol(mapped[0].ticker) if mapped else symbol
        except (FormatError, ValueError):
            ticker = symbol
        begins = first_days_on_disk(self.data_folder, ticker)
        earliest = min((day for series, day in begins if day < read_bound(series, read_from)), default=None)
        if earliest is None:
            return None
        calendar = USEquityTradingCalendar.load(read_from)
        if days_of_older_holder(self.data_folder, ticker, read_from, calendar):
            return None
        return hidden_before_text(first_row, earliest)

    def _hidden_after(self, path: str, rows: Sequence[MapRow]) -> list[date]:
        """The days with bars after the last row, at which LEAN delists the share, if they are not of a later holder.

        A file ``<name>.<n>.csv`` is of an older holder of the ticker (LEAN: ``MapFile.Permtick``).
        """
        last = rows[-1]
        if last.date >= LAST_DATE or Path(path).stem.rpartition(".")[2].isdecimal():
            return []
        days = sorted(day for day in days_on_disk(self.data_folder, last.ticker) if day > last.date)
        return days if days and not is_held_later(self._maps, path, last) else []


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
            return no_reference_text(row)
    return order_fault(text)


def map_fault(text: str) -> str | None:
    """Return what is wrong with the text of a map file, or None.

    A line that the engine cannot read or stops at, an invalid ticker, or dates that do not ascend.
    """
    findings = map_file_findings(CorporateFile("", "", text))
    return findings[0].message if findings else None


def _files(folder: Path, symbols: Collection[str]) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.glob("*.csv")):
        try:
            symbol = parse_symbol(path.stem)
        except ValueError:
            continue
        if not symbols or symbol in symbols:
            yield path, symbol
