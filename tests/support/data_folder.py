"""Days that tests write into a data folder, and where they are then."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from server.data_download.data_folder import DataFolder
from server.lean.series import Resolution, Series
from server.lean.trade_csv import DayText

MINUTE, SECOND, DAILY = Resolution.MINUTE, Resolution.SECOND, Resolution.DAILY
DAYS = [date(2024, 3, 4), date(2024, 3, 5), date(2024, 3, 6)]


def minutes(day: date, price: int = 10_000) -> DayText:
    """Two minutes of a day."""
    rows = [f"{34_200_000 + n * 60_000},{price},{price},{price},{price},{100 + n}" for n in range(2)]
    return DayText(day, "\n".join(rows).encode(), 2)


def daily(day: date, price: int = 10_000) -> DayText:
    """A daily row."""
    return DayText(day, f"{day:%Y%m%d} 00:00,{price},{price},{price},{price},100".encode(), 1)


def on_disk(folder: DataFolder, resolution: Resolution = MINUTE, days: list[date] = DAYS) -> set[date]:
    """The days that are found there."""
    return set(folder.catalog.scan(Series("SPY", resolution), days)[0].on_disk)


def path_of(folder: DataFolder, day: date) -> Path:
    """Where a day's minutes are."""
    return folder.path / "equity" / "usa" / "minute" / "spy" / f"{day:%Y%m%d}_trade.zip"
