"""What LEAN does not read of a share in a range because of its factor and map files, as LEAN looks them up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

from attrs import frozen

from server.corporate_actions.file_findings import CorporateFile, factor_file_findings, map_file_findings
from server.corporate_actions.older_holders import days_of_older_holder
from server.data_download.data_findings import DataFinding, FindingKind
from server.data_download.data_folder import DataFolder
from server.lean.days import MS_PER_DAY
from server.lean.errors import FormatError
from server.lean.feed.share import MapFiles, Share
from server.lean.layout import FACTOR_FILES, MAP_FILES, layout_of
from server.lean.map_file import MapRow, parse_map_file
from server.lean.series import Resolution, Series


@frozen(kw_only=True)
class ShareRange:
    """A share in a range of days.

    Attributes:
        symbol: As it was requested.
        share: As LEAN finds it.
        resolution: The length of a bar.
        sessions: All sessions of the range, ascending.
    """

    symbol: str
    share: Share
    resolution: Resolution
    sessions: Sequence[date]


def share_findings(folder: DataFolder, maps: MapFiles, wanted: ShareRange) -> list[DataFinding]:
    """Return what LEAN does not read of a share because of its factor and map files.

    Args:
        folder: The data folder.
        maps: Its map files.
        wanted: The share and its range.
    """
    if not wanted.sessions:
        return []
    symbol, share = wanted.symbol, wanted.share
    found = list(missing_folders(folder.path, wanted))
    factors = _load(maps, symbol, share.factor_path)
    found += factor_file_findings(factors, wanted.sessions) if factors else []
    map_file = _load(maps, symbol, share.map_path)
    found += map_file_findings(map_file) if map_file else []
    found += _unreadable_maps(maps, wanted)
    return [*found, *_days_before(folder, wanted), *_days_after(folder, maps, wanted)]


def missing_folders(root: Path, wanted: ShareRange) -> Iterator[DataFinding]:
    """Return the folders that LEAN expects and does not find (LEAN: ``LocalDiskMapFileProvider``).

    Args:
        root: LEAN's data folder.
        wanted: The share and its range.
    """
    has_factors = bool(wanted.share.factor_rows)
    if not (root / MAP_FILES).is_dir():
        file = CorporateFile(wanted.symbol, MAP_FILES, "")
        message = "there is no such folder, so LEAN applies no split, no dividend and no change of ticker"
        yield file.damage("missing_folder", message) if has_factors else file.notice("missing_folder", message)
    if not (root / FACTOR_FILES).is_dir():
        file = CorporateFile(wanted.symbol, FACTOR_FILES, "")
        yield file.notice("missing_folder", "there is no such folder, so LEAN applies no split and no dividend")


def is_held_later(maps: MapFiles, path: str, row: MapRow) -> bool:
    """Return whether another share's map file has the ticker of a share's last row after it.

    Args:
        maps: The map files of the data folder.
        path: The share's own map file.
        row: Its last row.
    """
    mark = row.ticker.lower().encode()
    for name, content in maps.contents:
        if mark not in content or f"{MAP_FILES}/{name.lower()}.csv" == path:
            continue
        try:
            rows = parse_map_file(content.decode("utf-8", "replace"))
        except FormatError:
            continue
        if any(other.ticker == row.ticker and other.date > row.date for other in rows):
            return True
    return False


def _load(maps: MapFiles, symbol: str, path: str) -> CorporateFile | None:
    content = maps.files.read(path)
    return None if content is None else CorporateFile(symbol, path, content.decode("utf-8", "replace"))


def _unreadable_maps(maps: MapFiles, wanted: ShareRange) -> Iterator[DataFinding]:
    """The map files that name the ticker and of which LEAN ignores all: it takes the ticker for another share."""
    mark = f",{wanted.symbol.lower()}".encode()
    for name, content in maps.contents:
        path = f"{MAP_FILES}/{name.lower()}.csv"
        if mark in content and path != wanted.share.map_path:
            file = CorporateFile(wanted.symbol, path, content.decode("utf-8", "replace"))
            yield from (one for one in map_file_findings(file) if one.is_damage)


def read_bound(series: Series, first: date) -> date:
    """Return the day from which on LEAN reads bars of a share whose first day this is: of daily bars the day before.

    Source: LEAN, ``SubscriptionDataReader``, which compares the ends of bars.
    """
    return first - timedelta(days=1) if layout_of(series).bar_ms >= MS_PER_DAY else first


def _days_before(folder: DataFolder, wanted: ShareRange) -> Iterator[DataFinding]:
    """The days before the first row of the map file, or of the factor file (LEAN: ``SubscriptionDataReader``)."""
    share = wanted.share
    first = share.first_read_day
    if first <= wanted.sessions[0]:
        return
    read_from = read_bound(Series(share.ticker, wanted.resolution), first)
    days = [day for day in wanted.sessions if day < read_from]
    if not days:
        return
    by_map = bool(share.map_rows) and share.map_rows[0].date == first
    file = CorporateFile(wanted.symbol, share.map_path if by_map else share.factor_path, "")
    kind: FindingKind = "map_file_begins_late" if by_map else "factor_file_begins_late"
    ticker = share.map_rows[0].ticker if share.map_rows else share.ticker
    hidden = _on_disk(folder, ticker, wanted.resolution, days)
    if not hidden:
        yield file.notice(kind, f"LEAN reads the share from {first} on, by the first row of this file", days)
    elif not (
        is_own(folder, file.path) or days_of_older_holder(folder.path, ticker, read_from, folder.catalog.calendar)
    ):
        begins = share.map_rows[0].date if by_map else share.factor_rows[0].date
        yield file.damage(kind, hidden_before_text(begins, hidden[0]), hidden)


def _days_after(folder: DataFolder, maps: MapFiles, wanted: ShareRange) -> Iterator[DataFinding]:
    """The days after the last row of the map file, on which LEAN has delisted the share."""
    share = wanted.share
    days = [day for day in wanted.sessions if day > share.delisted_on]
    if not share.map_rows or not days:
        return
    row = share.map_rows[-1]
    file = CorporateFile(wanted.symbol, share.map_path, "")
    hidden = _on_disk(folder, row.ticker, wanted.resolution, days)
    if not hidden:
        yield file.notice("map_file_ends", f"LEAN reads nothing after {row.date}, the last row of this file", days)
    elif not (is_own(folder, file.path) or is_held_later(maps, file.path, row)):
        yield file.damage("map_file_ends", hidden_after_text(row.date, hidden[-1]), hidden)


def hidden_before_text(first: date, earliest: date) -> str:
    """Return why LEAN does not read bars from before the first row of a file."""
    return f"it begins on {first}, but there are bars from {earliest} on; LEAN does not read those before it"


def hidden_after_text(last: date, latest: date) -> str:
    """Return why LEAN does not read bars from after the last row of a map file."""
    return f"it ends on {last}, but there are bars until {latest}; LEAN does not read those after it"


def is_own(folder: DataFolder, path: str) -> bool:
    """Return whether this program wrote the file at a path below the data folder: its first and last row are meant."""
    try:
        return folder.ledger.wrote(path, (folder.path / path).read_bytes())
    except OSError:
        return False


def _on_disk(folder: DataFolder, ticker: str, resolution: Resolution, days: Sequence[date]) -> list[date]:
    state, _ = folder.catalog.scan(Series(ticker, resolution), days)
    return sorted(set(days) & (state.on_disk | state.damaged))
