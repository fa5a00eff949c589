"""The command `verify`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from server.cli.common import (
    cancel_on_signals,
    folder_options,
    json_option,
    open_workspace,
    print_json,
    provider_option,
    resolution_option,
    symbols_argument,
)
from server.core.text import count_text
from server.lean.series import Resolution
from server.terminal.messages import print_error
from server.terminal.progress import progress_display
from server.terminal.reports import kinds_lines, print_failures, print_report

if TYPE_CHECKING:
    from server.core.errors import BacktestServerError
    from server.corporate_actions.verify import CheckedFiles
    from server.data_download.file_check import IrregularFile
    from server.data_download.verify import VerifyResult

_LISTED = {"form", "member_name", "other_lines", "repeated_rows", "rows_out_of_order"}
"""Kinds of notices that the list of irregular files has."""


@click.command()
@symbols_argument(required=False)
@resolution_option
@click.option("--repair", is_flag=True, help="Download the days of damaged files again, and rewrite irregular ones.")
@provider_option
@folder_options
@json_option
def verify(
    symbols: tuple[str, ...],
    resolution: str,
    repair: bool,
    provider: str | None,
    data_folder: Path | None,
    lean_config: Path | None,
    as_json: bool,
    debug: bool,
) -> int:
    """Read every file of a resolution, and every factor and map file, and name the damaged ones."""
    from server.corporate_actions.verify import check_files
    from server.data_download.request import DownloadRequest
    from server.data_download.verify import rewrite_files
    from server.data_download.verify import verify as verify_files

    wanted = Resolution(resolution)
    report = None
    errors: list[BacktestServerError] = []
    with (
        progress_display(quiet=as_json, every_line=debug) as display,
        open_workspace(
            data_folder=data_folder,
            lean_config=lean_config,
            debug=debug,
            provider=provider,
            display=display,
            read_only=not repair,
        ) as workspace,
        cancel_on_signals() as cancel,
    ):
        folder = workspace.folder
        found = verify_files(folder, wanted, symbols, cancel=cancel, progress=_file_counter(as_json))
        if found.gaps and repair and not cancel.cancelled:
            request = DownloadRequest(
                symbols=tuple(gap.series.ticker for gap in found.gaps),
                resolution=wanted,
                start=min(gap.days[0] for gap in found.gaps),
                end=max(gap.days[-1] for gap in found.gaps),
            )
            downloader = workspace.downloader(events=workspace.events(display))
            report = downloader.repair(request, found.gaps, cancel)
            found = verify_files(folder, wanted, symbols, cancel=cancel)
        rewritten: tuple[IrregularFile, ...] = ()
        if found.to_rewrite and repair and not cancel.cancelled:
            before = found.irregular
            errors = rewrite_files(folder, found.to_rewrite, cancel=cancel)
            found = verify_files(folder, wanted, symbols, cancel=cancel)
            left = {file.path for file in found.irregular} | {file.path for file in found.damaged}
            rewritten = tuple(file for file in before if file.path not in left)
        small = check_files(folder.path, symbols, ours=folder.ledger.wrote, cancel=cancel)
        besides = workspace.findings(symbols or folder.catalog.tickers(wanted), date.min, date.max)
    if as_json:
        answer = {
            "resolution": wanted,
            "files": found.files,
            "damaged": found.damaged,
            "irregular": found.irregular,
            "rewritten": rewritten,
            "daily_bars": found.daily_bars,
            "factor_and_map_files": {"files": small.files, "damaged": small.damaged},
            "repair": report,
            "other_holders": besides.other_holders,
            "doubts": besides.doubts,
            "findings": [*found.findings, *small.findings],
        }
        print_json(answer)
    else:
        _print_findings(found, rewritten, wanted)
        _print_other_findings(found, small)
        for sentence in (*besides.sentences, *besides.accepted_sentences):
            print(f"note: {sentence}")
        if report:
            print_report(report)
    for file in found.damaged:
        print_error(f"{file.path} is damaged: {file.reason}" + ("" if repair else "; verify --repair fetches it again"))
    for file in small.damaged:
        command = f"backtest-server factor-files {file.path.stem.upper()} --replace"
        print_error(f"{file.path} is damaged: {file.reason}; {command} builds it again")
    for error in errors:
        print_error(str(error))
    failed = print_failures(report) if report else 0
    return 130 if cancel.cancelled else failed or (1 if found.damaged or small.damaged or errors else 0)


def _print_findings(found: VerifyResult, rewritten: Sequence[IrregularFile], resolution: Resolution) -> None:
    """Print the number of files, and a line for each irregular file."""
    print(f"{found.files:,} {resolution.value} files read, {len(found.damaged):,} damaged")
    for file in rewritten:
        print(f"note: {file.path} was rewritten; it had {file.reason}")
    for file in found.irregular:
        print(f"note: {file.path} has {file.reason}")
    if found.irregular:
        count = count_text(len(found.irregular), "irregular file")
        print(f"{count}, read as described; verify --repair rewrites them in LEAN's form without a request")
    for line in kinds_lines(found.daily_bars):
        print(line)


def _print_other_findings(found: VerifyResult, corporate: CheckedFiles) -> None:
    """Print the number of factor and map files, and the notices that concern no irregular file."""
    if corporate.files:
        print(f"{corporate.files:,} factor and map files read, {len(corporate.damaged):,} damaged")
    for one in (*found.findings, *corporate.findings):
        if not one.is_damage and one.kind not in _LISTED:
            print(f"note: {one.sentence}")


def _file_counter(quiet: bool) -> Callable[[int], None]:
    """Return a function that shows on a terminal how many files were read."""
    if quiet or not sys.stderr.isatty():
        return lambda files: None

    def show(files: int) -> None:
        if files % 500 == 0:
            print(f"\r{files:,} files read", end="\r", file=sys.stderr, flush=True)

    return show
