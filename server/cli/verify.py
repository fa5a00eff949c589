"""The command `verify`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

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
from server.lean.series import Resolution
from server.terminal.messages import print_error
from server.terminal.progress import progress_display
from server.terminal.reports import print_failures, print_report


@click.command()
@symbols_argument(required=False)
@resolution_option
@click.option("--repair", is_flag=True, help="Download the days of damaged files again.")
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
    from server.data_download.verify import verify as verify_files

    wanted = Resolution(resolution)
    report = None
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
        found = verify_files(workspace.folder, wanted, symbols, cancel=cancel, progress=_file_counter(as_json))
        if found.damaged and found.gaps and repair and not cancel.cancelled:
            request = DownloadRequest(
                symbols=tuple(gap.series.ticker for gap in found.gaps),
                resolution=wanted,
                start=min(gap.days[0] for gap in found.gaps),
                end=max(gap.days[-1] for gap in found.gaps),
            )
            downloader = workspace.downloader(events=workspace.events(display))
            report = downloader.repair(request, found.gaps, cancel)
            found = verify_files(workspace.folder, wanted, symbols, cancel=cancel)
        small = check_files(workspace.folder.path, symbols, cancel=cancel)
    if as_json:
        answer = {
            "resolution": wanted,
            "files": found.files,
            "damaged": found.damaged,
            "factor_and_map_files": {"files": small.files, "damaged": small.damaged},
            "repair": report,
        }
        print_json(answer)
    else:
        print(f"{found.files:,} {wanted.value} files read, {len(found.damaged):,} damaged")
        if small.files:
            print(f"{small.files:,} factor and map files read, {len(small.damaged):,} damaged")
        if report:
            print_report(report)
    for file in found.damaged:
        print_error(f"{file.path} is damaged: {file.reason}" + ("" if repair else "; verify --repair fetches it again"))
    for file in small.damaged:
        command = f"backtest-server factor-files {file.path.stem.upper()} --replace"
        print_error(f"{file.path} is damaged: {file.reason}; {command} builds it again")
    failed = print_failures(report) if report else 0
    return 130 if cancel.cancelled else failed or (1 if found.damaged or small.damaged else 0)


def _file_counter(quiet: bool) -> Callable[[int], None]:
    """Return a function that shows on a terminal how many files were read."""
    if quiet or not sys.stderr.isatty():
        return lambda files: None

    def show(files: int) -> None:
        if files % 500 == 0:
            print(f"\r{files:,} files read", end="\r", file=sys.stderr, flush=True)

    return show
