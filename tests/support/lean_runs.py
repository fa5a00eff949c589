"""Results folders of LEAN: recorded runs of the real engine, and small made-up folders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "LEAN_RUNS"
STAMP = "20261127135345085"
COMPLETED = {"Status": "Completed", "RuntimeError": "", "StackTrace": ""}
ENGINE_START = "Engine.Main(): LEAN ALGORITHMIC TRADING ENGINE v2.5.0.0 Mode: DEBUG (64bit) Host: vm"
CANCELLED = "Program.ExitKeyPress(): Lean instance has been cancelled, shutting down safely now"


def lean_runs(environ: Mapping[str, str]) -> Path:
    """Return the folder ``results`` of recorded runs of LEAN; skip the running test where it is not given.

    Args:
        environ: The environment. LEAN_RUNS names the folder that holds ``results/NAME/results``.
    """
    given = environ.get(VARIABLE, "")
    if not given:
        pytest.skip(f"set {VARIABLE} to a folder of recorded LEAN runs (results/NAME/results/log.txt) to run this test")
    folder = Path(given) / "results"
    assert folder.is_dir(), f"{VARIABLE} is {given}, which has no folder results"
    return folder


def log_text(*messages: str, level: str = "TRACE") -> str:
    """A log.txt of these messages; one that begins with ``ERROR:: `` is an error."""
    lines = []
    for message in messages:
        kind, text = ("ERROR", message.removeprefix("ERROR:: ")) if message.startswith("ERROR:: ") else (level, message)
        lines.append(f"2026-11-27T13:53:45.0905564Z {kind}:: {text}\n")
    return "".join(lines)


def write_run(
    folder: Path,
    *,
    name: str = "run",
    result: Mapping[str, Any] | None = None,
    log: str | None = None,
    failed: Sequence[str] | None = None,
    succeeded: Sequence[str] | None = None,
    report: Mapping[str, Any] | None = None,
    events: Sequence[Mapping[str, Any]] | None = None,
) -> Path:
    """Write a results folder with what is given, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    if result is not None:
        (folder / f"{name}.json").write_text(json.dumps(result), "utf-8")
    if log is not None:
        (folder / "log.txt").write_text(log, "utf-8")
    for kind, lines in (("failed", failed), ("succeeded", succeeded)):
        if lines is not None:
            text = "".join(f"{line}\n" for line in lines)
            (folder / f"{kind}-data-requests-{STAMP}.txt").write_text(text, "utf-8")
    if report is not None:
        (folder / f"data-monitor-report-{STAMP}.json").write_text(json.dumps(report), "utf-8")
    if events is not None:
        (folder / f"{name}-order-events.json").write_text(json.dumps(events), "utf-8")
    return folder


def result_of(
    start: str = "2013-10-07",
    end: str = "2013-10-11",
    *,
    state: Mapping[str, str] = COMPLETED,
    equity: Sequence[Sequence[float]] = (),
    **values: Any,
) -> dict[str, Any]:
    """A result of LEAN for an algorithm's range; ``equity`` are points of the chart Strategy Equity."""
    chart = {"name": "Strategy Equity", "series": {"Equity": {"name": "Equity", "values": list(equity)}}}
    return {
        "charts": {"Strategy Equity": chart},
        "orders": {},
        "statistics": {"Net Profit": "1.500%"},
        "runtimeStatistics": {"Equity": "$101,500.00"},
        "state": dict(state),
        "algorithmConfiguration": {"startDate": f"{start}T00:00:00Z", "endDate": f"{end}T23:59:59Z"},
        **values,
    }
