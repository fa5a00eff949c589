"""A workspace of LEAN's CLI and programs in it."""

from __future__ import annotations

import stat
from datetime import UTC, date, datetime
from pathlib import Path

from server.lean.zip import zip_bytes

DAYS = (date(2024, 1, 8), date(2024, 1, 9), date(2024, 1, 10))
NOW = datetime(2024, 2, 1, 12, 30, 15, tzinfo=UTC)
LEAN_JSON = """{
    // where the data is
    "data-folder": "elsewhere",
    "organization-id": "abc",
    "polygon-api-key": "SECRETKEY",
    "backtest-server": {"engine": "lean"},
}
"""


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def write_minute(data: Path, symbol: str, day: date) -> None:
    path = data / "equity/usa/minute" / symbol / f"{day:%Y%m%d}_trade.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zip_bytes(f"{day:%Y%m%d}_{symbol}_minute_trade.csv", b"34200000,1,1,1,1,1"))


def write_hours(data: Path, symbol: str, days: tuple[date, ...]) -> None:
    """Write a file of hours, as of a benchmark."""
    path = data / "equity/usa/hour" / f"{symbol}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "\n".join(f"{day:%Y%m%d} 10:00,1,1,1,1,1" for day in days)
    path.write_bytes(zip_bytes(f"{symbol}.csv", rows.encode()))


def workspace_files(root: Path) -> list[str]:
    """The names in a workspace; an error where the folder of the private folders has one of them left."""
    left = [path.name for path in root.glob(".backtest-server-runs/*") if path.name != "sweep.lock"]
    assert left == []
    return sorted(path.name for path in root.iterdir())
