"""The LEAN folder with a fake `lean` that tests of the provider lean-cli share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lean_cli_setup import (
    Setup,
    make_setup,
)


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    """A LEAN folder as `lean init` leaves it, and the fake installed."""
    return make_setup(tmp_path)
