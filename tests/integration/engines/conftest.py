"""A LEAN workspace with a simulated `lean`, and the engine in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from server.core.cancel import CancelToken
from server.core.secret import Secret
from server.engines.base import EngineRequest, EngineResult
from server.engines.lean_cli import CliEngine
from server.engines.lean_options import LeanOptions
from server.lean.series import Resolution
from tests.support import fake_lean_backtest
from tests.support.lean_workspace import DAYS, LEAN_JSON, NOW, write_minute, write_program


@pytest.fixture
def workspace(tmp_path: Path) -> SimpleNamespace:
    """A folder as ``lean init`` leaves it, with a project, three days of SPY but one, and a ``lean`` to run."""
    root = tmp_path / "workspace"
    project = root / "Strategy"
    project.mkdir(parents=True)
    (project / "main.py").write_text("from AlgorithmImports import *\n")
    (root / "lean.json").write_text(LEAN_JSON)
    data = tmp_path / "market data"
    for day in DAYS[:2]:
        write_minute(data, "spy", day)
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
