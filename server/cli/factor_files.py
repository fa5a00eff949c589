"""`backtest-server factor-files`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from server.cli.common import (
    DAY,
    bytes_text,
    complain,
    folder_options,
    json_option,
    open_workspace,
    print_json,
    provider_option,
    stopped_by_signals,
    symbols_argument,
)
from server.cli.download import watching

if TYPE_CHECKING:
    from server.corporate_actions.build import Asked, Outcome, Planned
    from server.corporate_actions.compare import Differences
    from server.corporate_actions.context import Work
    from server.corporate_actions.existing_file import Standing
    from server.corporate_actions.service import Made


@click.command("factor-files")
@symbols_argument()
@click.option(
    "--since",
    type=DAY,
    help="Begin the factor files with this day: older events are left out, and LEAN reads no bar from before it.",
)
@click.option("--refresh", is_flag=True, help="Ask again, although it was done today.")
@click.option("--replace", is_flag=True, help="Also replace files that somebody else wrote.")
@provider_option
@folder_options
@click.option("--dry-run", is_flag=True, help="Print what would be asked for and written; send nothing.")
@json_option
def factor_files(
    symbols: tuple[str, ...],
    since: date | None,
    refresh: bool,
    replace: bool,
    provider: str | None,
    data_folder: Path | None,
    lean_config: Path | None,
    dry_run: bool,
    as_json: bool,
    debug: bool,
) -> int:
    """Make LEAN's factor and map files: splits, dividends and tickers of each SYMBOL.

    Closes that they need and that are not on disk are downloaded as daily bars.
    """
    from server.core.errors import BacktestServerError, ConfigurationError
    from server.corporate_actions.build import Asked, make_files, plan_files

    asked = Asked(symbols=tuple(dict.fromkeys(symbols)), since=since, refresh=refresh, replace=replace)
    with (
        watching(quiet=True, every_line=debug) as watch,
        open_workspace(
            data_folder=data_folder,
            lean_config=lean_config,
            debug=debug,
            provider=provider,
            show=watch.show,
            log=not dry_run,
        ) as workspace,
        stopped_by_signals() as cancel,
    ):
        work = workspace.corporate_actions()
        if work is None:
            name = workspace.settings.chosen_provider.name
            raise ConfigurationError(f"the provider {name} has no splits and dividends; try --provider polygon")
        if dry_run:
            _print_plan(work, asked, plan_files(work, asked), as_json)
            return 0
        try:
            outcome = make_files(work, asked, cancel, workspace.events(watch), _counter(asked, as_json))
        except BacktestServerError:
            workspace.remove_empty_state()
            raise
        if not outcome.made and outcome.never_reached_vendor:
            workspace.remove_empty_state()
    if as_json:
        print_json(_payload(work, asked, outcome))
    else:
        _print(outcome)
    return _explain(outcome)


def _counter(asked: Asked, quiet: bool) -> Callable[[str], None]:
    """Shows on a terminal which symbol it is at."""
    if quiet or not sys.stderr.isatty():
        return lambda symbol: None
    symbols = asked.symbols

    def show(symbol: str) -> None:
        at = f"{symbol}, {symbols.index(symbol) + 1} of {len(symbols)}"
        print(f"\r{at:40}", end="\r", file=sys.stderr, flush=True)

    return show


def _print(outcome: Outcome) -> None:
    for made in outcome.made:
        files = made.files
        print(f"{files.symbol}: factor file {files.factor_file}, map file {files.map_file}{_extent(made)}")
        for notice in files.notices if files.factor_file != "none" else ():
            print(f"  note: {notice}")
        for kind, found in (("factor", made.factors), ("map", made.map)):
            if found.count:
                print(f"  the {kind} file that stands there differs in {found.count} rows; the newest:")
            for sentence in found.sentences:
                print(f"    {sentence}")
    for notice in outcome.notices:
        print(f"note: {notice}")
    if outcome.api_calls or outcome.cache_hits:
        print(
            f"  requests  {outcome.api_calls:,} ({outcome.retries:,} retries), {bytes_text(outcome.bytes)}; "
            f"{outcome.cache_hits:,} answered from the cache"
        )


def _extent(made: Made) -> str:
    if made.first_day is None:
        return ""
    events = made.events
    return f" (from {made.first_day}; splits: {len(events.splits)}, dividends: {len(events.dividends)})"


def _explain(outcome: Outcome) -> int:
    """One line on stderr for each cause of a failure; returns the exit code."""
    causes: dict[str, list[str]] = {}
    for symbol, error in outcome.failures.items():
        causes.setdefault(str(error), []).append(symbol)
    for made in outcome.made:
        if made.files.factor_file == "none":
            causes.setdefault(" ".join(made.files.notices), []).append(made.files.symbol)
    for cause, symbols in causes.items():
        complain(f"{cause} [{', '.join(symbols[:5])}{' …' if len(symbols) > 5 else ''}]")
    if outcome.cancelled:
        complain("stopped; files that were made are kept, run it again to go on")
        return 130
    return 1 if causes else 0


def _payload(work: Work, asked: Asked, outcome: Outcome) -> dict[str, Any]:
    """The build's outcome as `--json` prints it."""
    from server.core.json import to_json

    return {
        "provider": work.provider,
        "since": asked.since,
        "symbols": [
            {
                **to_json(made.files),
                "first_day": made.first_day,
                "splits": len(made.events.splits),
                "dividends": len(made.events.dividends),
                "factor_differences": _differences(made.factors),
                "map_differences": _differences(made.map),
            }
            for made in outcome.made
        ],
        "failures": [
            {"symbol": symbol, "error": str(error), "code": error.code} for symbol, error in outcome.failures.items()
        ],
        "notices": outcome.notices,
        "api_calls": outcome.api_calls,
        "http_cache_hits": outcome.cache_hits,
        "retries": outcome.retries,
        "bytes_fetched": outcome.bytes,
        "cancelled": outcome.cancelled,
    }


def _differences(found: Differences) -> dict[str, Any]:
    return {"count": found.count, "newest": found.sentences}


def _print_plan(work: Work, asked: Asked, planned: list[Planned], as_json: bool) -> None:
    """What would be asked for and written."""
    rows = [
        {
            "symbol": plan.symbol,
            "requests": [] if plan.done_today else _requests(plan),
            "factor_file": _would(plan, plan.factor, asked),
            "map_file": _would(plan, plan.map, asked),
        }
        for plan in planned
    ]
    if as_json:
        print_json({"provider": work.provider, "symbols": rows})
        return
    for row in rows:
        print(f"{row['symbol']}: factor file {row['factor_file']}, map file {row['map_file']}")
        for line in row["requests"]:
            print(f"  {line}")
    count = sum(bool(row["requests"]) for row in rows)
    print(f"{work.provider} would be asked about {count} of {len(rows)} symbols; nothing was sent")


def _requests(plan: Planned) -> list[str]:
    lists = [f"{what} of {ticker}" for ticker in plan.tickers for what in ("splits", "dividends")]
    return [
        *lists,
        f"ticker changes of {plan.symbol}",
        f"exchange and first day of {plan.symbol}",
        "daily bars of the days before events whose close is not on disk",
    ]


def _would(plan: Planned, standing: Standing[Any], asked: Asked) -> str:
    if plan.done_today:
        return "up to date"
    if standing.content is None:
        return f"would be written to {standing.path}"
    if standing.ours or asked.replace:
        return f"would be written to {standing.path} if it changes"
    return f"would be compared with {standing.path}, which is not ours"
