"""A backtest over one past day of the real vendor's data. Run it with ``-m live`` or by its name, with a key."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from server.backtest_server import BacktestManager, BacktestRequest, JobState
from server.data_download.verify import check_folder
from server.lean.series import Resolution
from server.plugins.manager import build_plugin_manager
from server.settings import load_settings
from server.workspace import Workspace

pytestmark = pytest.mark.live

KEY_NAMES = ("POLYGON_API_KEY", "MASSIVE_API_KEY")
DAY = date(2025, 6, 3)
"""A whole session, within the two years of history that the free plan has."""


@pytest.mark.parametrize("resolution", [Resolution.MINUTE, Resolution.DAILY])
def test_a_backtest_over_one_day_of_the_real_vendor(tmp_path: Path, resolution: Resolution) -> None:
    """The day is fetched, the smoke backtest reads it, and a second backtest sends nothing."""
    if not any(os.environ.get(name, "").strip() for name in KEY_NAMES):
        pytest.fail(f"this test asks the real Polygon API and needs a key: set {' or '.join(KEY_NAMES)}")
    settings = load_settings(
        flags={"engine": "smoke", "provider": "polygon", "data-folder": tmp_path / "data"},
        environ=os.environ,
        cwd=tmp_path,
    )
    workspace = Workspace.open(settings, build_plugin_manager())
    manager = BacktestManager(workspace, environ=os.environ)
    asked = BacktestRequest(symbols=("SPY",), resolution=resolution, start=DAY, end=DAY)
    try:
        first, second = manager.run(asked), manager.run(asked)
    finally:
        manager.close()
        workspace.close()

    assert first.state is JobState.COMPLETED, first.error
    assert first.download is not None
    assert first.download.days_downloaded == 1
    assert first.engine_result is not None
    # SPY trades in every minute of regular trading.
    assert first.engine_result.bars == (390 if resolution is Resolution.MINUTE else 1)
    assert second.state is JobState.COMPLETED
    assert second.download is not None
    assert (second.download.days_present, second.download.api_calls) == (1, 0)
    check_folder(tmp_path / "data")
