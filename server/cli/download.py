"""`backtest-server download`."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from server.cli.common import (
    bytes_text,
    complain,
    days_text,
    folder_options,
    json_option,
    open_workspace,
    parsed_request,
    print_json,
    provider_option,
    range_options,
    resolution_option,
    stopped_by_signals,
    symbols_argument,
)

if TYPE_CHECKING:
    from server.cli.progress import Watch
    from server.core.cancel import CancelToken
    from server.data_download.report import DownloadReport
    from server.data_download.request import DownloadRequest
    from server.workspace import Workspace

_STOPPED = "the run was stopped before this was fetched; run it again to go on"


@click.command()
@symbols_argument()
@resolution_option()
@range_options()
@provider_option
@folder_options
@click.option("--dry-run", is_flag=True, help="Print what is missing and what would be sent; send nothing.")
@json_option
def download(
    symbols: tuple[str, ...],
    resolution: str,
    start: date,
    end: date,
    provider: str | None,
    data_folder: Path | None,
    lean_config: Path | None,
    dry_run: bool,
    as_json: bool,
    debug: bool,
) -> int:
    """Fetch the trading days that are missing on disk, as LEAN's own files."""
    request = parsed_request(symbols, resolution, start, end)
    with (
        watching(quiet=as_json, every_line=debug) as watch,
        open_workspace(
            data_folder=data_folder,
            lean_config=lean_config,
            debug=debug,
            provider=provider,
            show=watch.show,
            log=not dry_run,
        ) as workspace,
        stopped_by_signals() as cancel,
    ):
        if dry_run:
            return _print_plan(workspace, request, cancel, as_json)
        report = workspace.downloader(events=workspace.events(watch)).download(request, cancel)
    if as_json:
        print_json(report)
    else:
        print_report(report)
    return explain(report)


@contextmanager
def watching(*, quiet: bool, every_line: bool = False) -> Iterator[Watch]:
    """Show the progress of a command: a bar and warnings on a terminal, all lines of the log elsewhere.

    Args:
        quiet: Show no bar.
        every_line: Show all lines of the log on a terminal, too.
    """
    from server.cli.progress import Watch

    bar = sys.stderr.isatty() and not quiet
    watch = Watch(bar=bar, every_line=every_line or not bar)
    try:
        yield watch
    finally:
        watch.close()


def print_report(report: DownloadReport) -> None:
    """Print the report as text."""
    names = ", ".join(report.symbols[:6]) + (f" and {len(report.symbols) - 6} more" if len(report.symbols) > 6 else "")
    by = f"{report.provider}, then {report.fallback}" if report.fallback else report.provider
    print(f"{names} {report.resolution.value}, {report.start} to {report.end}, from {by}")
    print(
        f"  days      {report.days_requested:,}: {report.days_present:,} present, "
        f"{report.days_downloaded:,} downloaded, {report.days_empty:,} without bars, {report.days_failed:,} failed"
    )
    if report.api_calls or report.http_cache_hits:
        print(
            f"  requests  {report.api_calls:,} ({report.retries:,} retries), {bytes_text(report.bytes_fetched)}; "
            f"{report.http_cache_hits:,} answered from the cache"
        )
    print(f"  bars      {report.bars:,} written in {report.duration_s:.2f} s")


def explain(report: DownloadReport) -> int:
    """Print one line on stderr for each cause of a failure, and return the exit code."""
    from server.core.errors import Cancelled

    causes: defaultdict[str, list[tuple[str, tuple[date, ...]]]] = defaultdict(list)
    for failure in report.failures:
        cause = _STOPPED if failure.code == Cancelled.code else failure.error
        causes[cause].append((failure.symbol, failure.days))
    for error, concerned in causes.items():
        symbols = ", ".join(symbol for symbol, _ in concerned[:5]) + (" …" if len(concerned) > 5 else "")
        days = sorted({day for _, days in concerned for day in days})
        complain(f"{error} [{symbols}: {days_text(days)}]")
    if report.cancelled:
        return 130
    return 0 if report.complete else 1


def _print_plan(workspace: Workspace, request: DownloadRequest, cancel: CancelToken, as_json: bool) -> int:
    """Print the missing days and the requests that would be sent."""
    plan = workspace.downloader().plan(request, cancel)
    name = workspace.settings.chosen_provider.name
    requests = workspace.hosted_provider(name).plan(plan.gaps, cancel)
    if as_json:
        answer: dict[str, Any] = {
            "provider": name,
            "resolution": request.resolution,
            "gaps": [{"symbol": gap.series.ticker, "days": gap.days} for gap in plan.gaps],
            "requests": requests,
            "notices": plan.notices,
        }
        print_json(answer)
        return 0
    for notice in plan.notices:
        print(f"note: {notice}")
    for gap in plan.gaps:
        print(f"{gap.series}: missing {days_text(gap.days)}")
    for line in requests:
        print(f"  {line}")
    if plan.gaps:
        print(f"{len(requests)} requests would be sent to {name}; nothing was sent")
    else:
        print("nothing is missing; nothing would be sent")
    return 0
