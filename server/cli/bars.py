"""The command `bars`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from server.cli.common import (
    folder_options,
    open_workspace,
    parsed_request,
    range_options,
    resolution_option,
    symbols_argument,
)
from server.terminal.messages import print_warning

if TYPE_CHECKING:
    from server.lean.feed import Item

MODES = ("raw", "adjusted", "split-adjusted", "total-return")
FORMATS = ("table", "csv", "jsonl", "parquet")


@click.command()
@symbols_argument()
@resolution_option
@range_options()
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default="adjusted",
    show_default=True,
    help="How prices are normalized for splits and dividends.",
)
@click.option("--extended-hours", is_flag=True, help="Also the bars before and after the regular session.")
@click.option("--fill-forward", is_flag=True, help="Fill missing bars with the bar before them.")
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True, help="How items are printed."
)
@folder_options
def bars(
    symbols: tuple[str, ...],
    resolution: str,
    start: date,
    end: date,
    mode: str,
    extended_hours: bool,
    fill_forward: bool,
    format_: str,
    data_folder: Path | None,
    lean_config: Path | None,
    debug: bool,
) -> int:
    """Print what LEAN feeds an algorithm from the data folder, and what it loses of it."""
    from server.data_download.feed_files import FolderFiles
    from server.lean.feed import FeedRequest, Mode, read_feed
    from server.lean.series import NEW_YORK
    from server.terminal.feed_formats import check_parquet

    request = parsed_request(symbols, resolution, start, end)
    if format_ == "parquet" and sys.stdout.isatty():
        raise click.UsageError("Parquet is binary; redirect stdout to a file", click.get_current_context())
    if format_ == "parquet":
        check_parquet()
    with open_workspace(data_folder=data_folder, lean_config=lean_config, debug=debug, read_only=True) as workspace:
        calendar = workspace.calendar
        wanted = FeedRequest(
            start=max(request.start, calendar.first_day),
            end=min(request.end, calendar.last_day),
            mode=Mode(mode),
            extended_hours=extended_hours,
            fill_forward=fill_forward,
            today=workspace.clock().astimezone(NEW_YORK).date(),
        )
        if (wanted.start, wanted.end) != (request.start, request.end):
            print_warning(f"the trading calendar is from {calendar.first_day} to {calendar.last_day}")
        feed = read_feed(FolderFiles(workspace.folder.path), request.symbols, request.resolution, wanted, calendar)
    _print_items(feed.items, format_)
    for loss in feed.losses:
        print_warning(str(loss))
    return 0


def _print_items(items: Iterable[Item], format_: str) -> None:
    from server.terminal import feed_formats

    if format_ == "parquet":
        feed_formats.write_parquet(items, sys.stdout.buffer)
        return
    lines: dict[str, Callable[[Iterable[Item]], Iterator[str]]] = {
        "csv": feed_formats.csv_lines,
        "jsonl": feed_formats.json_lines,
        "table": feed_formats.table_lines,
    }
    sys.stdout.writelines(f"{line}\n" for line in lines[format_](items))
