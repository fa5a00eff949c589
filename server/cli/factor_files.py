"""The command `factor-files`."""

from __future__ import annotations

import sys
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
    print_json,
    provider_option,
    symbols_argument,
)
from server.core.text import list_text
from server.terminal.messages import print_error
from server.terminal.progress import progress_display
from server.terminal.reports import print_requests

if TYPE_CHECKING:
    from server.core.events import Event, EventListener
    from server.corporate_actions.build import BuildRequest, BuildResult, PlannedBuild
    from server.corporate_actions.context import CorporateActionsContext
    from server.corporate_actions.existing_file import Differences, ExistingFile
    from server.corporate_actions.service import BuildOutcome


@click.command("factor-files")
@symbols_argument()
@click.option(
    "--since",
    type=DAY,
    help="Begin the factor files with this day: older events are left out, and LEAN reads no bar from before it.",
)
@click.option("--refresh", is_flag=True, help="Send all requests again, although the files were built today.")
@click.option("--replace", is_flag=True, help="Also replace files that another program wrote.")
@click.option("--extend", is_flag=True, help="Add later events to files that another program wrote; keep their rows.")
@provider_option
@folder_options
@click.option("--dry-run", is_flag=True, help="Print what would be requested and written; send nothing.")
@json_option
def factor_files(
    symbols: tuple[str, ...],
    since: date | None,
    refresh: bool,
    replace: bool,
    extend: bool,
    provider: str | None,
    data_folder: Path | None,
    lean_config: Path | None,
    dry_run: bool,
    as_json: bool,
    debug: bool,
) -> int:
    """Build LEAN's factor and map files: splits, dividends and tickers of each SYMBOL.

    Closes that they need are downloaded as daily bars if they are not on disk.
    """
    from server.core.errors import BacktestServerError, ConfigurationError
    from server.corporate_actions.build import BuildRequest, build_on_request, plan_builds

    request = BuildRequest(
        symbols=tuple(dict.fromkeys(symbols)), since=since, refresh=refresh, replace=replace, extend=extend
    )
    if replace and extend:
        raise ConfigurationError("--replace and --extend exclude each other; give one of them")
    with (
        progress_display(quiet=True, every_line=debug) as display,
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
        context = workspace.corporate_actions()
        if context is None:
            name = workspace.settings.chosen_provider.name
            raise ConfigurationError(f"the provider {name} has no splits and dividends; try --provider polygon")
        if dry_run:
            _print_plan(context, request, plan_builds(context, request), as_json)
            return 0
        try:
            events = workspace.events(display, _symbol_counter(request, as_json))
            result = build_on_request(context, request, events=events, cancel=cancel)
        except BacktestServerError:
            workspace.remove_empty_state()
            raise
        if not result.outcomes and result.never_reached_vendor:
            workspace.remove_empty_state()
    if as_json:
        print_json(_payload(context, request, result))
    else:
        _print(result)
    return _print_failures(result)


def _symbol_counter(request: BuildRequest, quiet: bool) -> EventListener:
    """Return a listener that shows on a terminal which symbol is in progress."""
    shown = not quiet and sys.stderr.isatty()
    symbols = request.symbols

    def show(event: Event, /) -> None:
        if shown and event.symbol in symbols:
            progress = f"{event.symbol}, {symbols.index(event.symbol) + 1} of {len(symbols)}"
            print(f"\r{progress:40}", end="\r", file=sys.stderr, flush=True)

    return show


def _print(result: BuildResult) -> None:
    for outcome in result.outcomes:
        files = outcome.files
        print(f"{files.symbol}: factor file {files.factor_file}, map file {files.map_file}{_extent(outcome)}")
        for notice in files.notices if files.factor_file != "none" else ():
            print(f"  note: {notice}")
        for sentence in (*outcome.findings.sentences, *outcome.findings.accepted_sentences):
            print(f"  note: {sentence}")
        for kind, found in (("factor", outcome.factor_differences), ("map", outcome.map_differences)):
            if found.count:
                print(f"  the existing {kind} file differs in {found.count} rows; the newest:")
            for sentence in found.sentences:
                print(f"    {sentence}")
    for notice in result.notices:
        print(f"note: {notice}")
    if result.api_calls or result.cache_hits:
        print_requests(result.api_calls, result.retries, result.bytes, result.cache_hits)


def _extent(outcome: BuildOutcome) -> str:
    if outcome.first_day is None:
        return ""
    events = outcome.events
    return f" (from {outcome.first_day}; splits: {len(events.splits)}, dividends: {len(events.dividends)})"


def _print_failures(result: BuildResult) -> int:
    """Print one line on stderr for each cause of a failure.

    Returns:
        The exit code of the command.
    """
    causes: dict[str, list[str]] = {}
    for symbol, error in result.failures.items():
        causes.setdefault(str(error), []).append(symbol)
    for outcome in result.outcomes:
        if outcome.files.factor_file == "none":
            causes.setdefault(" ".join(outcome.files.notices), []).append(outcome.files.symbol)
    for cause, symbols in causes.items():
        print_error(f"{cause} [{list_text(symbols)}]")
    if result.cancelled:
        print_error("cancelled; files that were built are kept, run the command again to continue")
        return 130
    return 1 if causes else 0


def _payload(context: CorporateActionsContext, request: BuildRequest, result: BuildResult) -> dict[str, Any]:
    """Return the result as `--json` prints it."""
    from server.core.json import to_json

    return {
        "provider": context.provider,
        "since": request.since,
        "symbols": [
            {
                **to_json(outcome.files),
                "first_day": outcome.first_day,
                "splits": len(outcome.events.splits),
                "dividends": len(outcome.events.dividends),
                "factor_differences": _differences(outcome.factor_differences),
                "map_differences": _differences(outcome.map_differences),
                "other_holders": to_json(outcome.findings.other_holders),
                "doubts": to_json(outcome.findings.doubts),
                "later_events": to_json(outcome.findings.later_events),
            }
            for outcome in result.outcomes
        ],
        "failures": [
            {"symbol": symbol, "error": str(error), "code": error.code} for symbol, error in result.failures.items()
        ],
        "notices": result.notices,
        "api_calls": result.api_calls,
        "http_cache_hits": result.cache_hits,
        "retries": result.retries,
        "bytes_fetched": result.bytes,
        "cancelled": result.cancelled,
    }


def _differences(found: Differences) -> dict[str, Any]:
    return {"count": found.count, "newest": found.sentences}


def _print_plan(
    context: CorporateActionsContext, request: BuildRequest, plans: list[PlannedBuild], as_json: bool
) -> None:
    """Print what would be requested and written."""
    rows = [
        {
            "symbol": plan.symbol,
            "requests": [] if plan.done_today else _requests(plan),
            "factor_file": _would(plan, plan.factor_file, request),
            "map_file": _would(plan, plan.map_file, request),
        }
        for plan in plans
    ]
    if as_json:
        print_json({"provider": context.provider, "symbols": rows})
        return
    for row in rows:
        print(f"{row['symbol']}: factor file {row['factor_file']}, map file {row['map_file']}")
        for line in row["requests"]:
            print(f"  {line}")
    count = sum(bool(row["requests"]) for row in rows)
    print(f"requests for {count} of {len(rows)} symbols would be sent to {context.provider}; nothing was sent")


def _requests(plan: PlannedBuild) -> list[str]:
    lists = [f"{what} of {ticker}" for ticker in plan.tickers for what in ("splits", "dividends")]
    return [
        *lists,
        f"ticker changes of {plan.symbol}",
        f"exchange and first day of {plan.symbol}",
        f"the holder of {plan.tickers[0]} on the first day with bars",
        "daily bars of the days before events whose close is not on disk",
    ]


def _would(plan: PlannedBuild, existing: ExistingFile[Any], request: BuildRequest) -> str:
    if plan.done_today:
        return "up to date"
    if existing.content is None:
        return f"would be written to {existing.path}"
    if existing.ours or request.replace:
        return f"would be written to {existing.path} if it changes"
    if request.extend:
        return f"would be extended in {existing.path} if the vendor lists later events"
    return f"would be compared with {existing.path}, which another program wrote"
