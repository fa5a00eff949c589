"""Fixtures of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.plugins.polygon_provider import budget
from tests.support.harness import FakeTime
from tests.support.managers import MakeManager, managers


@pytest.fixture
def clockwork(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    """A clock of the request budget that only waits advance, so that a wait of an hour takes no time."""
    made = FakeTime()
    monkeypatch.setattr(budget, "time", made)
    return made


@pytest.fixture
def make_manager(tmp_path: Path) -> Iterator[MakeManager]:
    """``make_manager(server, environ={…}, also=…)`` opens a manager over tmp_path/data (see `managers`)."""
    with managers(tmp_path) as make:
        yield make
