"""The command `download`."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from server.cli.common import (
    cancel_on_signals,
    folder_options,
    json_option,
    open_workspace,
    parsed_request,
    print_json,
    provider_option,
    range_options,
    resolution_option,
    symbols_argument,
)
from server.cli.data_folder import data_folder_line, data_folder_listener
from server.core.text import count_text, days_text
from server.terminal.progress import progress_display
from server.terminal.reports import print_failures, print_report

if TYPE_CHECKING:
    from server.core.cancel import CancelToken
    from server.data_download.request import DownloadRequest
    from server.workspace import Workspace


@click.command()
@symbols_argument()
@resolution_option
@range_options()
@provider_option
@folder_options
@click.option(
    "--refresh",
    is_flag=True,
    help="Request all bars of the range and all events of its symbols again; for corrections.",
)
@click.option("--dry-run", is_flag=True, help="Print the missing days and the requests for them; send nothing.")
@json_option
def download(
    symbols: tuple[str, ...],
    resolution: str,
    start: date,
    end: date,
    provider: str | None,
    data_folder: Path | None,
    lean_config: Path | None,
    refresh: bool,
    dry_run: bool,
    as_json: bool,
    debug: bool,
) -> int:
    """Download the missing trading days as LEAN's files."""
    request = evolve(parsed_request(symbols, resolution, start, end), refresh=refresh)
    with (
        progress_display(quiet=as_json, every_line=debug) as display,
        open_workspace(
            data_folder=data_folder,
            lean_config=lean_config,
            debug=debug,
            provider=provider,
            display=display,
            read_only=dry_run,
        ) as workspace,
        cancel_on_signals() as cancel,
    ):
        folder = data_folder_listener(workspace.settings, quiet=as_json)
        if dry_run:
            return _print_plan(workspace, request, cancel, as_json)
        report = workspace.downloader(events=workspace.events(folder, display)).download(request, cancel)
    if as_json:
        print_json(report)
    else:
        print_report(report)
    return print_failures(report)


def _print_plan(workspace: Workspace, request: DownloadRequest, cancel: CancelToken, as_json: bool) -> int:
    """Print the missing days and the requests that would be sent."""
    plan = workspace.downloader().plan(request, cancel)
    name = workspace.settings.chosen_provider.name
    requests = workspace.hosted_provider(name).plan(plan.gaps, cancel)
    if as_json:
        answer: dict[str, Any] = {
            "provider": name,
            "data_folder": workspace.settings.data_folder,
            "resolution": request.resolution,
            "gaps": [{"symbol": gap.series.ticker, "days": gap.days} for gap in plan.gaps],
            "requests": requests,
            "notices": plan.notices,
        }
        print_json(answer)
        return 0
    print(data_folder_line(workspace.settings, Path.cwd(), None))
    for notice in plan.notices:
        print(f"note: {notice}")
    for gap in plan.gaps:
        print(f"{gap.series}: missing {days_text(gap.days)}")
    for line in requests:
        print(f"  {line}")
    if plan.gaps:
        print(f"{count_text(len(requests), 'request')} would be sent to {name}; nothing was sent")
    else:
        print("nothing is missing; nothing would be sent")
    return 0
