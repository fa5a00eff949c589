"""Fixtures of several integration test modules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.managers import MakeManager, managers


@pytest.fixture
def make_manager(tmp_path: Path) -> Iterator[MakeManager]:
    """``make_manager(server, environ={…}, also=…)`` opens a manager over tmp_path/data (see `managers`)."""
    with managers(tmp_path) as make:
        yield make
