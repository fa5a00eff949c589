"""Renders a benchmark run: results.json for the archive, and a table for the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.archive import best_seconds
from benchmarks.contenders import OWN, WIRE
from benchmarks.results import ScenarioResult
from server.core.errors import WriteFailedError
from server.observability.benchmark_archive import RESULTS_FILE


def run_as_json(
    results: Sequence[ScenarioResult], environment: Mapping[str, Any], commit: tuple[str, bool]
) -> dict[str, Any]:
    """Return a run in JSON's types, as the archive stores it.

    Args:
        results: The results of the scenarios.
        environment: The machine and versions.
        commit: The commit, and whether the code was changed since.
    """
    now = datetime.now(UTC)
    return {
        "date": now.date().isoformat(),
        "measured_at": now.isoformat(timespec="seconds"),
        "commit": commit[0],
        "changed": commit[1],
        "environment": dict(environment),
        "scenarios": [result.as_json() for result in results],
    }


def folder_name(run: Mapping[str, Any]) -> str:
    """Return the name of the run's folder in the archive."""
    return f"{run['date']}-{run['commit']}"


def save(run: Mapping[str, Any], archive: Path) -> Path:
    """Write a run into the archive.

    Returns:
        The run's folder.

    Raises:
        WriteFailedError: It cannot be written.
    """
    folder = archive / folder_name(run)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RESULTS_FILE).write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise WriteFailedError(f"the run cannot be saved in {folder}: {error}") from error
    return folder


def table(scenario: Mapping[str, Any]) -> tuple[list[str], list[list[str]], list[str]]:
    """Return a scenario's table: headings, rows of cells, and a sentence for each contender that was not run."""
    crash = scenario["kind"] == "crash"
    head = ["", "best", "median", "spread", "x wire", "x polygon", "requests", "cache hits", "MB", "peak MB", "CPU s"]
    head += ["days twice"] if crash else []
    rows: list[list[str]] = []
    not_run: list[str] = []
    transfer, own = best_seconds(dict(scenario), WIRE), best_seconds(dict(scenario), OWN)
    for row in scenario["contenders"]:
        if row.get("not_run"):
            not_run.append(f"{row['name']} was not run: {row['not_run']}")
            continue
        cells = [
            row["name"],
            *(format_seconds(row[name]) for name in ("min_s", "median_s", "spread_s")),
            *(f"{row['min_s'] / other:.2f}" if other else "" for other in (transfer, own)),
            *(f"{row[name]:,}" for name in ("requests", "cache_hits")),
            f"{row['bytes'] / 1e6:.1f}",
            f"{row['peak_mb']:.0f}",
            f"{row['cpu_s']:.2f}",
        ]
        rows.append(cells + ([f"{row['days_twice']:,}"] if crash else []))
    return head, rows, not_run


def render_table(scenario: Mapping[str, Any]) -> str:
    """Return a scenario's title, table and sentences as text; the table is as wide as its longest cells."""
    head, rows, not_run = table(scenario)
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [scenario["name"]]
    for row in (head, *rows) if rows else ():
        first, *others = (text.rjust(width) for text, width in zip(row, widths, strict=True))
        lines.append("  ".join([first.strip().ljust(widths[0]), *others]).rstrip())
    return "\n".join([*lines, *not_run])


def format_seconds(value: float) -> str:
    """Format seconds with two or three significant digits; below 0.1 s in milliseconds."""
    if value < 0.1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:,.0f} s"
