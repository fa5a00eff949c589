"""The names under which damaged files are kept."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path


def damaged_path(path: Path) -> Path:
    """Return a new name next to a damaged file, ``<name>.damaged-<time>``, which LEAN and this program do not read."""
    return path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
