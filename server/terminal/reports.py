"""Reports of downloads and backtests as text on stdout, and the causes of their failures on stderr."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from server.core.text import days_text, list_text, size_text
from server.terminal.messages import print_error, print_warning

if TYPE_CHECKING:
    from server.backtest_server import BacktestResult
    from server.data_download.daily_kinds import DailyKinds
    from server.data_download.report import DownloadReport
    from server.engines.base import EngineResult

_STOPPED = "the run was stopped before this was fetched; run it again to go on"


def print_report(report: DownloadReport) -> None:
    """Print the report of a download as text."""
    providers = f"{report.provider}, then {report.fallback}" if report.fallback else report.provider
    symbols = list_text(report.symbols, most=6)
    print(f"{symbols} {report.resolution.value}, {report.start} to {report.end}, from {providers}")
    print(
        f"  days      {report.days_requested:,}: {report.days_present:,} present, "
        f"{report.days_downloaded:,} downloaded, {report.days_empty:,} without bars, {report.days_failed:,} failed"
    )
    if report.api_calls or report.http_cache_hits:
        print_requests(report.api_calls, report.retries, report.bytes_fetched, report.http_cache_hits)
    print(f"  bars      {report.bars:,} written in {report.duration_s:.2f} s")


def print_requests(sent: int, retries: int, size: int, cached: int) -> None:
    """Print the line of a report about its requests.

    Args:
        sent: Requests sent, retries included.
        retries: Requests that were sent again after a failure.
        size: Bytes received.
        cached: Requests answered by the HTTP cache.
    """
    print(f"  requests  {sent:,} ({retries:,} retries), {size_text(size)}; {cached:,} answered from the cache")


def kinds_lines(found: Sequence[DailyKinds]) -> list[str]:
    """Return the number of files of each kind of daily bars as a line, and a line for each file with several kinds."""
    counts = Counter(one.kind.value for one in found)
    lines = [f"daily bars by kind: {', '.join(f'{number:,} {kind}' for kind, number in sorted(counts.items()))}"]
    return [*(lines if counts else []), *(f"note: {one.notice}" for one in found if one.notice)]


def print_failures(report: DownloadReport) -> int:
    """Print one line on stderr for each cause of a failure.

    Returns:
        The exit code of the command.
    """
    from server.core.errors import Cancelled

    causes: defaultdict[str, list[tuple[str, tuple[date, ...]]]] = defaultdict(list)
    for failure in report.failures:
        cause = _STOPPED if failure.code == Cancelled.code else failure.error
        causes[cause].append((failure.symbol, failure.days))
    for cause, concerned in causes.items():
        symbols = list_text([symbol for symbol, _ in concerned])
        days = sorted({day for _, days in concerned for day in days})
        print_error(f"{cause} [{symbols}: {days_text(days)}]")
    if report.cancelled:
        return 130
    return 0 if report.complete else 1


def print_backtest(result: BacktestResult) -> None:
    """Print the result of a backtest as text."""
    if result.download:
        print_report(result.download)
    if result.engine_result:
        print(f"engine: {result.engine_choice}")
        print_engine_result(result.engine_result)


def print_engine_result(result: EngineResult) -> None:
    """Print summary, statistics and the equity curve."""
    from server.terminal.render import print_equity, print_figures, print_lines

    print_lines([*([result.verdict] if result.verdict else []), *result.summary])
    if result.statistics:
        print_figures(result.statistics)
    if len(result.equity.dates) > 1:
        print_equity(result.equity.dates, result.equity.values, f"equity in dollars ({result.engine})")
    print_lines([f"note: {note}" for note in result.notes])
    for path in result.failed_data_requests:
        print_warning(f"the backtest asked for {path}, which is not there")
    if result.results_folder:
        print(f"results: {result.results_folder}")
