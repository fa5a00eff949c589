"""The command `coverage`."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from pathlib import Path

import click

from server.cli.common import (
    cancel_on_signals,
    folder_options,
    json_option,
    open_workspace,
    parsed_request,
    range_options,
    resolution_option,
    symbols_argument,
)
from server.terminal.messages import print_error


@click.command()
@symbols_argument()
@resolution_option()
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
    from server.corporate_actions.summary import share_files

    request = parsed_request(symbols, resolution, start, end)
    with (
        open_workspace(data_folder=data_folder, lean_config=lean_config, debug=debug, log=False) as workspace,
        cancel_on_signals() as cancel,
    ):
        plan = workspace.downloader().plan(request, cancel)
        root = workspace.settings.data_folder
        files = {symbol: share_files(root, symbol, workspace.calendar) for symbol in plan.states}
    counts = {symbol: Counter(state.value for state in states.values()) for symbol, states in plan.states.items()}
    if as_json:
        answer = {
            "resolution": resolution,
            "start": str(start),
            "end": str(end),
            "symbols": {
                symbol: {
                    "counts": counts[symbol],
                    "days": {str(day): state.value for day, state in states.items()},
                    **files[symbol].as_json(start, end),
                }
                for symbol, states in plan.states.items()
            },
            "notices": list(plan.notices),
        }
        print(json.dumps(answer, indent=2))
    else:
        from server.terminal.render import print_calendar, print_lines

        print_lines([f"note: {notice}" for notice in plan.notices])
        for symbol, states in plan.states.items():
            print_calendar(f"{symbol} {resolution}", states, files[symbol].sentence)
    lacking = {symbol: count["missing"] + count["damaged"] for symbol, count in counts.items()}
    for symbol, days in lacking.items():
        if days:
            print_error(f"{symbol} {resolution}: {days} of {sum(counts[symbol].values())} trading days are not there")
    return 1 if any(lacking.values()) else 0
