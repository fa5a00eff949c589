"""What the data folder holds. Nothing here writes into it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

from attrs import define, field, frozen

from server.data_download.availability import DayState, Gap, SeriesState, find_gap
from server.data_download.ledger import FileMark, Ledger
from server.lean.layout import EQUITY_USA, Layout, layout_of, parse_path
from server.lean.series import NEW_YORK, DataType, Resolution, Series, parse_symbol
from server.trading_calendar import POST_MARKET_CLOSE, SETTLE_DELAY, USEquityTradingCalendar


@frozen(kw_only=True)
class DamagedFile:
    """A file that is not what LEAN would have written, and why."""

    path: Path
    reason: str


@define
class _Scan:
    """What a scan of one series found so far."""

    on_disk: set[date] = field(factory=set)
    damaged_days: set[date] = field(factory=set)
    damaged: list[DamagedFile] = field(factory=list)
    verified: list[tuple[date | None, FileMark]] = field(factory=list)


@frozen
class Catalog:
    """The bars of a data folder, by series. Safe to use from several threads.

    A file counts as checked while its size and modification time are those that the ledger recorded; any other file is
    opened and checked, and recorded then.
    """

    root: Path
    ledger: Ledger
    calendar: USEquityTradingCalendar

    def states(self, series: Series, days: Sequence[date]) -> dict[date, DayState]:
        """The state of each of these trading days."""
        state, _ = self.scan(series, days)
        return {day: state.of(day) for day in days}

    def missing(self, series: Series, days: Sequence[date], now: datetime) -> Gap | None:
        """The days of a series to fetch, or None if nothing is missing.

        Args:
            series: The series.
            days: Trading days, ascending.
            now: In UTC.
        """
        state, _ = self.scan(series, days)
        return find_gap(days, state, now, self.calendar.settled_through(now))

    def scan(self, series: Series, days: Sequence[date]) -> tuple[SeriesState, list[DamagedFile]]:
        """What there is of these days of a series, and which files are damaged."""
        found = self._scan_files(layout_of(series), days, self.ledger.files(series))
        if found.verified:
            self._record(series, found.verified)
        state = SeriesState(
            series=series,
            on_disk=found.on_disk,
            damaged=found.damaged_days,
            provisional=self.ledger.provisional_days(series),
            empty=self.ledger.empty_days(series),
        )
        return state, found.damaged

    def days_once_held(self, series: Series, day: date | None) -> set[date]:
        """The days that a damaged file held: from its name, the ledger, and what can still be read of it."""
        from server.lean.trade_csv import salvaged_days
        from server.lean.zip import salvage

        if day is not None:
            return {day}
        mark = self.ledger.files(series).get(0)
        days = set(mark.days if mark else ())
        with suppress(OSError):
            days.update(salvaged_days(salvage((self.root / layout_of(series).path(None)).read_bytes())))
        return days

    def files(
        self, resolution: Resolution, tickers: Collection[str] = ()
    ) -> Iterator[tuple[Path, Series, date | None]]:
        """The files of trade bars of a resolution, in the order of their names.

        Args:
            resolution: The length of a bar.
            tickers: Only of these; of all where it is empty.
        """
        for path in sorted((self.root / EQUITY_USA / resolution.value).rglob("*.zip")):
            found = parse_path(path.relative_to(self.root).as_posix())
            if found is None or found[0].data_type is not DataType.TRADE:
                continue
            series, day = found
            if not tickers or series.ticker in tickers:
                yield path, series, day

    def tickers(self, resolution: Resolution) -> list[str]:
        """The tickers that have files of a resolution, sorted."""
        folder = self.root / EQUITY_USA / resolution.value
        one_file = layout_of(Series("A", resolution)).one_file
        names = (path.stem if one_file else path.name for path in folder.glob("*.zip" if one_file else "*/"))
        found = set()
        for name in names:
            with suppress(ValueError):
                found.add(parse_symbol(name))
        return sorted(found)

    def _scan_files(self, layout: Layout, days: Sequence[date], known: Mapping[int, FileMark]) -> _Scan:
        found = _Scan()
        folder = f"{self.root}/{layout.folder}/"
        if not Path(folder).is_dir():
            return found
        for day in layout.files(days):
            path = folder + layout.zip_name(day)
            try:
                status = os.stat(path)
            except OSError:
                continue
            mark = known.get(day.toordinal() if day else 0)
            if mark is None or mark.size != status.st_size or mark.modified_ns != status.st_mtime_ns:
                self._check(layout, day, path, status, found)
            elif day:
                found.on_disk.add(day)
            else:
                found.on_disk.update(mark.days)
        return found

    def _check(self, layout: Layout, day: date | None, path: str, status: os.stat_result, found: _Scan) -> None:
        from server.lean.errors import FormatError
        from server.lean.trade_csv import normalized

        try:
            content = layout.check_rows(normalized(layout.member_content(_read(path), day)), day)
        except FormatError as error:
            reason = str(error)
        except OSError as error:
            reason = f"it cannot be read ({error.strerror})"
        else:
            found.on_disk.update(content.days)
            days = () if day else content.days
            found.verified.append((day, FileMark(status.st_size, status.st_mtime_ns, content.rows, days)))
            return
        found.damaged_days |= self.days_once_held(layout.series, day)
        found.damaged.append(DamagedFile(path=Path(path), reason=reason))

    def _record(self, series: Series, verified: Sequence[tuple[date | None, FileMark]]) -> None:
        """Record checked files, and which of their days were written before they were over.

        A file that was last modified during its own day holds a part of it, whatever wrote it.
        """
        last_days = [(day or max(mark.days, default=None), mark.modified_ns) for day, mark in verified]
        early = [day for day, modified_ns in last_days if day and _during(day, modified_ns)]
        if early:
            at = datetime.fromtimestamp(max(mark.modified_ns for _, mark in verified) / 1e9, UTC)
            self.ledger.record_days(series, now=at, provisional=early)
        self.ledger.record_files(series, verified)


def first_day_on_disk(root: Path, ticker: str) -> date | None:
    """The first day of which there are bars of any resolution under a ticker.

    Raises:
        ValueError: It is not a US equity symbol.
    """
    ticker = parse_symbol(ticker)
    days = (_first_day(root, layout_of(Series(ticker, resolution))) for resolution in Resolution)
    return min((day for day in days if day is not None), default=None)


def _first_day(root: Path, layout: Layout) -> date | None:
    from server.lean.errors import FormatError
    from server.lean.trade_csv import salvaged_days
    from server.lean.zip import first_member

    if layout.one_file:
        with suppress(OSError, FormatError):
            _, content = first_member((root / layout.path(None)).read_bytes())
            return next(iter(salvaged_days(content[:9])), None)
        return None
    names: list[str] = []
    with suppress(OSError):
        names = sorted(os.listdir(root / layout.folder))
    paths = (parse_path(f"{layout.folder}/{name}") for name in names)
    return next((found[1] for found in paths if found and found[0] == layout.series), None)


def _during(day: date, modified_ns: int) -> bool:
    """Whether an instant (ns since 1970 UTC) is within a New York day, before all of its bars are published."""
    at = datetime.fromtimestamp(modified_ns / 1e9, NEW_YORK)
    return at.date() == day and at < datetime.combine(day, POST_MARKET_CLOSE, NEW_YORK) + SETTLE_DELAY


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()
