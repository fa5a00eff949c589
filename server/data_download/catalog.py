"""What the data folder holds. Nothing here writes into it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

from attrs import define, evolve, field, frozen

from server.data_download.availability import DayState, Gap, SeriesState, find_gap
from server.data_download.data_findings import DataFinding, pack_findings, unpack_findings
from server.data_download.file_check import DamagedFile, FileCheck, IrregularFile, check_file, unopened
from server.data_download.ledger import FileMark, Ledger
from server.lean.layout import EQUITY_USA, Layout, layout_of, parse_path
from server.lean.series import NEW_YORK, DataType, Resolution, Series, parse_symbol
from server.trading_calendar import POST_MARKET_CLOSE, SETTLE_DELAY, USEquityTradingCalendar


@define
class _Scan:
    """What a scan of one series found so far."""

    on_disk: set[date] = field(factory=set)
    damaged_days: set[date] = field(factory=set)
    damaged: list[DamagedFile] = field(factory=list)
    irregular: list[IrregularFile] = field(factory=list)
    verified: list[tuple[date | None, FileMark]] = field(factory=list)
    unrecorded: set[date | None] = field(factory=set)
    findings: list[DataFinding] = field(factory=list)
    files: int = 0


@frozen(kw_only=True)
class SeriesCheck:
    """What the files of some days of a series are worth.

    Attributes:
        files: The number of files that exist.
        on_disk: The days without damage.
        damaged: The damaged days.
        empty: The days of which the vendor is known to have no bars.
    """

    files: int = 0
    findings: tuple[DataFinding, ...] = ()
    on_disk: AbstractSet[date] = frozenset()
    damaged: AbstractSet[date] = frozenset()
    empty: AbstractSet[date] = frozenset()


@frozen
class Catalog:
    """The bars of a data folder, by series. Safe to use from several threads.

    A file counts as checked while its size and modification time are those that the ledger recorded; any other file is
    opened and checked, and recorded then. A file of which LEAN does not read all rows is not recorded, so that each
    scan finds it.
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
            self._record(series, found)
        state = SeriesState(
            series=series,
            on_disk=found.on_disk,
            damaged=found.damaged_days,
            provisional=self.ledger.provisional_days(series),
            empty=self.ledger.empty_days(series),
            irregular=tuple(found.irregular),
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

    def check(self, series: Series, days: Sequence[date]) -> SeriesCheck:
        """Return what LEAN does not read of the files of these days, or not as it is; unchanged files stay closed."""
        found = self._scan_files(layout_of(series), days, self.ledger.files(series), with_findings=True)
        if found.verified:
            self._record(series, found)
        return SeriesCheck(
            files=found.files,
            findings=tuple(found.findings),
            on_disk=found.on_disk,
            damaged=found.damaged_days,
            empty=self.ledger.empty_days(series).keys(),
        )

    def check_file(self, series: Series, day: date | None) -> FileCheck:
        """Open a file and check it, whatever the ledger has of it."""
        layout = layout_of(series)
        try:
            return check_file(layout, _read(f"{self.root}/{layout.path(day)}"), day)
        except OSError as error:
            return unopened(layout, day, error)

    def recorded_losses(self, series: Series, day: date | None) -> list[DataFinding]:
        """Return the rows that earlier rewrites of an unchanged file did not save."""
        layout = layout_of(series)
        mark = self.ledger.files(series).get(day.toordinal() if day else 0)
        with suppress(OSError):
            if mark and mark.findings and mark.is_of(os.stat(self.root / layout.path(day))):
                found = unpack_findings(mark.findings, path=layout.path(day), series=series)
                return [one for one in found if one.kind == "rows_lost"]
        return []

    def _scan_files(
        self, layout: Layout, days: Sequence[date], known: Mapping[int, FileMark], *, with_findings: bool = False
    ) -> _Scan:
        found = _Scan()
        folder = f"{self.root}/{layout.folder}/"
        if not Path(folder).is_dir():
            return found
        for day in layout.files(days):
            try:
                status = os.stat(folder + layout.zip_name(day))
            except OSError:
                continue
            found.files += 1
            mark = known.get(day.toordinal() if day else 0)
            if mark is None or not mark.is_of(status) or (with_findings and mark.findings is None):
                self._add(layout, day, status, found)
            else:
                found.on_disk.update((day,) if day else mark.days)
                if with_findings and mark.findings:
                    found.findings += unpack_findings(mark.findings, path=layout.path(day), series=layout.series)
        return found

    def _add(self, layout: Layout, day: date | None, status: os.stat_result, found: _Scan) -> None:
        """Check a file and add what it is worth to a scan."""
        checked = self.check_file(layout.series, day)
        found.on_disk.update(checked.days)
        if checked.days:
            packed = pack_findings(checked.findings)
            days = () if day else checked.days
            found.verified.append((day, FileMark(status.st_size, status.st_mtime_ns, checked.rows, days, packed)))
        if not (checked.is_as_written and checked.is_read_whole):
            self._add_irregular(layout, day, checked, found)
        else:
            found.findings += checked.findings

    def _add_irregular(self, layout: Layout, day: date | None, checked: FileCheck, found: _Scan) -> None:
        """Add what a damaged or irregular file is worth to a scan; one that is not read whole is not recorded."""
        path = self.root / layout.path(day)
        found.damaged_days |= checked.damaged_days
        findings = checked.findings
        if checked.is_damaged_whole:
            once = self.days_once_held(layout.series, day)
            found.damaged_days |= once
            findings = tuple(evolve(one, days=one.days or tuple(sorted(once))) for one in findings)
        found.findings += findings
        if checked.fault:
            found.damaged.append(DamagedFile(path=path, reason=checked.fault, in_part=bool(checked.days)))
        else:
            irregular = IrregularFile(path=path, reason=checked.irregular, is_read_whole=checked.is_read_whole)
            found.irregular.append(irregular)
        if checked.fault or not checked.is_read_whole:
            found.unrecorded.add(day)

    def _record(self, series: Series, found: _Scan) -> None:
        """Record checked files, and which of their days were written before they were over.

        A file that was last modified during its own day holds a part of it, whatever wrote it.
        """
        last_days = [(day or max(mark.days, default=None), mark.modified_ns) for day, mark in found.verified]
        early = [day for day, modified_ns in last_days if day and _during(day, modified_ns)]
        if early:
            at = datetime.fromtimestamp(max(mark.modified_ns for _, mark in found.verified) / 1e9, UTC)
            self.ledger.record_days(series, now=at, provisional=early)
        recorded = [(day, mark) for day, mark in found.verified if day not in found.unrecorded]
        if recorded:
            self.ledger.record_files(series, recorded)


def _during(day: date, modified_ns: int) -> bool:
    """Whether an instant (ns since 1970 UTC) is within a New York day, before all of its bars are published."""
    at = datetime.fromtimestamp(modified_ns / 1e9, NEW_YORK)
    return at.date() == day and at < datetime.combine(day, POST_MARKET_CLOSE, NEW_YORK) + SETTLE_DELAY


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()
