"""The command `results`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from server.cli.common import PLACE, json_option

if TYPE_CHECKING:
    from server.engines.results import LeanRun


@click.group()
def results() -> None:
    """Read results that LEAN wrote."""


@results.command()
@click.argument("folder", type=PLACE)
@json_option
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def show(folder: Path, as_json: bool, debug: bool) -> int:
    """Show a results folder: what it is worth, figures, LEAN's analysis, orders and the equity curve."""
    from server.engines.results import read_run

    run = read_run(folder, datetime.now(UTC))
    if as_json:
        import msgspec

        # LEAN's charts may have many megabytes.
        content = msgspec.json.format(msgspec.json.encode(run_json(run)), indent=2)
        sys.stdout.write(f"{content.decode()}\n")
        return 0
    from server.terminal.run_report import print_run

    print_run(run)
    return 0


def run_json(run: LeanRun) -> dict[str, Any]:
    """Return what `results show --json` prints: orders, charts and analysis with LEAN's names and values."""
    from server.core.json import to_json

    requests = run.requests
    return {
        "folder": str(run.folder),
        "id": run.id,
        "state": run.state.value,
        "error": run.error,
        "verdict": run.verdict,
        "notes": list(run.notes),
        "start": to_json(run.start),
        "end": to_json(run.end),
        "statistics": run.statistics,
        "runtime_statistics": run.runtime_statistics,
        "data": {
            "points": run.data_points,
            "requests": requests.total,
            "failed_requests": requests.failed,
            "missing": sum(file.counts for file in run.missing) if requests.known else None,
            "benchmark": requests.benchmark,
        },
        "missing": to_json(run.missing),
        "analysis": run.analysis,
        "orders": run.orders,
        "charts": run.charts,
    }
