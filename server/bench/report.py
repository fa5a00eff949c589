"""A run as files: JSON for programs, CSV for tables, Markdown for people."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from server.bench.archive import RESULTS, best_seconds
from server.bench.contenders import CONTENDERS, OWN, WIRE
from server.bench.measure import Result

_COLUMNS = (
    *("median_s", "min_s", "max_s", "spread_s", "runs", "requests", "cache_hits", "bytes", "peak_mb", "cpu_s"),
    *("bars", "us_per_bar", "refused", "days_twice", "simulated", "not_run"),
)
_FACTS = {"against": "Against", "processor": "Processor", "cores": "Cores", "memory_gb": "Memory, GB"}


def run_of(results: Sequence[Result], environment: Mapping[str, Any], commit: tuple[str, bool]) -> dict[str, Any]:
    """A run in JSON's types, as the archive keeps it."""
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
    """What the run's folder in the archive is called."""
    return f"{run['date']}-{run['commit']}"


def write(folder: Path, run: Mapping[str, Any], pictures: Sequence[str]) -> None:
    """Write a run into its folder, beside its pictures (their names without an ending)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULTS).write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    with (folder / "results.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["scenario", "title", "contender", *_COLUMNS])
        for scenario in run["scenarios"]:
            for row in scenario["contenders"]:
                table.writerow([scenario["id"], scenario["name"], row["name"], *(row.get(name) for name in _COLUMNS)])
    (folder / "README.md").write_text(markdown(run, pictures), encoding="utf-8")


def markdown(run: Mapping[str, Any], pictures: Sequence[str]) -> str:
    """A run for people."""
    facts = run["environment"]
    changed = ", with changes that are not committed" if run["changed"] else ""
    versions = [f"{name} {value}" for name, value in facts.items() if name not in (*_FACTS, "live", "latency_s")]
    lines = [
        f"# Benchmarks of {run['date']}, commit {run['commit']}{changed}",
        "",
        *(f"- {word}: {facts[name]}" for name, word in _FACTS.items() if facts.get(name) is not None),
        f"- Software: {', '.join(versions)}",
        "",
        "Every time is of a process of its own, taken after its modules were imported; contenders took turns. What "
        "each wrote was compared, file by file and byte by byte, before its time was believed.",
        "",
    ]
    for picture in pictures:
        lines += [f"![{picture.replace('-', ' ').capitalize()}]({picture}.svg)", ""]
    for scenario in run["scenarios"]:
        lines += [f"## {scenario['name']}", "", *_notes(scenario), *_table(scenario), ""]
    lines += ["## Contenders", ""]
    named = {row["name"] for scenario in run["scenarios"] for row in scenario["contenders"]}
    lines += [f"- **{one.name}**: {one.about}" for one in CONTENDERS.values() if one.name in named]
    return "\n".join(lines) + "\n"


def _notes(scenario: Mapping[str, Any]) -> list[str]:
    """What a reader must know about the scenario's figures."""
    notes = {
        "warm-cache": "The files were removed, the HTTP cache kept. Only polygon has one; the others fetch everything.",
        "present": "Every file was there. Only polygon looks; the others fetch everything again.",
        "gaps": "The first trading day of each month was removed. Only polygon looks; the others fetch all days.",
        "budget": "The seconds are simulated: waits move a clock, nobody sleeps. The server refuses what is over the "
        f"budget. Nobody can do with fewer than {scenario['least_requests']} requests.",
        "crash": "Killed (SIGKILL) once half of the files were there, and run again. The seconds are the second run's; "
        "requests and bytes are both runs'.",
    }
    note = notes.get(scenario["kind"])
    return [note, ""] if note else []


def table_of(scenario: Mapping[str, Any]) -> tuple[list[str], list[list[str] | str]]:
    """The headings and the cells of a scenario's table; in place of cells why a contender was not run."""
    crash = scenario["kind"] == "crash"
    head = ["", "best", "median", "spread", "x wire", "x polygon", "requests", "cache hits", "MB", "peak MB", "CPU s"]
    head += ["days twice"] if crash else []
    rows: list[list[str] | str] = []
    floor, own = best_seconds(dict(scenario), WIRE), best_seconds(dict(scenario), OWN)
    for row in scenario["contenders"]:
        if row.get("not_run"):
            rows.append(f"{row['name']} was not run: {row['not_run']}")
            continue
        cells = [
            row["name"],
            *(seconds(row[name]) for name in ("min_s", "median_s", "spread_s")),
            *(f"{row['min_s'] / other:.2f}" if other else "" for other in (floor, own)),
            *(f"{row[name]:,}" for name in ("requests", "cache_hits")),
            f"{row['bytes'] / 1e6:.1f}",
            f"{row['peak_mb']:.0f}",
            f"{row['cpu_s']:.2f}",
        ]
        rows.append(cells + ([f"{row['days_twice']:,}"] if crash else []))
    return head, rows


def _table(scenario: Mapping[str, Any]) -> list[str]:
    head, rows = table_of(scenario)
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows if not isinstance(row, str)]
    reasons = [f"{row}." for row in rows if isinstance(row, str)]
    return [*(lines if len(lines) > 2 else []), *(("", " ".join(reasons)) if reasons else ())]


def seconds(value: float) -> str:
    """Seconds for people."""
    if value < 0.1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:,.0f} s"
