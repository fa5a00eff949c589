"""Divides the days that a download could not fetch by whether their files exist."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from attrs import frozen

from server.data_download.data_findings import FETCHED_AGAIN, DataFinding
from server.data_download.data_folder import DataFolder
from server.data_download.report import DownloadReport
from server.lean.layout import parse_path
from server.lean.series import Series


@frozen(kw_only=True)
class UnfetchedDays:
    """Days of a series that a download could not fetch.

    Attributes:
        in_files: Those in damaged files, which a rewrite may save, or which an earlier one has saved.
        missing: Those of which nothing is on disk.
    """

    series: Series
    in_files: tuple[date, ...] = ()
    missing: tuple[date, ...] = ()


def lacks_days(folder: DataFolder, report: DownloadReport) -> bool:
    """Return whether a backtest cannot run since nothing of a day is on disk that a download could not fetch."""
    return any(one.missing for one in unfetched_days(folder, report))


def unfetched_days(folder: DataFolder, report: DownloadReport) -> tuple[UnfetchedDays, ...]:
    """Divide the days that a download could not fetch by whether a file of them exists.

    The check of the data judges files that exist: it repairs them, or refuses to run the backtest on them.

    Args:
        folder: The data folder.
        report: The report of the download.
    """
    failed: dict[Series, set[date]] = {}
    for failure in report.failures:
        failed.setdefault(failure.series, set()).update(failure.days)
    found = []
    for series, days in failed.items():
        usable = days & _days_in_files(folder, series, sorted(days))
        missing = tuple(sorted(days - usable))
        found.append(UnfetchedDays(series=series, in_files=tuple(sorted(usable)), missing=missing))
    return tuple(found)


def _days_in_files(folder: DataFolder, series: Series, days: Sequence[date]) -> set[date]:
    checked = folder.catalog.check(series, days)
    lost = {day for one in checked.findings if one.kind == "rows_lost" for day in one.days}
    damaged = set()
    for path, found_days in _days_by_path(checked.findings).items():
        damaged |= found_days if parse_path(path) else set()
    return lost | damaged


def _days_by_path(findings: Iterable[DataFinding]) -> dict[str, set[date]]:
    found: dict[str, set[date]] = {}
    for one in findings:
        if one.kind in FETCHED_AGAIN:
            found.setdefault(one.path, set()).update(one.days)
    return found
