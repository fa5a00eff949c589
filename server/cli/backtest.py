"""The command `backtest`."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from server.cli.common import (
    PLACE,
    RESOLUTIONS,
    cancel_on_signals,
    folder_options,
    json_option,
    open_workspace,
    print_json,
    provider_option,
    range_options,
)
from server.cli.data_folder import data_folder_listener
from server.cli.symbols import read_symbols
from server.lean.series import Resolution
from server.terminal.messages import print_error
from server.terminal.progress import progress_display
from server.terminal.reports import print_backtest, print_failures

if TYPE_CHECKING:
    from server.backtest_server import BacktestResult


GAPS, UNTRUSTED, INTERRUPTED = 3, 4, 130
"""Exit codes of a backtest: by the first word of its verdict, 0 where that is complete; and of one that was stopped."""


class _Symbols(click.ParamType[tuple[str, ...]]):
    name = "A,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Read symbols, and files of symbols with an @, separated by commas."""
        return read_symbols((text.strip(" ") for text in value.split(",")), ctx, param)


@click.command()
@click.argument("project", required=False, type=PLACE)
@click.option("--symbols", type=_Symbols(), help="Replaces the project's symbols; @FILE reads them from a file.")
@click.option(
    "--resolution",
    type=click.Choice(RESOLUTIONS),
    help="Replaces the project's resolution; minute if neither is given.",
)
@range_options(required=False)
@click.option(
    "--engine",
    metavar="auto|lean|lean-native|lean-docker|lean-cli|smoke",
    help="One of LEAN's engines, the first of them that can run, or the embedded smoke test of the data.",
)
@click.option("--no-fill", is_flag=True, help="List what LEAN requested and did not get; fetch nothing after the run.")
@click.option("--allow-damaged", is_flag=True, help="Run on files that LEAN does not read whole, if repairs fail.")
@provider_option
@folder_options
@json_option
def backtest(
    project: Path | None,
    symbols: tuple[str, ...] | None,
    resolution: str | None,
    start: date | None,
    end: date | None,
    engine: str | None,
    no_fill: bool,
    allow_damaged: bool,
    provider: str | None,
    data_folder: Path | None,
    lean_config: Path | None,
    as_json: bool,
    debug: bool,
) -> int:
    """Download the missing data of a backtest, then run it.

    PROJECT is a LEAN project; its config/parameters.py gives the symbols and days that no option gives.
    """
    from server.backtest_server import BacktestManager, BacktestRequest

    with (
        progress_display(quiet=as_json, every_line=True) as display,
        open_workspace(
            data_folder=data_folder,
            lean_config=lean_config,
            debug=debug,
            provider=provider,
            engine=engine,
            display=display,
        ) as workspace,
        cancel_on_signals() as cancel,
    ):
        folder = data_folder_listener(workspace.settings, quiet=as_json, project=project)
        manager = BacktestManager(workspace, environ=os.environ, listeners=[folder, display])
        request = BacktestRequest(
            project=project,
            symbols=symbols,
            resolution=Resolution(resolution) if resolution else None,
            start=start,
            end=end,
            fill=not no_fill,
            allow_damaged=allow_damaged,
        )
        result = manager.run(request, cancel)
    if as_json:
        print_json(result)
    else:
        print_backtest(result)
    return _exit_code(result)


def _exit_code(result: BacktestResult) -> int:
    from server.backtest_server import JobState
    from server.core.errors import ConfigurationError
    from server.data_download.errors import DamagedDataError
    from server.engines.base import LeanInterruptedError

    if result.state is JobState.COMPLETED:
        return {"gaps": GAPS, "untrusted": UNTRUSTED}.get(result.verdict_word, 0)
    if isinstance(result.error, DamagedDataError):
        for line in result.error.lines:
            print_error(line)
        print_error(result.error.advice)
        return UNTRUSTED
    if result.download and not result.download.complete:
        return print_failures(result.download)
    if result.error:
        print_error(str(result.error))
    if result.state is JobState.CANCELLED or isinstance(result.error, LeanInterruptedError):
        return INTERRUPTED
    return 2 if isinstance(result.error, ConfigurationError) else 1
