"""`backtest-server bench`."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from server.cli.common import PLACE, json_option

if TYPE_CHECKING:
    from server.bench.contenders import Contender
    from server.bench.measure import Live
    from server.bench.scenarios import Scenario


@click.command()
@click.option("--scenario", "scenarios", multiple=True, metavar="NAME", help="Only this scenario; may be repeated.")
@click.option("--contender", "contenders", multiple=True, metavar="NAME", help="Only this contender; may be repeated.")
@click.option("--extended", is_flag=True, help="The long scenarios, too; they take most of an hour.")
@click.option("--runs", type=click.IntRange(1), metavar="N", help="How often each contender runs.")
@click.option(
    "--latency",
    type=click.FloatRange(0, 10_000),
    default=50.0,
    show_default=True,
    metavar="MS",
    help="Before each answer of the local server.",
)
@click.option("--live", is_flag=True, help="Ask the real API with your key, not the local server.")
@click.option("--results", type=PLACE, metavar="DIR", help="Keep the run here; else in benchmarks/results.")
@click.option("--scenarios", "scenario_file", type=PLACE, metavar="FILE", help="Scenarios of your own.")
@click.option("--list", "only_list", is_flag=True, help="Show the scenarios and the contenders; measure nothing.")
@click.option("--lean-config", type=PLACE, help="The lean.json to read with --live; else it is looked for upward.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@json_option
def bench(
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
    """Measure this project against other ways to get the same bars.

    Against a local server that answers as the vendor does, unless --live is given. A run of all scenarios and
    contenders is kept, with its plots; a run of some is only kept where --results says so.
    """
    from server.bench.archive import FOLDER
    from server.bench.contenders import CONTENDERS, choose_contenders
    from server.bench.scenarios import choose, load_scenarios

    found = choose(load_scenarios(scenario_file, Path.cwd(), CONTENDERS), scenarios, extended or only_list)
    whom = choose_contenders(contenders)
    if only_list:
        return _print_list(found, whom, as_json)
    asked = _live(lean_config) if live else None
    keep = results or (None if scenarios or contenders else FOLDER)
    if keep is not None:
        from server.bench.plots import require_matplotlib

        require_matplotlib()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # its folders are removed and its processes ended either way
    run = _measure(found, whom, runs=runs, latency=latency / 1000, live=asked, bar=sys.stderr.isatty() and not as_json)
    kept = _keep(run, keep) if keep is not None else None
    if as_json:
        print(json.dumps({**run, "folder": str(kept) if kept else None}, indent=2))
        return 0
    _print_results(run)
    print(f"kept in {kept}" if kept else "not kept, since only a part was measured; --results DIR keeps it")
    return 0


def _live(lean_config: Path | None) -> Live:
    """The real API, as the settings know it.

    Raises:
        AuthenticationError: There is no key.
    """
    from server.bench.measure import Live
    from server.lean.series import NEW_YORK
    from server.observability import add_secret
    from server.plugins.polygon_provider.config import PolygonConfig
    from server.settings import load_settings
    from server.workspace import utc_now

    settings = load_settings(environ=os.environ, cwd=Path.cwd(), lean_config=lean_config)
    config: PolygonConfig = settings.provider_config("polygon", PolygonConfig)
    config.require_key()
    add_secret(config.api_key)
    today = utc_now().astimezone(NEW_YORK).date()
    return Live(url=config.api_url, key=config.api_key.reveal(), today=today, lean_config=settings.lean_config)


def _measure(
    scenarios: Sequence[Scenario],
    contenders: Sequence[Contender],
    *,
    runs: int | None,
    latency: float,
    live: Live | None,
    bar: bool,
) -> dict[str, Any]:
    from server.bench import environment
    from server.bench.measure import Bench
    from server.bench.report import run_of
    from server.bench.stage import scratch
    from server.lean.series import NEW_YORK
    from server.trading_calendar import USEquityTradingCalendar
    from server.workspace import utc_now

    calendar = USEquityTradingCalendar.load(utc_now().astimezone(NEW_YORK).date())
    commit = environment.commit()
    with scratch(Path.cwd()) as home, _shown(len(scenarios), bar=bar) as shown:
        measuring = Bench(home=home, calendar=calendar, runs=runs, latency=latency, live=live, tell=shown.tell)
        results = []
        for scenario in scenarios:
            results.append(measuring.measure(scenario, contenders))
            shown.done()
    facts = environment.facts(live_url=live.url if live else None, latency=latency)
    return run_of(results, facts, commit)


def _keep(run: Mapping[str, Any], folder: Path) -> Path:
    """Write a run into the archive.

    Raises:
        WriteFailedError: It cannot be written.
    """
    from server.bench import plots, report
    from server.core.errors import WriteFailedError

    place = folder / report.folder_name(run)
    try:
        report.write(place, run, plots.draw(run, place))
    except OSError as error:
        raise WriteFailedError(f"the run cannot be kept in {place}: {error}") from error
    return place


class _Shown:
    """What a person sees meanwhile: a bar on a terminal, a line for each run elsewhere."""

    def __init__(self, progress: Any, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total) if progress else None

    def tell(self, scenario: str, contender: str, turn: int, turns: int, seconds: float | None) -> None:
        """Tell of a run."""
        took = "gave up" if seconds is None else f"{seconds:.3f} s"
        line = f"{scenario}: {contender} {turn}/{turns} {took}"
        if self._progress:
            self._progress.update(self._task, description=line)
        else:
            print(line, file=sys.stderr, flush=True)

    def done(self) -> None:
        """Tell that a scenario is measured."""
        if self._progress:
            self._progress.advance(self._task)


@contextmanager
def _shown(total: int, *, bar: bool) -> Iterator[_Shown]:
    if not bar:
        yield _Shown(None, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (MofNCompleteColumn(), BarColumn(bar_width=20), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Shown(progress, total)


def _print_list(scenarios: Sequence[Scenario], contenders: Sequence[Contender], as_json: bool) -> int:
    if as_json:
        listed = {
            "scenarios": [{"name": one.name, "title": one.title, "extended": one.extended} for one in scenarios],
            "contenders": [{"name": one.name, "about": one.about} for one in contenders],
        }
        print(json.dumps(listed, indent=2))
        return 0
    print("scenarios:")
    for one in scenarios:
        print(f"  {one.name:22} {one.title}{' (extended)' if one.extended else ''}")
    print("contenders:")
    for who in contenders:
        print(f"  {who.name:22} {who.about}")
    return 0


def _print_results(run: Mapping[str, Any]) -> None:
    """A table for each scenario; its width is that of its longest cells, wherever it is printed."""
    from server.bench.report import table_of

    print(f"against {run['environment']['against']}")
    for scenario in run["scenarios"]:
        head, rows = table_of(scenario)
        cells = [row for row in rows if not isinstance(row, str)]
        widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
        print(f"\n{scenario['name']}")
        for row in (head, *cells) if cells else ():
            first, *others = (text.rjust(width) for text, width in zip(row, widths, strict=True))
            print("  ".join([first.strip().ljust(widths[0]), *others]).rstrip())
        for reason in rows:
            if isinstance(reason, str):
                print(reason)
