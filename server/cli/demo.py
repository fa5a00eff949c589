"""The command `demo`."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from server.cli.common import PLACE


@click.command()
@click.option("--data-folder", type=PLACE, help="Keep the demo's data in this folder.")
@click.option("--debug", is_flag=True, help="Show tracebacks and debug lines.")
def demo(data_folder: Path | None, debug: bool) -> int:
    """Download and backtest from a recorded response: no key, no network."""
    from server.demo.run import run_demo

    signal.signal(signal.SIGINT, signal.default_int_handler)  # so that its folder is removed on Ctrl-C
    return run_demo(data_folder, debug=debug)
