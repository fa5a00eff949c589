"""Look-ups in archived runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.archive import ARCHIVE, archived_ratio, find_scenario, ratio_to_wire
from server.observability.benchmark_archive import read_run

ROOT = Path(__file__).parents[3]


def test_the_first_runs_are_still_read() -> None:
    """The first archived run has the present contender names and its ratio to raw transfers."""
    old = read_run(ROOT / ARCHIVE / "2026-11-25-9cac4b5" / "results.json")

    assert old is not None
    title = "3 symbols x 126 days x 390 minute bars, cold"
    names = [row["name"] for row in (find_scenario(old, title) or {})["contenders"]]
    assert names == ["polygon", "polygon-cli", "wire", "massive", "massive-threads", "lean-request-pattern"]
    assert ratio_to_wire(old, title) == 0.4446 / 0.1608


def archived_run(commit: str, own: float, *, live: bool = False, reference_s: float | None = 0.1) -> dict[str, Any]:
    contenders = [{"name": "polygon", "min_s": own}, {"name": "wire", "min_s": 0.2}]
    return {
        "commit": commit,
        "environment": {"live": live, "reference_s": reference_s},
        "scenarios": [{"name": "x", "contenders": contenders}],
    }


def test_the_ratio_to_compare_with_is_another_commits() -> None:
    """The newest run on the local server that has the scenario; neither this commit's own nor a live one."""
    runs = [
        archived_run("own", 0.9),
        archived_run("live", 0.8, live=True),
        archived_run("new", 0.5),
        archived_run("old", 0.6),
    ]

    assert archived_ratio(runs, "x", exclude_commit="own", reference_s=0.1) == 0.5 / 0.2
    assert archived_ratio(runs, "y", exclude_commit="own", reference_s=0.1) is None


def test_runs_of_faster_and_slower_machines_are_not_compared() -> None:
    """The machine's speed may differ by 15 %; a run without it is from an unknown machine."""
    runs = [
        archived_run("unknown", 0.9, reference_s=None),
        archived_run("faster", 0.8, reference_s=0.084),
        archived_run("slower", 0.7, reference_s=0.116),
        archived_run("same", 0.6, reference_s=0.114),
    ]

    assert archived_ratio(runs, "x", exclude_commit="own", reference_s=0.1) == 0.6 / 0.2
    assert archived_ratio(runs[:3], "x", exclude_commit="own", reference_s=0.1) is None
