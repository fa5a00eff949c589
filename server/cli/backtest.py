"""`backtest-server backtest`."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from server.cli.common import (
    PLACE,
    RESOLUTIONS,
    as_resolution,
    complain,
    folder_options,
    json_option,
    open_workspace,
    print_json,
    provider_option,
    range_options,
    stopped_by_signals,
    warn,
)
from server.cli.download import explain, print_report, watching

if TYPE_CHECKING:
    from server.backtest_server import BacktestResult
    from server.engines.base import EngineResult


class _Symbols(click.ParamType[tuple[str, ...]]):
    name = "A,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Read symbols separated by commas."""
        from server.lean.series import parse_symbol

        try:
            return tuple(parse_symbol(symbol.strip(" ")) for symbol in value.split(","))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("project", required=False, type=PLACE)
@click.option("--symbols", type=_Symbols(), help="Instead of the project's own.")
@click.option("--resolution", type=click.Choice(RESOLUTIONS), help="Instead of the project's own; else minute.")
@range_options(required=False)
@click.option("--engine", metavar="auto|lean|smoke", help="LEAN, or the embedded smoke test of the data.")
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
    provider: str | None,
    data_folder: Path | None,
    lean_config: Path | None,
    as_json: bool,
    debug: bool,
) -> int:
    """Make the data of a backtest be there, then run it.

    PROJECT is a LEAN project; its config/parameters.py says which symbols and days, where no option does.
    """
    from server.backtest_server import BacktestManager, BacktestRequest

    with (
        watching(quiet=as_json, every_line=True) as watch,
        open_workspace(
            data_folder=data_folder,
            lean_config=lean_config,
            debug=debug,
            provider=provider,
            engine=engine,
            show=watch.show,
        ) as workspace,
        stopped_by_signals() as cancel,
    ):
        manager = BacktestManager(workspace, environ=os.environ, listeners=[watch])
        request = BacktestRequest(
            project=project,
            symbols=symbols,
            resolution=as_resolution(resolution) if resolution else None,
            start=start,
            end=end,
        )
        result = manager.run(request, cancel)
        manager.close()
    if as_json:
        print_json(result)
    else:
        print_backtest(result)
    return _exit_code(result)


def print_backtest(result: BacktestResult) -> None:
    """Print the result as text."""
    if result.download:
        print_report(result.download)
    if result.engine_result:
        print(f"engine: {result.engine_choice}")
        print_engine_result(result.engine_result)


def print_engine_result(result: EngineResult) -> None:
    """Print summary, statistics and the equity curve."""
    from server.cli.render import print_equity, print_figures, print_lines

    print_lines(result.summary)
    if result.statistics:
        print_figures(result.statistics)
    if len(result.equity.dates) > 1:
        print_equity(result.equity.dates, result.equity.values, f"equity in dollars ({result.engine})")
    print_lines([f"note: {note}" for note in result.notes])
    for path in result.failed_data_requests:
        warn(f"the backtest asked for {path}, which is not there")
    if result.results_folder:
        print(f"results: {result.results_folder}")


def _exit_code(result: BacktestResult) -> int:
    from server.backtest_server import JobState
    from server.core.errors import ConfigurationError

    if result.state is JobState.COMPLETED:
        return 0
    if result.download and not result.download.complete:
        return explain(result.download)
    if result.error:
        complain(str(result.error))
    if result.state is JobState.CANCELLED:
        return 130
    return 2 if isinstance(result.error, ConfigurationError) else 1
