"""Terminal output of ``python -m benchmarks``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import frozen
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.contenders import Contender
from benchmarks.report import render_table
from benchmarks.scenarios import Scenario


@frozen
class ProgressDisplay:
    """Shows the progress of a benchmark.

    Attributes:
        show_line: Shows one line of text.
        scenario_done: Called after each scenario.
    """

    show_line: Callable[[str], object]
    scenario_done: Callable[[], object]

    def run_finished(self, scenario: str, contender: str, turn: int, turns: int, seconds: float | None) -> None:
        """Show a finished run; without seconds the contender gave up."""
        time = "gave up" if seconds is None else f"{seconds:.3f} s"
        self.show_line(f"{scenario}: {contender} {turn}/{turns} {time}")


@contextmanager
def progress_display(total: int, *, bar: bool) -> Iterator[ProgressDisplay]:
    """Show progress on stderr.

    Args:
        total: The number of scenarios.
        bar: Show a progress bar; otherwise one line for each run.
    """
    if not bar:
        yield ProgressDisplay(lambda line: print(line, file=sys.stderr, flush=True), lambda: None)
        return
    columns = (MofNCompleteColumn(), BarColumn(bar_width=20), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield ProgressDisplay(
            lambda line: progress.update(task, description=line),
            lambda: progress.advance(task),
        )


def print_list(scenarios: Sequence[Scenario], contenders: Sequence[Contender], *, as_json: bool) -> None:
    """Print the scenarios and the contenders."""
    if as_json:
        listed = {
            "scenarios": [{"name": one.name, "title": one.title, "extended": one.extended} for one in scenarios],
            "contenders": [{"name": one.name, "about": one.about} for one in contenders],
        }
        print(json.dumps(listed, indent=2))
        return
    print("scenarios:")
    for one in scenarios:
        print(f"  {one.name:22} {one.title}{' (extended)' if one.extended else ''}")
    print("contenders:")
    for contender in contenders:
        print(f"  {contender.name:22} {contender.about}")


def print_results(run: dict[str, Any]) -> None:
    """Print a table for each scenario."""
    print(f"against {run['environment']['against']}")
    for scenario in run["scenarios"]:
        print(f"\n{render_table(scenario)}")
