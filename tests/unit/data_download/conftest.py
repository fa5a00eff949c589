"""The data folder that tests of its parts share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.data_download.data_folder import DataFolder
from tests.support.harness import calendar


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    """A data folder with its ledger."""
    opened = DataFolder.open(tmp_path, calendar())
    yield opened
    opened.close()
