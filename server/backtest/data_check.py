"""Finds what LEAN would silently lose of the files that a backtest needs, before it runs.

Bar files are those of the tickers that the symbols had on their days; factor and map files are those that LEAN finds
for a symbol. A file that did not change since it was last checked is not opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import date

from attrs import evolve, frozen

from server.core.cancel import CancelToken
from server.core.errors import Cancelled
from server.core.text import count_text
from server.corporate_actions.share_check import ShareRange, share_findings
from server.data_download.catalog import SeriesCheck
from server.data_download.data_findings import UNREAD_WHOLE, DataFinding
from server.data_download.data_folder import DataFolder
from server.data_download.feed_files import FolderFiles
from server.data_download.file_check import closed_days, file_finding
from server.data_download.plan import days_by_ticker
from server.data_download.tickers import TickersOnDisk
from server.lean.feed.share import MapFiles, find_share
from server.lean.layout import layout_of
from server.lean.series import Resolution, Series

_NO_PROGRESS: Callable[[int], object] = lambda files: None  # noqa: E731


@frozen(kw_only=True)
class DataRequest:
    """Data that a backtest needs.

    Attributes:
        symbols: Upper case.
        resolution: The length of a bar.
        days: Trading days, ascending.
        optional: Whether the backtest runs without it: damage of it does not refuse the run.
        filled_later: Whether days that a file lacks, and rows that it lost, are fetched after the run and judged then.
        bars_only: Whether the share's factor and map files are left out.
    """

    symbols: tuple[str, ...]
    resolution: Resolution
    days: tuple[date, ...]
    optional: bool = False
    filled_later: bool = False
    bars_only: bool = False


@frozen(kw_only=True)
class DataCheck:
    """What LEAN would not read of the data of a backtest, or not as it is.

    Attributes:
        files: The number of files of bars that exist and were checked.
        findings: Each cause with its file; damage first.
    """

    files: int = 0
    findings: tuple[DataFinding, ...] = ()

    @property
    def damage(self) -> tuple[DataFinding, ...]:
        """What makes LEAN lose bars, days, events or a share."""
        return tuple(one for one in self.findings if one.is_damage)

    @property
    def notices(self) -> tuple[DataFinding, ...]:
        """What costs single rows at most, or nothing."""
        return tuple(one for one in self.findings if not one.is_damage)

    @property
    def lost(self) -> tuple[DataFinding, ...]:
        """Rows that a repair, this one or an earlier one, did not save."""
        return tuple(one for one in self.findings if one.kind == "rows_lost")


def check_data(
    folder: DataFolder,
    requests: Iterable[DataRequest],
    *,
    today: date,
    cancel: CancelToken,
    progress: Callable[[int], object] = _NO_PROGRESS,
) -> DataCheck:
    """Check every file that a backtest needs. Writes nothing but the ledger, sends nothing.

    Args:
        folder: The data folder.
        requests: The data: of its symbols, and for example the hour and daily bars of its benchmark.
        today: The day of the run in New York: LEAN looks up a ticker as of today.
        cancel: Stops the check when cancelled.
        progress: Receives the number of files checked so far, after each symbol.

    Raises:
        Cancelled: It was cancelled.
    """
    check = _Check(folder, today)
    found: dict[tuple[str, str, str], DataFinding] = {}
    files = 0
    for request in requests:
        for symbol in request.symbols if request.days else ():
            if cancel.cancelled:
                raise Cancelled("the backtest was stopped while its data was checked")
            count, findings = check.symbol(symbol, request)
            for one in findings:
                found.setdefault((one.path, one.kind, one.message), one)
            files += count
            progress(files)
    ordered = sorted(found.values(), key=lambda one: (not one.is_damage, one.optional))
    return DataCheck(files=files, findings=tuple(ordered))


class _Check:
    """A check of one data folder; its map files are read once."""

    def __init__(self, folder: DataFolder, today: date) -> None:
        self._folder = folder
        self._today = today
        self._tickers = TickersOnDisk(folder.path)
        self._maps = MapFiles(FolderFiles(folder.path))

    def symbol(self, symbol: str, request: DataRequest) -> tuple[int, list[DataFinding]]:
        """Check the files of a symbol; returns the number of bar files and what was found."""
        first, last = request.days[0], request.days[-1]
        share = find_share(self._maps, symbol, self._today)
        sessions = self._sessions(first, last)
        spans, _ = self._tickers(symbol, first, last)
        files = 0
        found: list[DataFinding] = []
        for ticker, days in days_by_ticker(spans, request.days):
            series = Series(ticker, request.resolution)
            checked = self._folder.catalog.check(series, days)
            files += checked.files
            found += bar_findings(checked, days)
            found += filled_days(
                series, checked, [day for day in days if share.first_read_day <= day <= share.delisted_on]
            )
            found += closed_days(layout_of(series), within(checked.on_disk, sessions), set(sessions))
        if request.filled_later:
            found = [one for one in found if one.kind not in ("ends_early", "rows_lost")]
        if not request.bars_only:
            wanted = ShareRange(symbol=symbol, share=share, resolution=request.resolution, sessions=sessions)
            found += share_findings(self._folder, self._maps, wanted)
        return files, [evolve(one, symbol=symbol, optional=request.optional) for one in found]

    def _sessions(self, first: date, last: date) -> list[date]:
        calendar = self._folder.catalog.calendar
        first, last = max(first, calendar.first_day), min(last, calendar.last_day)
        return calendar.trading_days(first, last) if first <= last else []


def bar_findings(checked: SeriesCheck, days: Sequence[date]) -> list[DataFinding]:
    """Return the findings of the files of a series that concern a range.

    Args:
        checked: What its files are worth.
        days: The days that are wanted of the series, ascending.
    """
    found = []
    for one in checked.findings:
        # rows of a day of which the vendor has no bars are not lost
        wanted = [day for day in days if day not in checked.empty] if one.kind == "rows_lost" else days
        part = one.within(wanted)
        if one.kind in UNREAD_WHOLE and not (part and part.days):
            part = evolve(one, days=tuple(days))
        found += [part] if part else []
    return found


def filled_days(series: Series, checked: SeriesCheck, days: Sequence[date]) -> list[DataFinding]:
    """Return the days that LEAN fills with an earlier bar of a file of all days, without a message.

    Args:
        series: The series.
        checked: What its file is worth.
        days: The days that are wanted of it, ascending.
    """
    layout = layout_of(series)
    if not (layout.one_file and checked.on_disk):
        return []
    first, last = min(checked.on_disk), max(checked.on_disk)
    known = checked.on_disk | checked.empty | checked.damaged
    filled = [day for day in days if day > first and day not in known]
    inside, after = [day for day in filled if day < last], [day for day in filled if day > last]
    found = []
    if inside:
        message = f"it has no bar on {count_text(len(inside), 'trading day')}, so LEAN repeats the bar before it"
        found.append(file_finding(layout, None, "missing_days", message, inside, severity="notice"))
    if after:
        count = count_text(len(after), "trading day")
        message = f"it ends on {last}, so LEAN repeats its last bar on {count} after it"
        found.append(file_finding(layout, None, "ends_early", message, after))
    return found


def within(days: AbstractSet[date], sessions: Sequence[date]) -> list[date]:
    """Return the days from the first to the last of these sessions, ascending."""
    return sorted(day for day in days if sessions[0] <= day <= sessions[-1]) if sessions else []
