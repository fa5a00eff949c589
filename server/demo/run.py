"""Runs the demo: coverage, download, coverage, backtest, and the same backtest from the data on disk."""

from __future__ import annotations

import secrets
import tempfile
from contextlib import nullcontext
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from server.backtest_server import BacktestManager, BacktestRequest, BacktestResult, JobState
from server.core.text import count_text
from server.data_download.report import DownloadReport
from server.data_download.request import DownloadRequest
from server.demo.recorded_vendor import RecordedVendor
from server.lean.series import Resolution
from server.observability import configure_logging
from server.plugins.manager import build_plugin_manager
from server.settings import Settings, SettingsReader
from server.terminal.messages import print_error
from server.terminal.progress import progress_display
from server.terminal.render import print_calendar
from server.terminal.reports import print_engine_result
from server.workspace import Workspace

SYMBOLS, START, END = ("AAPL",), date(2023, 1, 3), date(2023, 1, 10)


def run_demo(data_folder: Path | None, *, debug: bool = False) -> int:
    """Run a backtest that downloads its data, and the same backtest again, which downloads nothing.

    Args:
        data_folder: The folder for LEAN's files; None uses a folder that is removed afterwards.
        debug: Show all lines of the log.

    Returns:
        The exit code: 0 if both backtests completed and the second sent no request.
    """
    console = Console(highlight=False)
    folder = nullcontext(str(data_folder)) if data_folder else tempfile.TemporaryDirectory(prefix="backtest-demo-")
    with folder as path, RecordedVendor() as vendor, progress_display(quiet=False, every_line=debug) as display:
        # A random key, and the address of the recorded vendor: the user's environment and lean.json are not read.
        environ = {"POLYGON_API_KEY": secrets.token_hex(16), "POLYGON_API_URL": vendor.url}
        settings = Settings(
            data_folder=Path(path).resolve(),
            engine="smoke",
            corporate_actions="off",  # the recording has no splits or dividends
            reader=SettingsReader(environ=environ),
        )
        workspace = Workspace.open(settings, build_plugin_manager())
        configure_logging(
            state_folder=settings.state_folder,
            sink=display.show,
            sink_level=display.level,
            secrets=workspace.secrets(),
        )
        manager = BacktestManager(workspace, environ=environ, listeners=[display])
        try:
            console.print(
                Panel(
                    "AAPL, daily, 3 to 10 January 2023: Polygon's response, recorded on\n"
                    "27 June 2024, served from this machine to the real provider.\n"
                    "No key, no network.",
                    title="backtest-server demo",
                    expand=False,
                )
            )
            _print_coverage(console, "1. What is on disk before", workspace)
            console.rule("2. The missing days are fetched and written as LEAN's own file", align="left")
            first = manager.run(_request())
            if first.state is not JobState.COMPLETED:
                return _verdict(console, first, first, len(vendor.requests))
            _print_report(console, first.download)
            _print_coverage(console, "3. What is on disk after", workspace)
            console.rule("4. The backtest", align="left")
            if first.engine_result:
                print_engine_result(first.engine_result)
            console.rule("5. The same backtest again: nothing is missing, nothing is fetched", align="left")
            again = manager.run(_request())
            _print_report(console, again.download)
            return _verdict(console, first, again, len(vendor.requests))
        finally:
            manager.close()
            workspace.close()


def _request() -> BacktestRequest:
    return BacktestRequest(symbols=SYMBOLS, resolution=Resolution.DAILY, start=START, end=END)


def _print_coverage(console: Console, title: str, workspace: Workspace) -> None:
    console.rule(title, align="left")
    request = DownloadRequest(symbols=SYMBOLS, resolution=Resolution.DAILY, start=START, end=END)
    for symbol, states in workspace.downloader().plan(request).states.items():
        print_calendar(f"{symbol} daily", states)


def _print_report(console: Console, report: DownloadReport | None) -> None:
    if report is None:
        return
    table = Table(box=None, padding=(0, 2))
    facts = {
        "days": f"{report.days_requested}",
        "present": f"{report.days_present}",
        "downloaded": f"{report.days_downloaded}",
        "requests": f"{report.api_calls}",
        "bytes": f"{report.bytes_fetched:,}",
        "bars": f"{report.bars}",
        "seconds": f"{report.duration_s:.3f}",
    }
    for name in facts:
        table.add_column(name, justify="right")
    table.add_row(*facts.values())
    console.print(table)
    console.print()


def _verdict(console: Console, first: BacktestResult, again: BacktestResult, requests: int) -> int:
    for result in (first, again):
        if result.state is not JobState.COMPLETED:
            print_error(f"the demo failed: {result.error}")
            return 1
    if again.download is None or again.download.api_calls:
        print_error("the demo failed: the second backtest sent requests though nothing was missing")
        return 1
    seconds = sum(phase.duration_s for phase in again.phases)
    console.print(
        f"[green]Done.[/green] {count_text(requests, 'request')} in total; "
        f"the second backtest took {seconds:.3f} s.\nWith your own key:"
    )
    console.print(
        "  [bold]backtest-server download SPY --resolution minute --start 2024-01-02 --end 2024-01-31[/bold]",
        soft_wrap=True,
    )
    return 0
