"""What corporate actions need of bars: raw closes, and on which days a ticker traded. Fetched where it is not there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Literal

from attrs import frozen

from server.core.cancel import CancelToken
from server.core.errors import Cancelled
from server.corporate_actions.renames import Handover
from server.data_download.availability import DayState
from server.data_download.catalog import first_day_on_disk
from server.data_download.downloader import DataDownloader
from server.data_download.errors import DownloadError, PlanLimitError
from server.data_download.request import DownloadRequest
from server.lean.layout import layout_of
from server.lean.series import Resolution, Series

_UNITS = 10_000
"""LEAN's prices of equities are in ten thousandths of a dollar (LEAN: ``LeanData.GenerateLine``)."""


@frozen
class Lack:
    """Why the bar of a day is not there.

    Attributes:
        reason: A sentence.
        kind: The vendor answered that there is none; the plan does not include the day; or anything else, which may
            pass.
    """

    reason: str
    kind: Literal["empty", "plan", "passing"]

    @property
    def for_good(self) -> bool:
        """Whether asking again would not help."""
        return self.kind != "passing"


class DailyBars:
    """Daily bars on disk, and those that an ordinary download adds to them."""

    def __init__(self, downloader: DataDownloader, cancel: CancelToken) -> None:
        """Ask nothing yet.

        Args:
            downloader: For bars alone, without a companion and by the tickers' own names.
        """
        self._downloader = downloader
        self._folder = downloader.folder
        self._cancel = cancel

    def fetch(self, ticker: str, days: Sequence[date]) -> dict[date, Lack]:
        """Make these days be on disk, by one download from the first to the last that is missing.

        Returns:
            Those that are not there now, and why.

        Raises:
            Cancelled: It was cancelled.
        """
        if not days:
            return {}
        series = Series(ticker, Resolution.DAILY)
        gap = self._folder.catalog.missing(series, days, self._downloader.clock())
        reasons: dict[date, Lack] = {}
        if gap is not None:
            request = DownloadRequest(
                symbols=(ticker,), resolution=Resolution.DAILY, start=gap.days[0], end=gap.days[-1]
            )
            report = self._downloader.download(request, self._cancel)
            if self._cancel.cancelled:
                raise Cancelled("stopped while closes were fetched")
            for failure in report.failures:
                lack = Lack(failure.error, "plan" if failure.code == PlanLimitError.code else "passing")
                reasons.update(dict.fromkeys(failure.days, lack))
        lacking = {}
        for day, state in self._folder.catalog.states(series, days).items():
            if state is DayState.EMPTY:
                lacking[day] = Lack(f"{ticker} has no daily bar of {day}", "empty")
            elif state is not DayState.PRESENT:
                lacking[day] = reasons.get(day) or Lack(f"the daily bar of {ticker} of {day} is not there", "passing")
        return lacking

    def closes(self, needed: Mapping[date, str]) -> tuple[dict[date, Decimal], dict[date, Lack]]:
        """The raw closes in dollars of days, each under the ticker of that day, and those that cannot be had.

        Raises:
            Cancelled: It was cancelled.
            BacktestServerError: The file of daily bars cannot be read.
        """
        found: dict[date, Decimal] = {}
        lacking: dict[date, Lack] = {}
        for ticker in sorted(set(needed.values())):
            days = sorted(day for day in needed if needed[day] == ticker)
            gone = self.fetch(ticker, days)
            lacking |= gone
            there = [day for day in days if day not in gone]
            rows = self._rows(ticker) if there else {}
            found |= {day: Decimal(rows[day].split(b",")[4].decode()) / _UNITS for day in there}
        return found, lacking

    def seen(self, changes: Iterable[Handover], last_day: date) -> dict[str, set[date]]:
        """On which days around each change of ticker either of the two traded.

        A change around which the plan does not include all days, or there are no bars at all, tells nothing: its
        tickers are not in the answer.

        Args:
            last_day: The newest settled session.

        Raises:
            BacktestServerError: It could not be asked now.
        """
        calendar = self._downloader.calendar
        seen: dict[str, set[date]] = {}
        for change in changes:
            days = calendar.trading_days(max(change.first, calendar.first_day), min(change.last, last_day))
            traded: dict[str, set[date]] = {}
            lacking: list[Lack] = []
            for ticker in (change.old, change.new):
                without = self.fetch(ticker, days)
                lacking += without.values()
                traded[ticker] = set(days) - set(without)
            passing = next((lack for lack in lacking if not lack.for_good), None)
            if passing is not None:
                raise DownloadError(f"on which day {change.old} became {change.new}: {passing.reason}")
            if any(traded.values()) and all(lack.kind == "empty" for lack in lacking):
                for ticker, mine in traded.items():
                    seen.setdefault(ticker, set()).update(mine)
        return seen

    def first_day(self, ticker: str) -> date | None:
        """The first day of which there are bars of any resolution on disk."""
        return first_day_on_disk(self._folder.path, ticker)

    def _rows(self, ticker: str) -> dict[date, bytes]:
        layout = layout_of(Series(ticker, Resolution.DAILY))
        path = self._folder.path / layout.path(None)
        try:
            return layout.rows_by_day(layout.member_content(path.read_bytes(), None), None)
        except OSError as error:  # it was verified a moment ago
            raise DownloadError(f"{path} cannot be read: {error.strerror}", symbol=ticker) from error
