"""Opens every file of a data folder and names those that LEAN cannot read, and those that it would not write so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import date
from pathlib import Path

from attrs import define, field, frozen

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError
from server.data_download.availability import Gap
from server.data_download.daily_kinds import DailyKinds, read_kinds
from server.data_download.data_findings import DataFinding
from server.data_download.data_folder import DataFolder
from server.data_download.file_check import DamagedFile, IrregularFile, closed_days
from server.lean.errors import FormatError
from server.lean.layout import EQUITY_USA, layout_of, parse_path
from server.lean.series import DataType, Resolution, Series
from server.trading_calendar import USEquityTradingCalendar


@frozen(kw_only=True)
class VerifyResult:
    """What a check of all files found.

    Attributes:
        files: The number of files.
        damaged: Files of which LEAN cannot read all rows, or with numbers that cannot be right.
        gaps: The days of the damaged files, as far as they are known.
        irregular: Files of which all rows can be read, but which are not as LEAN writes them.
        to_rewrite: The series and day (None: all days) of the files that a rewrite puts into LEAN's form.
        daily_bars: The kinds of daily bars in each file that could be read; empty at other resolutions.
        findings: What LEAN does not read of the files, or not as it is, and what is irregular.
    """

    files: int
    damaged: tuple[DamagedFile, ...]
    gaps: tuple[Gap, ...]
    irregular: tuple[IrregularFile, ...] = ()
    to_rewrite: tuple[tuple[Series, date | None], ...] = ()
    daily_bars: tuple[DailyKinds, ...] = ()
    findings: tuple[DataFinding, ...] = ()


@define
class _Findings:
    """What a check found so far."""

    files: int = 0
    damaged: list[DamagedFile] = field(factory=list)
    irregular: list[IrregularFile] = field(factory=list)
    days: defaultdict[Series, set[date]] = field(factory=lambda: defaultdict(set))
    to_rewrite: list[tuple[Series, date | None]] = field(factory=list)
    kinds: list[DailyKinds] = field(factory=list)
    findings: list[DataFinding] = field(factory=list)
    held: dict[Series, tuple[date, ...]] = field(factory=dict)

    def result(self, calendar: USEquityTradingCalendar) -> VerifyResult:
        """What was found; of the days of damaged files only those on which there was a session."""
        sessions = set(calendar.trading_days(calendar.first_day, calendar.last_day))
        known = {series: sorted(days & sessions) for series, days in self.days.items()}
        for series, held in self.held.items():
            days = sorted(day for day in held if calendar.first_day <= day <= calendar.last_day)
            self.findings += closed_days(layout_of(series), days, sessions)
        return VerifyResult(
            files=self.files,
            damaged=tuple(self.damaged),
            gaps=tuple(Gap(series=series, days=tuple(days)) for series, days in known.items() if days),
            irregular=tuple(self.irregular),
            to_rewrite=tuple(self.to_rewrite),
            daily_bars=tuple(self.kinds),
            findings=tuple(self.findings),
        )


def verify(
    folder: DataFolder,
    resolution: Resolution,
    symbols: Collection[str] = (),
    *,
    cancel: CancelToken,
    progress: Callable[[int], object] = lambda files: None,
) -> VerifyResult:
    """Open every file of a resolution.

    Args:
        folder: The data folder.
        resolution: The length of a bar.
        symbols: Only these; all where it is empty.
        cancel: Stops the work when cancelled.
        progress: Receives the number of files opened so far.
    """
    found = _Findings()
    for path, series, day in folder.catalog.files(resolution, symbols):
        if cancel.cancelled:
            break
        found.files += 1
        _check_file(folder, path, series, day, found)
        kinds = read_kinds(folder, series)
        found.kinds += [kinds] if kinds else []
        progress(found.files)
    return found.result(folder.catalog.calendar)


def rewrite_files(
    folder: DataFolder, files: Sequence[tuple[Series, date | None]], *, cancel: CancelToken
) -> list[BacktestServerError]:
    """Write files again in LEAN's form, with their readable rows; no request is sent.

    A copy of a damaged file is kept. Files of a series that another run is writing are left as they are.

    Args:
        folder: The data folder.
        files: Series and day (None: all days), as in `VerifyResult`.
        cancel: Stops the work when cancelled.

    Returns:
        The errors of files that could not be written.
    """
    errors: list[BacktestServerError] = []
    for series, day in files:
        if cancel.cancelled:
            break
        try:
            with folder.locks.take([series], 1) as mine:
                if mine:
                    folder.writer.rewrite(series, day)
        except BacktestServerError as error:
            errors.append(error)
    return errors


def _check_file(folder: DataFolder, path: Path, series: Series, day: date | None, found: _Findings) -> None:
    checked = folder.catalog.check_file(series, day)
    found.findings += [*checked.findings, *folder.catalog.recorded_losses(series, day)]
    if day is None:
        found.held[series] = checked.days
    if checked.fault:
        found.damaged.append(DamagedFile(path=path, reason=checked.fault, in_part=bool(checked.days)))
        found.days[series] |= checked.damaged_days
        if checked.is_damaged_whole:
            found.days[series] |= folder.catalog.days_once_held(series, day)
        if day:  # so that the next download opens it, too
            folder.ledger.forget_file(series, day)
    elif checked.irregular:
        found.irregular.append(IrregularFile(path=path, reason=checked.irregular, is_read_whole=checked.is_read_whole))
    if checked.rows and (checked.fault or checked.irregular) and checked.is_rewritable:
        found.to_rewrite.append((series, day))


def check_folder(data_folder: Path, *, strict: bool = True) -> int:
    """Check every file of trade bars of a data folder.

    Args:
        data_folder: LEAN's data folder.
        strict: As in `Layout.check_zip`.

    Returns:
        The number of files.

    Raises:
        FormatError: Names the first file that is wrong.
    """
    count = 0
    for path in sorted((data_folder / EQUITY_USA).rglob("*.zip")):
        found = parse_path(path.relative_to(data_folder).as_posix())
        if found is None or found[0].data_type is not DataType.TRADE:
            continue
        series, day = found
        try:
            layout_of(series).check_zip(path.read_bytes(), day, strict=strict)
        except FormatError as error:
            raise FormatError(f"{path}: {error}") from error
        count += 1
    return count
