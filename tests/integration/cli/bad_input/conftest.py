"""Fixtures of the tests of bad input."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bad_input import MARKET, Serve
from tests.support.command_line import CommandLine
from tests.support.polygon_server import KEY, PolygonServer


@pytest.fixture
def server(polygon_server: Serve) -> PolygonServer:
    """A vendor that has SPY for one day."""
    return polygon_server(MARKET)


@pytest.fixture
def command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, server: PolygonServer
) -> CommandLine:
    """The command line with a key and a vendor, in a folder with an empty data folder and a project."""
    found = CommandLine(tmp_path, capsys, monkeypatch)
    found.set(POLYGON_API_KEY=KEY, POLYGON_API_URL=server.url)
    found.data.mkdir()
    (tmp_path / "project" / "config").mkdir(parents=True)
    (tmp_path / "project" / "main.py").write_text("raise SystemExit('never run')")
    return found
