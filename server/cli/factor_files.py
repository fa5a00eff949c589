"""The command `factor-files`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from server.cli.common import (
    DAY,
    cancel_on_signals,
    folder_options,
    json_option,
    open_workspace,
    provider_option,
    symbols_argument,
)
from server.core.text import list_text
from server.terminal.messages import print_error
from server.terminal.progress import progress_display
from server.terminal.reports import print_requests

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
    help="First day of the factor files: older events are left out, and LEAN reads no earlier bar.",
)
@click.option("--refresh", is_flag=True, help="Request the events again, although that was done today.")
@click.option("--replace", is_flag=True, help="Also replace files that another program wrote.")
@provider_option
@folder_options
@click.option("--dry-run", is_flag=True, help="Print the requests and the files that would be written; send nothing.")
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
    """Build LEAN's factor and map files: splits, dividends and tickers of each SYMBOL.

    Missing closes that they need are downloaded as daily bars.
    """
    from server.core.errors import BacktestServerError, ConfigurationError
    from server.corporate_actions.build import Asked, make_files, plan_files

    asked = Asked(symbols=tuple(dict.fromkeys(symbols)), since=since, refresh=refresh, replace=replace)
    with (
        progress_display(quiet=True, every_line=debug) as display,
        open_workspace(
            data_folder=data_folder,
            lean_config=lean_config,
            debug=debug,
            provider=provider,
            display=display,
            log=not dry_run,
        ) as workspace,
        cancel_on_signals() as cancel,
    ):
        work = workspace.corporate_actions()
        if work is None:
            name = workspace.settings.chosen_provider.name
            raise ConfigurationError(f"the provider {name} has no splits and dividends; try --provider polygon")
        if dry_run:
            _print_plan(work, asked, plan_files(work, asked), as_json)
            return 0
        try:
            outcome = make_files(work, asked, cancel, workspace.events(display), _symbol_counter(asked, as_json))
        except BacktestServerError:
            workspace.remove_empty_state()
            raise
        if not outcome.made and outcome.never_reached_vendor:
            workspace.remove_empty_state()
    if as_json:
        print(json.dumps(_as_json(work, asked, outcome), indent=2))
    else:
        _print(outcome)
    return _print_failures(outcome)


def _symbol_counter(asked: Asked, quiet: bool) -> Callable[[str], None]:
    """Return a function that shows on a terminal which symbol is built."""
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
                print(f"  the existing {kind} file differs in {found.count} rows; the newest:")
            for sentence in found.sentences:
                print(f"    {sentence}")
    for notice in outcome.notices:
        print(f"note: {notice}")
    if outcome.api_calls or outcome.cache_hits:
        print_requests(outcome.api_calls, outcome.retries, outcome.bytes, outcome.cache_hits)


def _extent(made: Made) -> str:
    if made.first_day is None:
        return ""
    events = made.events
    return f" (from {made.first_day}; splits: {len(events.splits)}, dividends: {len(events.dividends)})"


def _print_failures(outcome: Outcome) -> int:
    """Print one line on stderr for each cause of a failure.

    Returns:
        The exit code of the command.
    """
    causes: dict[str, list[str]] = {}
    for symbol, error in outcome.failures.items():
        causes.setdefault(str(error), []).append(symbol)
    for made in outcome.made:
        if made.files.factor_file == "none":
            causes.setdefault(" ".join(made.files.notices), []).append(made.files.symbol)
    for cause, symbols in causes.items():
        print_error(f"{cause} [{list_text(symbols)}]")
    if outcome.cancelled:
        print_error("stopped; files that were built are kept, run it again to go on")
        return 130
    return 1 if causes else 0


def _as_json(work: Work, asked: Asked, outcome: Outcome) -> dict[str, Any]:
    return {
        "provider": work.provider,
        "since": str(asked.since) if asked.since else None,
        "symbols": [
            {
                **made.files.as_json(),
                "first_day": str(made.first_day) if made.first_day else None,
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
    return {"count": found.count, "newest": list(found.sentences)}


def _print_plan(work: Work, asked: Asked, planned: list[Planned], as_json: bool) -> None:
    """Print the requests and the files that would be written."""
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
        print(json.dumps({"provider": work.provider, "symbols": rows}, indent=2))
        return
    for row in rows:
        print(f"{row['symbol']}: factor file {row['factor_file']}, map file {row['map_file']}")
        for line in row["requests"]:
            print(f"  {line}")
    count = sum(bool(row["requests"]) for row in rows)
    print(f"{work.provider} would receive requests for {count} of {len(rows)} symbols; nothing was sent")


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
