"""What LEAN requested and did not get.

LEAN writes the failed requests of a run to ``failed-data-requests-*.txt``, one path each, and counts to
``data-monitor-report-*.json`` (LEAN: ``DataMonitor``). A zip that it cannot read counts as a success there and is
named in the log only. Newer versions list successes only on request, and at most 100,000 failures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import PurePosixPath

from attrs import evolve, frozen

from server.engines.lean_log import LeanLog
from server.lean.layout import parse_path
from server.lean.series import DataType, Resolution
from server.trading_calendar import USEquityTradingCalendar

NOT_COUNTED = ("quote", "shortable")
"""Kinds of files that a folder of trade bars does not have and that do not change a verdict."""

ENDS_EARLY, LACKS_DAYS, DAMAGED = "ends early", "lacks days", "damaged"
"""Reasons of files that LEAN opened: one that ends before the algorithm's last day, one of a benchmark with holes, one
of which LEAN does not read all rows."""

NO_BARS = "no bars"
"""The reason of a file that does not exist because the provider is known to have no bars of its day."""

_OTHER_FOLDERS = (
    *("option", "future", "futureoption", "index", "indexoption", "forex", "cfd", "crypto", "cryptofuture"),
    *("alternative", "custom"),
)
_DATA = re.compile(rf"(?:^|/)((?:equity|{'|'.join(_OTHER_FOLDERS)})/.*)")
_COARSE = re.compile(r"equity/\w+/fundamental/coarse/(\d{8})\.csv")


@frozen(kw_only=True)
class DataSeries:
    """The series of a missing file, in LEAN's terms.

    Attributes:
        ticker: In capitals; None for universe files, which hold all tickers.
        resolution: As in LEAN's paths.
        data_type: ``trade``, ``quote`` or ``universe``.
    """

    ticker: str | None
    resolution: str
    data_type: str


@frozen(kw_only=True)
class MissingFile:
    """A file that LEAN requested and did not get.

    Attributes:
        path: Relative to the data folder.
        series: Its series; None where the file holds no series of US equities.
        days: Its day, or of a file with all days the trading days of the algorithm.
        kind: ``trade``, ``quote``, ``universe``, ``shortable`` or ``fundamental``; an asset class other than equities,
            or ``alternative``, by LEAN's folder; else ``other``.
        reason: ``not found``, ``corrupt`` for a zip that cannot be read, ``ends early`` for one that ends before the
            algorithm's last day, ``lacks days`` for a benchmark without bars on some days, ``damaged`` for one of which
            LEAN does not read all rows, or ``no bars`` for a day of which the provider is known to have none.
    """

    path: str
    series: DataSeries | None
    days: tuple[date, ...]
    kind: str
    reason: str = "not found"

    @property
    def fetchable(self) -> bool:
        """Whether it holds bars of trades of US equities."""
        return self.kind == DataType.TRADE.value and self.series is not None and self.series.ticker is not None

    @property
    def counts(self) -> bool:
        """Whether the result is incomplete without it."""
        return self.kind not in NOT_COUNTED


@frozen(kw_only=True)
class DataRequests:
    """The data requests of a run.

    Attributes:
        known: Whether LEAN left any record of them.
        total, failed: Their numbers; None if unknown.
        unlisted: How many failed requests LEAN counted and did not list.
        succeeded_paths, failed_paths, corrupt_paths: Files relative to the data folder, each once.
        benchmark: The ticker of the benchmark, in capitals; None if unknown.
    """

    known: bool = False
    total: int | None = None
    failed: int | None = None
    unlisted: int = 0
    succeeded_paths: tuple[str, ...] = ()
    failed_paths: tuple[str, ...] = ()
    corrupt_paths: tuple[str, ...] = ()
    benchmark: str | None = None


def data_requests(
    failed: Sequence[str] | None, succeeded: Sequence[str] | None, counts: dict[str, int], log: LeanLog
) -> DataRequests:
    """Combine what LEAN wrote about its data requests.

    Args:
        failed: The lines of the data monitor's list of failed requests; None where the file does not exist.
        succeeded: Those of successful requests.
        counts: The counts of the data monitor's report by LEAN's keys.
        log: The log, which replaces files that do not exist and names corrupt zips.
    """
    usage = log.data_usage
    corrupt = paths_in_log(log.corrupt)
    listed = [path for line in failed or () if (path := relative_path(line))]
    failed_paths = tuple(dict.fromkeys(path for path in (*listed, *paths_in_log(log.not_found)) if path not in corrupt))
    total = counts.get("total-data-requests-count", usage.get("Total data requests"))
    number = counts.get("failed-data-requests-count", usage.get("Failed data requests"))
    lines = max(len(listed), len(log.not_found))
    found = DataRequests(
        known=failed is not None or number is not None,
        total=total,
        failed=lines if number is None and failed is not None else number,
        unlisted=max((number or 0) - lines, 0),
        succeeded_paths=tuple(dict.fromkeys(path for line in succeeded or () if (path := relative_path(line)))),
        failed_paths=failed_paths,
        corrupt_paths=corrupt,
        benchmark=log.benchmark,
    )
    return found if found.benchmark else evolve(found, benchmark=_likely_benchmark(found))


def relative_path(line: str) -> str | None:
    """Return the path of a line of the data monitor relative to the data folder.

    Args:
        line: LEAN removes the data folder's own path and keeps the slash.

    Returns:
        None where the line is no path: empty, or the notice that ends a list of too many lines.
    """
    text = line.strip().replace("\\", "/")
    path = text.removeprefix("./").lstrip("/")
    if not path or (len(text.split()) > 1 and not text.startswith("/") and not _DATA.match(path)):
        return None
    return path if _DATA.match(path) else _last_data_path(path) or path


def paths_in_log(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the whole paths of a log relative to the data folder, each once; those of other files are left out."""
    found = (_last_data_path(path.replace("\\", "/")) for path in paths)
    return tuple(dict.fromkeys(path for path in found if path))


