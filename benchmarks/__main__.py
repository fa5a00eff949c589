"""The command ``python -m benchmarks``."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks import environment
from benchmarks.archive import ARCHIVE
from benchmarks.console import print_list, print_results, progress_display
from benchmarks.contenders import CONTENDERS, Contender, choose_contenders
from benchmarks.folders import temporary_folder
from benchmarks.measure import Benchmark, LiveApi
from benchmarks.report import run_as_json, save
from benchmarks.scenarios import SCENARIO_FILE, Scenario, choose_scenarios, load_scenarios
from server.cli import main as run_command
from server.cli.common import PLACE, json_option
from server.lean.series import NEW_YORK
from server.observability import add_secret
from server.plugins.polygon_provider.config import PolygonConfig
from server.settings import load_settings
from server.trading_calendar import USEquityTradingCalendar
from server.workspace import utc_now


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--scenario", "scenarios", multiple=True, metavar="NAME", help="Only this scenario; may be repeated.")
@click.option("--contender", "contenders", multiple=True, metavar="NAME", help="Only this contender; may be repeated.")
@click.option("--extended", is_flag=True, help="Include the long scenarios; they take most of an hour.")
@click.option("--runs", type=click.IntRange(1), metavar="N", help="The number of runs of each contender.")
@click.option(
    "--latency",
    type=click.FloatRange(0, 10_000),
    default=50.0,
    show_default=True,
    metavar="MS",
    help="Milliseconds before each response of the local server.",
)
@click.option("--live", is_flag=True, help="Measure with the real API and your key instead of the local server.")
@click.option("--results", type=PLACE, metavar="DIR", help="Save the run here; default: benchmarks/results.")
@click.option("--scenarios", "scenario_file", type=PLACE, metavar="FILE", help="A file with other scenarios.")
@click.option("--list", "only_list", is_flag=True, help="Show the scenarios and the contenders; measure nothing.")
@click.option("--lean-config", type=PLACE, help="The lean.json for --live; default: the nearest one upward.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@json_option
def benchmark(
    scenarios: tuple[str, ...],
    contenders: tuple[str, ...],
    extended: bool,
    runs: int | None,
    latency: float,
    live: bool,
    results: Path | None,
    scenario_file: Path | None,
    only_list: bool,
    lean_config: Path | None,
    debug: bool,
    as_json: bool,
) -> int:
    """Measure downloads of this project and of other ways to get the same bars.

    Without --live they use a local server that responds as the vendor's API does. A run of all scenarios and contenders
    is saved; a run of some of them only with --results.
    """
    all_scenarios = load_scenarios(CONTENDERS, scenario_file or SCENARIO_FILE)
    chosen = choose_scenarios(all_scenarios, scenarios, extended or only_list)
    chosen_contenders = choose_contenders(contenders)
    if only_list:
        print_list(chosen, chosen_contenders, as_json=as_json)
        return 0
    api = _live_api(lean_config) if live else None
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # so that folders are removed and processes ended
    run = _measure(
        chosen,
        chosen_contenders,
        runs=runs,
        latency=latency / 1000,
        live=api,
        bar=sys.stderr.isatty() and not as_json,
    )
    archive = results or (None if scenarios or contenders else ARCHIVE)
    folder = save(run, archive) if archive is not None else None
    if as_json:
        print(json.dumps({**run, "folder": str(folder) if folder else None}, indent=2))
        return 0
    print_results(run)
    print(f"saved in {folder}" if folder else "not saved: only a part was measured; use --results DIR to save it")
    return 0


def _live_api(lean_config: Path | None) -> LiveApi:
    """Return the real API with the key from the settings.

    Raises:
        AuthenticationError: No key is set.
    """
    settings = load_settings(environ=os.environ, cwd=Path.cwd(), lean_config=lean_config)
    config: PolygonConfig = settings.provider_config("polygon", PolygonConfig)
    config.require_key()
    add_secret(config.api_key)
    today = utc_now().astimezone(NEW_YORK).date()
    return LiveApi(url=config.api_url, key=config.api_key.reveal(), today=today, lean_config=settings.lean_config)


def _measure(
    scenarios: Sequence[Scenario],
    contenders: Sequence[Contender],
    *,
    runs: int | None,
    latency: float,
    live: LiveApi | None,
    bar: bool,
) -> dict[str, Any]:
    """Measure all scenarios and return the run in JSON's types; `latency` is in seconds."""
    calendar = USEquityTradingCalendar.load(utc_now().astimezone(NEW_YORK).date())
    commit = environment.commit()
    with temporary_folder(Path.cwd()) as home, progress_display(len(scenarios), bar=bar) as display:
        measurement = Benchmark(
            home=home, calendar=calendar, runs=runs, latency=latency, live=live, on_run=display.run_finished
        )
        results = []
        for scenario in scenarios:
            results.append(measurement.measure(scenario, contenders))
            display.scenario_done()
    facts = environment.describe(live_url=live.url if live else None, latency=latency)
    return run_as_json(results, facts, commit)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and end the process, with the exit codes of `backtest-server`."""
    run_command(arguments, command=benchmark, program="python -m benchmarks")


if __name__ == "__main__":
    main()
