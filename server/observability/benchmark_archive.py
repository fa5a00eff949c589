"""Reads the archive of benchmark runs: ``<date>-<commit>/results.json`` below one folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS_FILE = "results.json"

_FORMER_NAMES = {
    "native": "polygon",
    "native-cli": "polygon-cli",
    "client": "massive",
    "client-threads": "massive-threads",
}
"""Names of contenders in the first archived runs, with their present names."""


def read_run(path: Path) -> dict[str, Any] | None:
    """Read one archived run.

    Args:
        path: The file results.json.

    Returns:
        The run with present contender names, or None if the file is unreadable or is not valid JSON for the API.
    """
    try:
        run = json.loads(path.read_bytes())
        json.dumps(run, ensure_ascii=False, allow_nan=False).encode()
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(run, dict) or not isinstance(run.get("scenarios"), list):
        return None
    for contender in _contenders(run):
        contender["name"] = _FORMER_NAMES.get(contender["name"], contender["name"])
    return run


def read_runs(folder: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """Read the readable runs of an archive, newest first.

    Args:
        folder: The archive; it need not exist.
        limit: The maximum number of files to read; None reads all.
    """
    paths = sorted(folder.glob(f"*/{RESULTS_FILE}"), reverse=True)[:limit]
    runs = [run for path in paths if (run := read_run(path)) is not None]
    return sorted(runs, key=lambda run: (str(run.get("date"))[:10], str(run.get("measured_at", ""))), reverse=True)


def _contenders(run: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the contenders of all scenarios, malformed ones excepted."""
    for scenario in run["scenarios"]:
        found = scenario.get("contenders") if isinstance(scenario, dict) else None
        for one in found if isinstance(found, list) else ():
            if isinstance(one, dict) and isinstance(one.get("name"), str):
                yield one
