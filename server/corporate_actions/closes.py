"""Raw closes and the days on which a ticker traded, from daily bars on disk; missing bars are downloaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Literal

from attrs import frozen

from server.core.cancel import CancelToken
from server.core.errors import Cancelled
from server.corporate_actions.renames import ChangeWindow
from server.data_download.availability import DayState
from server.data_download.data_folder import DataFolder
from server.data_download.days_on_disk import days_on_disk, first_day_on_disk
from server.data_download.downloader import DataDownloader
from server.data_download.errors import DownloadError, PlanLimitError, SymbolNotFoundError
from server.data_download.request import DownloadRequest
from server.lean.errors import FormatError
from server.lean.irregular import read_rows
from server.lean.layout import layout_of
from server.lean.series import Resolution, Series

_UNITS = 10_000
"""LEAN's equity prices are in ten thousandths of a dollar (LEAN: ``LeanData.GenerateLine``)."""

_Kind = Literal["empty", "plan", "temporary"]
_KINDS: dict[str, _Kind] = {PlanLimitError.code: "plan", SymbolNotFoundError.code: "empty"}
"""The kind of a missing bar by the code of the failure, where that is permanent."""


@frozen
class MissingBar:
    """Why the daily bar of a day is missing.

    Attributes:
        reason: A sentence.
        kind: The vendor's complete response has no such bar; the plan does not include the day; or anything else.
    """

    reason: str
    kind: _Kind

    @property
    def is_permanent(self) -> bool:
        """Whether another request would not help."""
        return self.kind != "temporary"


class DailyBars:
    """A vendor's daily bars on disk, and downloads of missing ones."""

    def __init__(self, downloader: DataDownloader, cancel: CancelToken, data_folder: Path) -> None:
        """Store the arguments; no request is sent.

        Args:
            downloader: Downloads bars only, each symbol under its own name; into any folder.
            cancel: Stops the work when cancelled.
            data_folder: LEAN's data folder.
        """
        self._downloader = downloader
        self._roots = {data_folder, downloader.folder.path}
        self._folder = downloader.folder
        self._cancel = cancel

    def fetch(self, series: Series, days: Sequence[date]) -> dict[date, MissingBar]:
        """Download those of the days that are missing, in one download from the first to the last of them.

        Returns:
            The days that are still missing, each with the reason.

        Raises:
            Cancelled: It was cancelled.
        """
        if not days:
            return {}
        gap = self._folder.catalog.missing(series, days, self._downloader.clock())
        reasons = self._download(series, gap.days) if gap else {}
        missing = {}
        for day, state in self._folder.catalog.states(series, days).items():
            if state is DayState.EMPTY:
                missing[day] = MissingBar(f"{series.ticker} has no daily bar of {day}", "empty")
            elif state is not DayState.PRESENT:
                text = f"the daily bar of {series.ticker} of {day} is missing"
                missing[day] = reasons.get(day) or MissingBar(text, "temporary")
        return missing

    def closes(self, needed: Mapping[date, str]) -> tuple[dict[date, Decimal], dict[date, MissingBar]]:
        """Return the raw closes of days, and the days without one.

        Args:
            needed: The ticker of each day.

        Returns:
            Closes in dollars by day, and the missing bars by day.

        Raises:
            Cancelled: It was cancelled.
            BacktestServerError: The file of daily bars cannot be read.
        """
        closes: dict[date, Decimal] = {}
        missing: dict[date, MissingBar] = {}
        for ticker in sorted(set(needed.values())):
            series = Series(ticker, Resolution.DAILY)
            days = sorted(day for day in needed if needed[day] == ticker)
            absent = self.fetch(series, days)
            missing |= absent
            present = [day for day in days if day not in absent]
            rows = self._rows(series) if present else {}
            closes |= {day: Decimal(rows[day].split(b",")[4].decode()) / _UNITS for day in present}
        return closes, missing

    def days_traded(self, window: ChangeWindow, last_day: date) -> dict[str, set[date]]:
        """Return by ticker the days around a change of ticker on which it traded.

        If the plan does not include all days around the change, or there are no bars at all, nothing is known about
        it, and the result is empty.

        Args:
            window: The days around the change.
            last_day: The newest settled session.

        Raises:
            BacktestServerError: Bars that are needed to know could not be downloaded.
        """
        calendar = self._downloader.calendar
        days = calendar.trading_days(max(window.first, calendar.first_day), min(window.last, last_day))
        around: dict[str, set[date]] = {}
        missing: list[MissingBar] = []
        for ticker in (window.old, window.new):
            absent = self.fetch(Series(ticker, Resolution.DAILY), days)
            missing += absent.values()
            around[ticker] = set(days) - set(absent)
        temporary = next((bar for bar in missing if not bar.is_permanent), None)
        if temporary is not None:
            raise DownloadError(f"the day on which {window.old} became {window.new} is not known: {temporary.reason}")
        return around if any(around.values()) and all(bar.kind == "empty" for bar in missing) else {}

    def history(self, ticker: str, days: Sequence[date]) -> dict[date, Decimal | None]:
        """Download those of these sessions that are missing, and return all closes that are known then.

        Raises:
            Cancelled: It was cancelled.
        """
        series = Series(ticker, Resolution.DAILY)
        self.fetch(series, days)
        return known_closes(self._folder, ticker)

    def first_day(self, *tickers: str) -> date | None:
        """Return the first day with bars of any resolution on disk, under any of these tickers."""
        days = [first_day_on_disk(root, ticker) for root in self._roots for ticker in tickers]
        return min((day for day in days if day is not None), default=None)

    def days_on_disk(self, ticker: str) -> set[date]:
        """Return the days with bars of any resolution on disk."""
        return set().union(*(days_on_disk(root, ticker) for root in self._roots))

    def _download(self, series: Series, days: Sequence[date]) -> dict[date, MissingBar]:
        """Download a range of days; returns the reasons of those that failed."""
        request = DownloadRequest(symbols=(series.ticker,), resolution=series.resolution, start=days[0], end=days[-1])
        report = self._downloader.download(request, self._cancel)
        if self._cancel.cancelled:
            raise Cancelled("cancelled while closes were downloaded")
        reasons: dict[date, MissingBar] = {}
        for failure in report.failures:
            bar = MissingBar(failure.error, _KINDS.get(failure.code, "temporary"))
            reasons.update(dict.fromkeys(failure.days, bar))
        return reasons

    def _rows(self, series: Series) -> dict[date, bytes]:
        layout = layout_of(series)
        path = self._folder.path / layout.path(None)
        try:
            return read_rows(layout, path.read_bytes(), None)
        except OSError as error:  # it was verified a moment ago
            raise DownloadError(f"{path} cannot be read: {error.strerror}", series=series) from error


def known_closes(folder: DataFolder, ticker: str) -> dict[date, Decimal | None]:
    """Return the raw closes of a ticker on disk, and None for sessions known to be without a bar, ascending.

    Closes of sessions that are not settled are not known. A file that cannot be read has none.
    """
    series = Series(ticker, Resolution.DAILY)
    layout = layout_of(series)
    try:
        rows = read_rows(layout, (folder.path / layout.path(None)).read_bytes(), None)
    except (OSError, FormatError):
        rows = {}
    closes: dict[date, Decimal | None] = dict.fromkeys(folder.ledger.empty_days(series))
    closes |= {day: Decimal(row.split(b",")[4].decode()) / _UNITS for day, row in rows.items()}
    for day in folder.ledger.provisional_days(series):
        closes.pop(day, None)
    return dict(sorted(closes.items()))
