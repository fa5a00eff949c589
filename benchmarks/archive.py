"""Look-ups in archived benchmark runs: scenarios, best times and their ratios."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

ARCHIVE = Path("benchmarks") / "results"
"""The archive's folder, relative to the working directory."""

_SPEED_DIFFERENCE = 0.15


def find_scenario(run: dict[str, Any], title: str) -> dict[str, Any] | None:
    """Return the scenario with this title, or None if the run does not have it."""
    scenarios = (one for one in run["scenarios"] if isinstance(one, dict))
    return next((one for one in scenarios if one.get("name") == title), None)


def best_seconds(scenario: dict[str, Any], contender: str) -> float | None:
    """Return a contender's best time in seconds, or None if it did not run."""
    rows = [row for row in scenario.get("contenders", ()) if isinstance(row, dict) and row.get("name") == contender]
    best = rows[0].get("min_s") if rows else None
    return float(best) if isinstance(best, (int, float)) else None


def ratio_to_wire(run: dict[str, Any], title: str) -> float | None:
    """Return the best time of `polygon` divided by the best time of `wire`, or None if one of them did not run."""
    scenario = find_scenario(run, title)
    if scenario is None:
        return None
    own, transfer = best_seconds(scenario, "polygon"), best_seconds(scenario, "wire")
    return own / transfer if own and transfer else None


def archived_ratio(
    runs: Sequence[dict[str, Any]], title: str, *, exclude_commit: str, reference_s: float
) -> float | None:
    """Return `ratio_to_wire` of the newest comparable run that measured the scenario.

    A run is comparable if it used the local server, and a machine whose speed differs by at most 15 %.

    Args:
        runs: Archived runs, newest first.
        title: The scenario's title.
        exclude_commit: Runs of this commit are not considered.
        reference_s: The time of the fixed computation on this machine, in seconds, see `environment.reference_seconds`.
    """
    for run in runs:
        if run.get("commit") != exclude_commit and _is_comparable(run.get("environment"), reference_s):
            ratio = ratio_to_wire(run, title)
            if ratio is not None:
                return ratio
    return None


def _is_comparable(environment: object, reference_s: float) -> bool:
    if not isinstance(environment, dict) or environment.get("live"):
        return False
    archived = environment.get("reference_s")
    return isinstance(archived, (int, float)) and abs(archived / reference_s - 1) <= _SPEED_DIFFERENCE
