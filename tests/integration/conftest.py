"""Fixtures of the integration tests."""

from __future__ import annotations

import pytest

from server.plugins.polygon_provider import budget
from tests.support.harness import FakeTime


@pytest.fixture
def clockwork(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    """A clock of the request budget that only waits advance, so that a wait of an hour takes no time."""
    made = FakeTime()
    monkeypatch.setattr(budget, "time", made)
    return made
