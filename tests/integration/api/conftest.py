"""Servers that tests of the HTTP API talk to: a real process, with a vendor on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_market import MARKET, Serve
from tests.support.served import Served


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """``serve(polygon_url, *options)`` gives a running server over tmp_path; it ends with the test."""
    running: list[Served] = []

    def start(polygon_url: str, *options: str, **more: Any) -> Served:
        running.append(Served(tmp_path, polygon_url, *options, **more))
        return running[-1]

    yield start
    for served in running:
        served.stop()


@pytest.fixture
def served(polygon_server: Serve, serve: Callable[..., Served]) -> Served:
    """A server whose vendor has the market."""
    return serve(polygon_server(MARKET).url)
