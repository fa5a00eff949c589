"""The fixture that tests of factor and map files share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.corporate_market import MARKET, NOW, apple_events
from tests.support.corporate_rig import CorporateRig, RigOn, at
from tests.support.market import Market
from tests.support.polygon_server import PolygonServer
from tests.support.reference_data import ReferenceData


@pytest.fixture
def rig_on(tmp_path: Path, polygon_server: Callable[..., PolygonServer]) -> RigOn:
    """``rig_on(reference)``: a data folder, and the local vendor that receives its requests."""

    def start(
        reference: ReferenceData | None = None, market: Market = MARKET, **options: Any
    ) -> tuple[CorporateRig, PolygonServer]:
        server = polygon_server(market, reference=reference or apple_events(), **options)
        return CorporateRig(tmp_path, server.url, at(NOW)), server

    return start
