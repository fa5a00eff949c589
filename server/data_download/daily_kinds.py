"""Which kind of daily bars a file holds: a vendor's own, or the aggregate of the regular session.

Both kinds are stored in one file, and LEAN reads them alike. The ledger records the kind of each row that this program
wrote, with a checksum of the row: a row that another program changed has no recorded kind. Of rows without one, those
that equal the aggregate of the day's hour bars on disk are of the regular session; the kind of the others is unknown.
"""

from __future__ import annotations

import enum
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from server.lean.errors import FormatError
from server.lean.layout import layout_of
from server.lean.series import Series

if TYPE_CHECKING:
    from server.data_download.data_folder import DataFolder
    from server.data_download.ledger import Ledger
    from server.lean.trade_csv import DayText


class DailyKind(enum.StrEnum):
    """How a daily bar came about, or all those of a file."""

    VENDOR = "vendor"
    REGULAR_SESSION = "regular-session"
    UNKNOWN = "unknown"
    MIXED = "mixed"


_KINDS_OF_ROWS = (DailyKind.VENDOR, DailyKind.REGULAR_SESSION, DailyKind.UNKNOWN)


@frozen(kw_only=True)
class DailyKinds:
    """The kinds of the daily bars in a file.

    Attributes:
        path: The file.
        kind: The kind of all rows, or `mixed` where there are several.
        rows: The number of rows of each kind that occurs.
    """

    path: Path
    kind: DailyKind
    rows: dict[DailyKind, int]

    @property
    def sentence(self) -> str:
        """The kind as one line of text, with the number of rows of each kind where there are several."""
        return f"daily bars: {self.kind}{f' ({self._counts})' if len(self.rows) > 1 else ''}"

    @property
    def notice(self) -> str | None:
        """What to do about a file with several kinds; None for any other."""
        if self.kind is not DailyKind.MIXED:
            return None
        return (
            f"{self.path} is mixed: its daily bars are of several kinds ({self._counts}), which differ in volumes and "
            "closes; download --refresh requests a range again in the kind that the setting daily-bars names"
        )

    @property
    def _counts(self) -> str:
        return ", ".join(f"{number:,} {kind}" for kind, number in self.rows.items())


def record_kind(ledger: Ledger, series: Series, kind: DailyKind, texts: Sequence[DayText]) -> None:
    """Record the kind of daily rows that are about to be written; rows of other series have none.

    Raises:
        WriteFailedError: The ledger cannot be written.
    """
    from server.lean.aggregation import has_kinds

    if has_kinds(series):
        ledger.record_row_kinds(series, kind.value, {text.day: zlib.crc32(text.csv) for text in texts})


def read_kinds(folder: DataFolder, series: Series) -> DailyKinds | None:
    """Read which kinds of daily bars a file holds.

    Returns:
        None for a series whose bars have no kinds, and where the file does not exist or cannot be read.
    """
    from server.lean.aggregation import has_kinds
    from server.lean.irregular import read_rows

    if not has_kinds(series):
        return None
    layout = layout_of(series)
    path = folder.path / layout.path(None)
    try:
        rows = read_rows(layout, path.read_bytes(), None)
    except (OSError, FormatError):
        return None
    if not rows:
        return None
    known = _recorded(folder.ledger.row_kinds(series), rows)
    unknown = {day: row for day, row in rows.items() if day not in known}
    known |= dict.fromkeys(_aggregates(folder.path, series, unknown), DailyKind.REGULAR_SESSION)
    counts = Counter(known.get(day, DailyKind.UNKNOWN) for day in rows)
    kind = next(iter(counts)) if len(counts) == 1 else DailyKind.MIXED
    return DailyKinds(path=path, kind=kind, rows={one: counts[one] for one in _KINDS_OF_ROWS if one in counts})


def _recorded(recorded: Mapping[str, Mapping[date, int]], rows: Mapping[date, bytes]) -> dict[date, DailyKind]:
    """The kinds of rows that are as they were recorded."""
    found = {}
    for name, checksums in recorded.items():
        for day, checksum in checksums.items():
            if day in rows and zlib.crc32(rows[day]) == checksum:
                found[day] = DailyKind(name)
    return found


def _aggregates(root: Path, series: Series, rows: Mapping[date, bytes]) -> list[date]:
    """The days whose row is the aggregate of the day's hour bars on disk."""
    from server.data_download.bars_on_disk import regular_hours
    from server.lean.aggregation import daily_bars, hours_of

    if not rows:
        return []
    days, hours = regular_hours(root, hours_of(series), sorted(rows))
    if not days:
        return []
    texts = layout_of(series).render(daily_bars(hours, days), days)
    return [text.day for text in texts if text.csv == rows[text.day]]
