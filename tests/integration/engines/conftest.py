"""A LEAN workspace with a simulated `lean`, and the engine in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from server.core.cancel import CancelToken
from server.core.secret import Secret
from server.engines.base import EngineRequest, EngineResult
from server.engines.lean_cli import CliEngine
from server.engines.lean_options import LeanOptions
from server.lean.series import Resolution
from tests.support import fake_lean_backtest
from tests.support.lean_workspace import DAYS, LEAN_JSON, NOW, write_hours, write_minute, write_program
from tests.support.stand_in_lean.install import StandIn, install_stand_in
from tests.support.stand_in_lean.reference_files import write_reference_files
from tests.support.stand_in_runs import PRICES, LauncherRun, write_project, write_series


@pytest.fixture
def workspace(tmp_path: Path) -> SimpleNamespace:
    """A folder as ``lean init`` leaves it: a project, two of three days of SPY, its hours, and a ``lean`` to run."""
    root = tmp_path / "workspace"
    project = root / "Strategy"
    project.mkdir(parents=True)
    (project / "main.py").write_text("from AlgorithmImports import *\n")
    (root / "lean.json").write_text(LEAN_JSON)
    data = tmp_path / "market data"
    for day in DAYS[:2]:
        write_minute(data, "spy", day)
    write_hours(data, "spy", DAYS)
    bin_folder = tmp_path / "bin"
    source = fake_lean_backtest.__file__
    write_program(bin_folder / "lean", f'#!/bin/sh\nexec {sys.executable} {source} "$@"\n')
    return SimpleNamespace(
        root=root,
        project=project,
        data=data,
        bin=bin_folder,
        seen=tmp_path / "seen.json",
        environ={"PATH": f"{bin_folder}:/usr/bin:/bin", "FAKE_LEAN_SEEN": str(tmp_path / "seen.json")},
    )


@pytest.fixture
def run(workspace: SimpleNamespace) -> Callable[..., EngineResult]:
    """Run the engine in the workspace, the stand-in doing what `mode` says."""

    def run_engine(
        mode: str = "ok",
        *,
        time_limit: float = 60.0,
        cancel: CancelToken | None = None,
        progress: Callable[[str], None] = lambda line: None,
        environ: Mapping[str, str] | None = None,
        secrets: Sequence[Secret] = (),
        **changes: object,
    ) -> EngineResult:
        engine = CliEngine(
            workspace.root / "lean.json",
            LeanOptions(workspace=workspace.root, time_limit=time_limit, secrets=tuple(secrets)),
            lambda: NOW,
            {**workspace.environ, "FAKE_LEAN": mode, **(environ or {})},
            executable=str(workspace.bin / "lean"),
        )
        fields: dict[str, object] = {
            "project": workspace.project,
            "symbols": ("SPY",),
            "resolution": Resolution.MINUTE,
            "start": DAYS[0],
            "end": DAYS[-1],
            "data_folder": workspace.data,
            "days": DAYS,
        }
        request = EngineRequest(**(fields | changes))
        return engine.run(request, cancel=cancel or CancelToken(), on_line=progress)

    return run_engine


@pytest.fixture
def reference_data(tmp_path: Path) -> Path:
    """A data folder with reference data, and hours and days of SPY (see `stand_in_runs.PRICES`)."""
    folder = tmp_path / "data"
    write_reference_files(folder)
    for resolution in ("hour", "daily"):
        write_series(folder, resolution, "spy", PRICES)
    return folder


@pytest.fixture
def stand_in(tmp_path: Path) -> StandIn:
    """The stand-in for LEAN, installed, with the recorded runs where LEAN_RUNS names them."""
    runs = os.environ.get("LEAN_RUNS")
    return install_stand_in(tmp_path / "stand-in", runs=Path(runs) if runs else None)


@pytest.fixture
def new_run(tmp_path: Path, reference_data: Path, stand_in: StandIn) -> Iterator[Callable[..., LauncherRun]]:
    """``new_run(*calls, marker="", source="", **config)`` makes a run of an algorithm that makes these calls."""
    made: list[LauncherRun] = []

    def new(*calls: str, marker: str = "", source: str = "", **config: Any) -> LauncherRun:
        algorithm = write_project(tmp_path / "project", *calls, marker=marker, source=source)
        made.append(LauncherRun(stand_in, tmp_path / "run", reference_data, algorithm, **config))
        return made[-1]

    yield new
    for run in made:
        run.kill()
