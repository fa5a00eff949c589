"""How the processes of a measurement are started: this Python, this package, nothing of the user's settings."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_SETTINGS = ("BACKTEST_SERVER_", "POLYGON_", "MASSIVE_", "LEAN_", "USE_POLYGON_")
_PACKAGE = Path(__file__).parents[2]


def python(module: str) -> list[str]:
    """The command that runs a module of this package."""
    return [sys.executable, "-m", module]


def environment() -> dict[str, str]:
    """The environment without settings and keys; a run's own come with its job, over stdin."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    paths = [str(_PACKAGE), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(paths)}
