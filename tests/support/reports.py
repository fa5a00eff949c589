"""What tests read from download reports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from server.data_download.report import DownloadReport


def counted(report: DownloadReport) -> tuple[int, int, int, int]:
    """Present, downloaded, empty and failed days."""
    return report.days_present, report.days_downloaded, report.days_empty, report.days_failed


def only_failure(report: DownloadReport, symbol: str, days: Sequence[date]) -> Any:
    """The one failure of a report, which is about all these days of the symbol."""
    (failure,) = report.failures
    assert failure.days == tuple(days)
    assert failure.symbol == symbol
    return failure
