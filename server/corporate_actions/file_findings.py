"""What LEAN ignores of factor and map files, stops at, or does not see because of them. Texts are those of `verify`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import pairwise

from attrs import frozen

from server.data_download.data_findings import DataFinding, FindingKind
from server.lean.errors import FormatError
from server.lean.factor_file import FactorRow, parse_factor_file
from server.lean.map_file import parse_map_file, spans_by_ticker
from server.lean.price_adjustment import changes_factors
from server.lean.text_lines import LAST_DATE, excerpt, parse_date, split_lines


@frozen
class CorporateFile:
    """A factor or map file.

    Attributes:
        symbol: The share's.
        path: Below the data folder.
        text: As C# reads it.
    """

    symbol: str
    path: str
    text: str

    def damage(self, kind: FindingKind, message: str, days: Sequence[date] = ()) -> DataFinding:
        """Return a finding about the file that makes LEAN lose days, events or the share."""
        return DataFinding(
            symbol=self.symbol, path=self.path, kind=kind, severity="damage", days=tuple(days), message=message
        )

    def notice(self, kind: FindingKind, message: str, days: Sequence[date] = ()) -> DataFinding:
        """Return a finding about the file by which LEAN loses nothing that exists."""
        return DataFinding(
            symbol=self.symbol,
            path=self.path,
            kind=kind,
            severity="notice",
            days=tuple(days),
            message=message,
            loses=False,
        )


def factor_file_findings(file: CorporateFile, sessions: Sequence[date]) -> list[DataFinding]:
    """Return what LEAN ignores of a factor file, or stops at, while it runs over these sessions.

    Args:
        file: The file.
        sessions: Ascending, without a gap.
    """
    try:
        rows = parse_factor_file(file.text)
    except FormatError as error:
        return [file.damage("unreadable_line", str(error))]
    return [*_order(file), *_no_reference(file, rows, sessions), *_closed_days(file, rows, sessions)]


def map_file_findings(file: CorporateFile) -> list[DataFinding]:
    """Return what LEAN ignores of a map file, or stops at."""
    try:
        rows = parse_map_file(file.text)
        if rows:
            spans_by_ticker(rows, rows[0].date, min(rows[-1].date, LAST_DATE))
    except FormatError as error:
        return [file.damage("unreadable_line", str(error))]
    return _order(file)


def no_reference_text(row: FactorRow) -> str:
    """Return what a row with an event and without a reference price does."""
    return f"the row of {row.date} has an event and the reference price 0; LEAN stops there"


def order_fault(text: str) -> str | None:
    """Return the first line that is not later than the one before it; None where all are."""
    lines = [line for line in split_lines(text) if line.strip()]
    for before, line in pairwise(lines):
        older, newer = parse_date(before.split(",")[0]), parse_date(line.split(",")[0])
        if older and newer and newer <= older:
            return f"the line {excerpt(line)} is not later than the one before it"
    return None


def _order(file: CorporateFile) -> list[DataFinding]:
    """LEAN sorts the rows of both files (LEAN: ``CorporateFactorProvider``, ``MapFile``)."""
    fault = order_fault(file.text)
    return [file.notice("lines_out_of_order", fault)] if fault else []


def _no_reference(file: CorporateFile, rows: Sequence[FactorRow], sessions: Sequence[date]) -> Iterator[DataFinding]:
    """The first event at which LEAN ends the share's data: on the session after its row."""
    for row, newer in pairwise(rows):
        at = bisect_left(sessions, row.date)
        lost = sessions[at + 1 :] if at < len(sessions) and sessions[at] == row.date else ()
        if lost and row.reference == 0 and changes_factors(row, newer):
            yield file.damage("no_reference_price", no_reference_text(row), lost)
            return


def _closed_days(file: CorporateFile, rows: Sequence[FactorRow], sessions: Sequence[date]) -> Iterator[DataFinding]:
    """The rows whose event LEAN never feeds."""
    for row, newer in pairwise(rows):
        at = bisect_left(sessions, row.date)
        if 0 < at < len(sessions) and sessions[at] != row.date and changes_factors(row, newer):
            message = (
                f"the exchange was closed on {row.date}, so LEAN scales prices by the row of that day and never feeds "
                "its event"
            )
            yield file.damage("event_on_closed_day", message, [row.date])
