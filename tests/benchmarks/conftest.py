"""Folders for benchmarks: on a real disk, removed afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.folders import temporary_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """An empty folder."""
    with temporary_folder(ROOT) as folder:
        yield folder


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """An empty folder for all tests of a module."""
    with temporary_folder(ROOT) as folder:
        yield folder
