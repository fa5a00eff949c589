"""`backtest-server demo`."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from server.cli.common import PLACE


@click.command()
@click.option("--data-folder", type=PLACE, help="Keep the demo's data here.")
@click.option("--debug", is_flag=True, help="Show tracebacks and debug lines.")
def demo(data_folder: Path | None, debug: bool) -> int:
    """Show the whole way on recorded answers: no key, no network."""
    from server.cli.demonstration import run_demo

    signal.signal(signal.SIGINT, signal.default_int_handler)  # its folder is removed however it ends
    return run_demo(data_folder, debug=debug)
