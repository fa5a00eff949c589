"""The config of a run of LEAN's launcher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from server.engines.lean_config import RunPaths, lean_config

ADDED = {
    "data-monitor-store-succeeded-requests": True,  # Lean PR 9814; newer than the recorded runs
    "maximum-data-points-per-chart-series": 1_000_000,  # Launcher/config.json of LEAN
    "maximum-chart-series": 30,
}


def made_like(recorded: dict[str, Any], name: str) -> dict[str, Any]:
    """The config of a recorded run, made from that run's own values."""
    port = recorded.get("desktop-http-port")
    return lean_config(
        RunPaths(
            launcher="<launcher>",
            data_folder="<data>",
            results="<run>/results",
            object_store="<run>/storage",
            algorithm=recorded["algorithm-location"],
        ),
        run_id=name,
        name=name,
        language=recorded["algorithm-language"],
        type_name=recorded["algorithm-type-name"],
        parameters=recorded["parameters"],
        stream_port=int(port) if port else None,
    )


@pytest.mark.parametrize("name", ["completed", "python-completed", "live-stream"])
def test_it_is_that_of_the_recorded_runs(recorded_lean_runs: Path, name: str) -> None:
    """The configs that the real launcher ran with, C#, Python and with a live stream, and three keys of newer LEAN."""
    recorded = json.loads((recorded_lean_runs / name / "config.json").read_text("utf-8"))

    assert made_like(recorded, name) == recorded | ADDED


def test_libraries_and_environment_are_of_python() -> None:
    """Libraries follow the launcher's folder on Python's path; a virtual environment has its own key."""
    paths = RunPaths(
        launcher="/lean", data_folder="/data", results="/run", object_store="/run/storage", algorithm="/p/main.py",
        libraries=("/w/Library/One", "/other"),
    )  # fmt: skip

    config = lean_config(
        paths,
        run_id="1000000000",
        name="p",
        language="Python",
        type_name="P",
        parameters={},
        python_environment="/venv",
    )

    assert config["python-additional-paths"] == ["/lean", "/w/Library/One", "/other"]
    assert config["python-venv"] == "/venv"
    assert "desktop-http-port" not in config
