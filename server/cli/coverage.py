"""The command `coverage`."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from server.cli.common import (
    cancel_on_signals,
    folder_options,
    json_option,
    open_workspace,
    parsed_request,
    print_json,
    range_options,
    resolution_option,
    symbols_argument,
)
from server.terminal.messages import print_error


@click.command()
@symbols_argument()
@resolution_option
@range_options()
@folder_options
@json_option
def coverage(
    symbols: tuple[str, ...],
    resolution: str,
    start: date,
    end: date,
    data_folder: Path | None,
    lean_config: Path | None,
    as_json: bool,
    debug: bool,
) -> int:
    """Show which trading days are present, provisional, empty, damaged or missing, and the factor and map files."""
    from server.coverage import read_coverage

    request = parsed_request(symbols, resolution, start, end)
    with (
        open_workspace(data_folder=data_folder, lean_config=lean_config, debug=debug, read_only=True) as workspace,
        cancel_on_signals() as cancel,
    ):
        found = read_coverage(workspace, request, cancel)
    if as_json:
        print_json(found)
    else:
        from server.terminal.render import print_calendar, print_lines

        print_lines([f"note: {notice}" for notice in found.notices])
        for symbol, one in found.symbols.items():
            print_calendar(f"{symbol} {resolution}", one.days, one.sentence)
    for symbol, one in found.symbols.items():
        if one.absent:
            print_error(f"{symbol} {resolution}: {one.absent} of {len(one.days)} trading days are not there")
    return 1 if any(one.absent for one in found.symbols.values()) else 0
