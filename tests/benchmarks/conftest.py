"""Where benchmarks write: on a real disk, and nothing is left of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.archive import save

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def archived() -> Iterator[list[dict[str, Any]]]:
    """Scenarios that were measured; at the end they go into the archive that the performance page shows."""
    scenarios: list[dict[str, Any]] = []
    yield scenarios
    if scenarios:
        print(f"\nkept in {save(scenarios, latency=0.05).relative_to(ROOT)}")


@pytest.fixture
def scratch() -> Iterator[Path]:
    """An empty folder on a real disk, since syncing to one in memory costs nothing; removed afterwards."""
    home = Path(tempfile.gettempdir())
    if _in_memory(home):
        home = ROOT
    with tempfile.TemporaryDirectory(prefix=".backtest-server-bench-", dir=home) as folder:
        yield Path(folder)


def _in_memory(path: Path) -> bool:
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return False
    kinds = {fields[1]: fields[2] for fields in map(str.split, mounts.read_text().splitlines())}
    return next(kinds[str(p)] for p in (path.resolve(), *path.resolve().parents) if str(p) in kinds) in (
        "tmpfs",
        "ramfs",
    )
