"""Fixtures of the tests of commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli_market import MARKET, Serve
from tests.support.command_line import CommandLine
from tests.support.market import Market
from tests.support.polygon_server import KEY, PolygonServer


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line in an empty working folder, with a key."""
    found = CommandLine(tmp_path, capsys, monkeypatch)
    found.set(POLYGON_API_KEY=KEY)
    return found


@pytest.fixture
def served(command: CommandLine, polygon_server: Serve) -> Callable[..., PolygonServer]:
    """``served(market, …)`` starts a server that the command line talks to."""

    def start(market: Market = MARKET, **options: Any) -> PolygonServer:
        server = polygon_server(market, **options)
        command.set(POLYGON_API_URL=server.url)
        return server

    return start
