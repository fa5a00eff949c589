"""Repairs what LEAN would misread: fetches damaged days again, and else rewrites files from the rows that can be read.

Factor and map files are not changed here: this program's own are built again by each download, those of other programs
only on request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Literal

from attrs import Factory, define, frozen

from server.backtest.data_check import DataCheck, DataRequest, check_data
from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, Cancelled
from server.data_download.availability import Gap
from server.data_download.data_findings import FETCHED_AGAIN, REWRITTEN, DataFinding
from server.data_download.data_folder import DataFolder
from server.data_download.downloader import DataDownloader
from server.data_download.errors import DamagedDataError
from server.data_download.report import DownloadReport
from server.data_download.request import DownloadRequest
from server.data_download.verify import rewrite_files
from server.lean.layout import parse_path
from server.lean.series import Resolution, Series

_NO_PROGRESS: Callable[[int], object] = lambda files: None  # noqa: E731

RepairMethod = Literal["fetched", "rewritten", "created"]
"""How a file was repaired: its days were fetched again; it was rewritten from its readable rows; a missing folder was
created."""


@frozen(kw_only=True)
class RepairedFile:
    """A file that LEAN would have misread, and that it reads now.

    Attributes:
        path: Below the data folder.
        days: The days concerned, as far as they are known.
        message: What was wrong.
    """

    symbol: str
    path: str
    method: RepairMethod
    days: tuple[date, ...] = ()
    message: str = ""

    @property
    def sentence(self) -> str:
        """The repair as one line."""
        how = {"fetched": "was fetched again", "rewritten": "was rewritten", "created": "was created"}[self.method]
        return f"{self.path} {how}: {self.message}"


@frozen(kw_only=True)
class RepairResult:
    """What a repair did.

    Attributes:
        repaired: The files that LEAN reads now.
        reasons: Why days could not be fetched again, or files could not be written.
    """

    repaired: tuple[RepairedFile, ...] = ()
    reasons: tuple[str, ...] = ()


@frozen(kw_only=True)
class CheckedData:
    """The data of a backtest after its check and repair.

    Attributes:
        check: What LEAN still would not read, or not as it is.
        repaired: The files that were repaired.
        reasons: Why days could not be fetched again, or files could not be written.
    """

    check: DataCheck
    repaired: tuple[RepairedFile, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def lost(self) -> tuple[DataFinding, ...]:
        """Rows that a repair, this one or an earlier one, did not save: a result over them is not to be trusted."""
        return self.check.lost

    @property
    def refusing(self) -> tuple[DataFinding, ...]:
        """The damage of data that the backtest cannot do without."""
        return tuple(one for one in self.check.damage if not one.optional)


def check_and_repair(
    folder: DataFolder,
    downloader: DataDownloader,
    symbols: Sequence[str],
    resolution: Resolution,
    days: Sequence[date],
    *,
    today: date,
    further: Sequence[DataRequest] = (),
    download: DownloadReport | None = None,
    allow_damaged: bool = False,
    cancel: CancelToken,
    progress: Callable[[int], object] = _NO_PROGRESS,
) -> CheckedData:
    """Check the data of a backtest, repair what LEAN would misread, and check what was repaired.

    Args:
        folder: The data folder.
        downloader: Fetches damaged days again.
        symbols: Upper case.
        resolution: The length of a bar.
        days: The trading days of the backtest, ascending.
        today: The day of the run in New York.
        further: What it needs in addition, such as the hour and daily bars of its benchmark.
        download: The download before it: days that failed in it are not requested once more.
        allow_damaged: Return damage that is left instead of raising it.
        cancel: Stops the work when cancelled.
        progress: Receives the number of files checked so far, after each symbol.

    Raises:
        DamagedDataError: Damage is left, and `allow_damaged` is not set.
        Cancelled: It was cancelled.
    """
    own = DataRequest(symbols=tuple(symbols), resolution=resolution, days=tuple(days))

    def check() -> DataCheck:
        return check_data(folder, (own, *further), today=today, cancel=cancel, progress=progress)

    found = check()
    done = CheckedData(check=found)
    if any(map(_can_be_repaired, found.findings)):
        result = repair_data(folder, downloader, found, download=download, cancel=cancel)
        done = CheckedData(check=check(), repaired=result.repaired, reasons=result.reasons)
    if done.refusing and not allow_damaged:
        raise DamagedDataError(done.refusing, done.reasons)
    return done


def repair_data(
    folder: DataFolder,
    downloader: DataDownloader,
    check: DataCheck,
    *,
    download: DownloadReport | None = None,
    cancel: CancelToken,
) -> RepairResult:
    """Repair what LEAN would misread of bar files, and create the folder of map files where it is missing.

    Days of damaged files are fetched first; a file whose days cannot be fetched is rewritten from the rows that can be
    read, and what these rewrites lose is in the ledger (`DataCheck.lost`). A file of which all rows can be read is
    rewritten without a request.

    Args:
        folder: The data folder.
        downloader: Fetches days.
        check: What was found.
        download: The download before it: days that failed in it are not requested once more.
        cancel: Stops the repair when cancelled.

    Raises:
        Cancelled: It was cancelled.
    """
    repair = _Repair(folder, downloader, cancel)
    wanted = [one for one in check.findings if _can_be_repaired(one)]
    repair.create_folders(wanted)
    repair.fetch([one for one in wanted if one.kind in FETCHED_AGAIN], _failed_days(download))
    repair.note(wanted, "fetched")
    repair.rewrite([one for one in wanted if repair.is_left(one)])
    repair.note(wanted, "rewritten")
    return RepairResult(repaired=tuple(repair.repaired.values()), reasons=tuple(dict.fromkeys(repair.reasons)))


def _can_be_repaired(one: DataFinding) -> bool:
    """Whether a repair may cure a finding: damage of bar files, rows that LEAN does not read, a missing folder."""
    if one.kind == "missing_folder":
        return one.is_damage
    return one.loses and (one.kind in FETCHED_AGAIN or one.kind in REWRITTEN)


def _failed_days(download: DownloadReport | None) -> dict[Series, set[date]]:
    failed: dict[Series, set[date]] = {}
    for failure in download.failures if download else ():
        failed.setdefault(failure.series, set()).update(failure.days)
    return failed


@define
class _Repair:
    """A repair under way."""

    folder: DataFolder
    downloader: DataDownloader
    cancel: CancelToken
    repaired: dict[str, RepairedFile] = Factory(dict)
    reasons: list[str] = Factory(list)

    def create_folders(self, findings: Sequence[DataFinding]) -> None:
        """Create the folders that LEAN expects: an empty one of map files suffices."""
        for one in findings:
            if one.kind == "missing_folder":
                try:
                    self.folder.writer.create_folder(one.path)
                except BacktestServerError as error:
                    self.reasons.append(str(error))
                else:
                    self._add(one, "created")

    def fetch(self, findings: Sequence[DataFinding], failed: dict[Series, set[date]]) -> None:
        """Fetch the days of files again, those of files of all days with all of their damaged days."""
        days: dict[Series, set[date]] = {}
        for one in findings:
            if one.series:
                days.setdefault(one.series, set()).update(one.days)
        by_resolution: dict[Resolution, list[Gap]] = {}
        for series, wanted in days.items():
            gap = self._gap(series, wanted - failed.get(series, set()))
            if gap:
                by_resolution.setdefault(series.resolution, []).append(gap)
        for resolution, gaps in by_resolution.items():
            self._stop_if_cancelled()
            request = DownloadRequest(
                symbols=tuple(gap.series.ticker for gap in gaps),
                resolution=resolution,
                start=min(gap.days[0] for gap in gaps),
                end=max(gap.days[-1] for gap in gaps),
            )
            report = self.downloader.repair(request, gaps, self.cancel)
            self.reasons += [failure.error for failure in report.failures]

    def rewrite(self, findings: Sequence[DataFinding]) -> None:
        """Rewrite files from the rows that can be read."""
        self._stop_if_cancelled()
        files = dict.fromkeys(parse_path(one.path) for one in findings)
        errors = rewrite_files(self.folder, [file for file in files if file], cancel=self.cancel)
        self.reasons += [str(error) for error in errors]
        self._stop_if_cancelled()

    def note(self, findings: Sequence[DataFinding], method: RepairMethod) -> None:
        """Record the files whose findings are gone."""
        for one in findings:
            if one.series and one.path not in self.repaired and not self.is_left(one):
                self._add(one, method)

    def is_left(self, one: DataFinding) -> bool:
        """Whether a finding still applies to its file."""
        if one.series is None:
            return False
        checked = self.folder.catalog.check(one.series, one.days)
        if one.kind == "ends_early":
            return not checked.on_disk >= set(one.days) - checked.empty
        return any(
            other.path == one.path and (other.kind in FETCHED_AGAIN or other.kind in REWRITTEN) and other.loses
            for other in checked.findings
        )

    def _gap(self, series: Series, days: set[date]) -> Gap | None:
        """The days to fetch: also other damaged days of the files, which a rewrite would lose."""
        catalog = self.folder.catalog
        damaged = catalog.check(series, sorted(days)).damaged if days else frozenset()
        last = catalog.calendar.last_session(self.downloader.clock())
        sessions = catalog.calendar.trading_days(catalog.calendar.first_day, last) if days else []
        wanted = days | damaged
        found = tuple(day for day in sessions if day in wanted)
        return Gap(series=series, days=found) if found else None

    def _add(self, one: DataFinding, method: RepairMethod) -> None:
        self.repaired[one.path] = RepairedFile(
            symbol=one.symbol, path=one.path, method=method, days=one.days, message=one.message
        )

    def _stop_if_cancelled(self) -> None:
        if self.cancel.cancelled:
            raise Cancelled("the backtest was stopped while its data was repaired; files that were repaired stay so")
