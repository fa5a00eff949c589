"""Where benchmarks write: on a real disk, and nothing is left of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.bench import stage

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """An empty folder."""
    with stage.scratch(ROOT) as folder:
        yield folder


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """An empty folder for all tests of a module."""
    with stage.scratch(ROOT) as folder:
        yield folder
