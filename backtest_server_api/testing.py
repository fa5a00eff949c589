"""The host's own parts for a plugin's tests: a download into a folder, without settings, network or a mock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from server.core.cancel import CancelToken
from server.core.events import EventStream
from server.data_download.data_folder import DataFolder
from server.data_download.downloader import DataDownloader
from server.data_download.hosted_provider import HostedProvider
from server.data_download.provider import DataProvider
from server.data_download.report import DownloadReport
from server.data_download.request import DownloadRequest
from server.data_download.verify import check_folder
from server.lean.series import Resolution
from server.trading_calendar import USEquityTradingCalendar

__all__ = ["DownloadReport", "check_folder", "download"]


def download(
    provider: Callable[[CancelToken], DataProvider],
    data_folder: Path,
    symbols: Sequence[str],
    resolution: Resolution,
    start: date,
    end: date,
    *,
    now: datetime | None = None,
) -> DownloadReport:
    """Download the missing trading days of a range into a data folder, as the server does.

    Args:
        provider: Creates the provider.
        data_folder: LEAN's data folder.
        symbols: The symbols.
        resolution: The length of a bar.
        start, end: First and last day, included.
        start: The first day, included.
        end: The last day, included.
        now: The instant that counts as now, in UTC; by default the real one.

    Returns:
        What was downloaded, what is empty and what failed.
    """
    now = now or datetime.now(UTC)
    calendar = USEquityTradingCalendar.load(now.date())
    folder = DataFolder.open(data_folder, calendar)
    try:
        downloader = DataDownloader(
            folder=folder,
            calendar=calendar,
            clock=lambda: now,
            provider=HostedProvider("under-test", provider),
            events=EventStream(lambda: now),
        )
        request = DownloadRequest(symbols=tuple(symbols), resolution=resolution, start=start, end=end)
        return downloader.download(request)
    finally:
        folder.close()