def missing_files(
    requests: DataRequests, start: date | None, end: date | None, calendar: USEquityTradingCalendar
) -> tuple[MissingFile, ...]:
    """Return the files that a run requested and did not get, each once.

    Args:
        requests: The data requests of the run.
        start: The first day that the algorithm set; None if unknown.
        end: The last day that it set.
        calendar: The trading days of files that hold all days.
    """
    days = trading_days(start, end, calendar)
    found = [_missing_file(path, days, "not found") for path in requests.failed_paths]
    return (*found, *(_missing_file(path, days, "corrupt") for path in requests.corrupt_paths))


def trading_days(start: date | None, end: date | None, calendar: USEquityTradingCalendar) -> tuple[date, ...]:
    """Return the trading days of a range as far as the calendar has them; none where an end is unknown."""
    if start is None or end is None:
        return ()
    first, last = max(start, calendar.first_day), min(end, calendar.last_day)
    return tuple(calendar.trading_days(first, last)) if first <= last else ()


def explains_end(requests: DataRequests, last: date) -> bool:
    """Return whether data missing after a day explains that a run's equity curve ends there.

    Quotes and the benchmark do not: a run that has its trade bars continues without them.
    """
    for path in (*requests.failed_paths, *requests.corrupt_paths):
        parsed = parse_path(path)
        if parsed is None or parsed[0].data_type is not DataType.TRADE or is_benchmark(path, requests.benchmark):
            continue
        if parsed[1] is None or parsed[1] > last:
            return True
    return False


def is_benchmark(path: str, benchmark: str | None) -> bool:
    """Return whether a path is that of the benchmark's bars, which LEAN reads by the hour."""
    return benchmark is not None and path == f"equity/usa/hour/{benchmark.lower()}.zip"


def _last_data_path(path: str) -> str | None:
    """The part of an absolute path below the data folder, whose own path may have folders of these names too."""
    starts = [match.start(1) for match in re.finditer(rf"(?={_DATA.pattern})", path)]
    return path[starts[-1] :] if starts else None


def _missing_file(path: str, days: tuple[date, ...], reason: str) -> MissingFile:
    if match := _COARSE.fullmatch(path):
        series = DataSeries(ticker=None, resolution=Resolution.DAILY.value, data_type="universe")
        day = _compact_day(match[1])
        return MissingFile(path=path, series=series, days=(day,) if day else (), kind="universe", reason=reason)
    if parsed := parse_path(path):
        key, day = parsed
        series = DataSeries(ticker=key.ticker, resolution=key.resolution.value, data_type=key.data_type.value)
        return MissingFile(
            path=path, series=series, days=days if day is None else (day,), kind=key.data_type.value, reason=reason
        )
    return MissingFile(path=path, series=None, days=(), kind=_other_kind(path), reason=reason)


def _other_kind(path: str) -> str:
    parts = PurePosixPath(path).parts
    if "shortable" in parts:
        return "shortable"
    if re.search(r"/\d{8}_quote(?:_\w+)?\.zip$", path):
        return "quote"
    if "fundamental" in parts:
        return "fundamental"
    return parts[0] if len(parts) > 1 and parts[0] in _OTHER_FOLDERS else "other"


def _compact_day(text: str) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def _likely_benchmark(requests: DataRequests) -> str | None:
    """The benchmark where the log does not name it: SPY, or the only series of hours that was requested."""
    paths = (*requests.succeeded_paths, *requests.failed_paths, *requests.corrupt_paths)
    tickers = {
        parsed[0].ticker for path in paths if (parsed := parse_path(path)) and is_benchmark(path, parsed[0].ticker)
    }
    return "SPY" if "SPY" in tickers else next(iter(tickers)) if len(tickers) == 1 else None
