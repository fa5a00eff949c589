"""The archive of benchmark runs, which the performance page shows."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parents[2]
ARCHIVE = ROOT / "benchmarks" / "results"
_NAMED = ("numpy", "requests", "requests-cache", "msgspec", "zlib-ng")


class Measured(Protocol):
    """One run of a contender."""

    seconds: float
    requests: int
    megabytes: float


def scenario(name: str, runs: Mapping[str, Sequence[Measured]]) -> dict[str, Any]:
    """A scenario's entry: for each contender median, best and worst seconds, requests and bytes on the wire."""
    return {"name": name, "contenders": [_contender(who, several) for who, several in runs.items()]}


def _contender(name: str, runs: Sequence[Measured]) -> dict[str, Any]:
    times = [one.seconds for one in runs]
    return {
        "name": name,
        "median_s": round(statistics.median(times), 4),
        "min_s": round(min(times), 4),
        "max_s": round(max(times), 4),
        "requests": max(one.requests for one in runs),
        "cache_hits": 0,
        "bytes": round(runs[0].megabytes * 1e6),
    }


def save(scenarios: Sequence[Mapping[str, Any]], latency: float) -> Path:
    """Write a run to ``benchmarks/results/<date>-<commit>/results.json``."""
    commit = _git("rev-parse", "--short", "HEAD") or "uncommitted"
    day = datetime.now(UTC).date().isoformat()
    folder = ARCHIVE / f"{day}-{commit}"
    folder.mkdir(parents=True, exist_ok=True)
    run = {
        "date": day,
        "commit": commit,
        "environment": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.platform(terse=True),
            "latency_s": latency,
            **{name: metadata.version(name) for name in _NAMED},
        },
        "scenarios": list(scenarios),
    }
    (folder / "results.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    return folder


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()
