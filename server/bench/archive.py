"""The archive of benchmark runs: ``<date>-<commit>/results.json`` below one folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path("benchmarks") / "results"
"""Where it is, below the working directory."""

RESULTS = "results.json"

_OLD_NAMES = {
    "native": "polygon",
    "native-cli": "polygon-cli",
    "client": "massive",
    "client-threads": "massive-threads",
}
"""What contenders were called in the first runs."""


def read_run(path: Path) -> dict[str, Any] | None:
    """One run, with its contenders by their names of today; None if it cannot be read, or could not be sent on."""
    try:
        run = json.loads(path.read_bytes())
        json.dumps(run, ensure_ascii=False, allow_nan=False).encode()
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(run, dict) or not isinstance(run.get("scenarios"), list):
        return None
    for contender in _contenders(run):
        contender["name"] = _OLD_NAMES.get(contender["name"], contender["name"])
    return run


def read_runs(folder: Path, most: int | None = None) -> list[dict[str, Any]]:
    """The runs of the archive, the newest first; unreadable ones left out."""
    paths = sorted(folder.glob(f"*/{RESULTS}"), reverse=True)[:most]
    runs = [run for path in paths if (run := read_run(path)) is not None]
    return sorted(runs, key=lambda run: (str(run.get("date"))[:10], str(run.get("measured_at", ""))), reverse=True)


def scenario_of(run: dict[str, Any], title: str) -> dict[str, Any] | None:
    """The scenario of this title, as far as the run has it."""
    return next((one for one in _scenarios(run) if one.get("name") == title), None)


def best_seconds(scenario: dict[str, Any], contender: str) -> float | None:
    """The best time of a contender, if it ran."""
    rows = [row for row in scenario.get("contenders", ()) if isinstance(row, dict) and row.get("name") == contender]
    best = rows[0].get("min_s") if rows else None
    return float(best) if isinstance(best, (int, float)) else None


def ratio_to_wire(run: dict[str, Any], title: str) -> float | None:
    """How many times the wire's own best time `polygon` took at best, if both ran."""
    scenario = scenario_of(run, title)
    if scenario is None:
        return None
    own, floor = best_seconds(scenario, "polygon"), best_seconds(scenario, "wire")
    return own / floor if own and floor else None


def archived_ratio(runs: list[dict[str, Any]], title: str, *, besides: str) -> float | None:
    """`ratio_to_wire` of the newest run on the local server that has it, of another commit than `besides`."""
    for run in runs:
        live = isinstance(run.get("environment"), dict) and run["environment"].get("live")
        ratio = None if live or run.get("commit") == besides else ratio_to_wire(run, title)
        if ratio is not None:
            return ratio
    return None


def _scenarios(run: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (one for one in run["scenarios"] if isinstance(one, dict))


def _contenders(run: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for scenario in _scenarios(run):
        found = scenario.get("contenders")
        for one in found if isinstance(found, list) else ():
            if isinstance(one, dict) and isinstance(one.get("name"), str):
                yield one
