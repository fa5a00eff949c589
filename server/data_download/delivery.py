"""Checks of what a provider delivers, before anything is written. Each error names the provider's mistake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np

from server.lean.bars import PRICES, Bars
from server.lean.errors import FormatError
from server.lean.layout import layout_of
from server.lean.series import Series
from server.lean.trade_csv import DayText

_COLUMNS = ("time", *PRICES, "volume")


class DeliveryError(ValueError):
    """A provider called the sink in a way that its contract does not allow."""


def check_days(series: Series, days: Sequence[date], wanted: Mapping[Series, AbstractSet[date]]) -> None:
    """Check the series and days of a delivery.

    Args:
        series: The series.
        days: Trading days, ascending.
        wanted: The requested days by series.

    Raises:
        DeliveryError: Says what is wrong.
    """
    if not isinstance(series, Series):
        raise DeliveryError(f"the series is a {type(series).__name__}; pass the series of the gap")
    if series not in wanted:
        raise DeliveryError("the series was not requested")
    for day in days:
        if type(day) is not date:
            raise DeliveryError(f"a day is a {type(day).__name__}; it must be a datetime.date")
    if any(later <= day for day, later in pairwise(days)):
        raise DeliveryError("the days of a delivery are not ascending, or one is repeated")
    strange = sorted(set(days).difference(wanted[series]))
    if strange:
        raise DeliveryError(f"{strange[0]} was not requested")


def check_bars(days: Sequence[date], bars: Bars) -> None:
    """Check the columns of bars; what is in them is checked when they are rendered.

    Raises:
        DeliveryError: Says what is wrong.
    """
    if type(bars) is not Bars:
        raise DeliveryError(f"the bars are a {type(bars).__name__}; they must be Bars")
    for name in _COLUMNS:
        column = getattr(bars, name)
        dtype = np.dtype(np.int64 if name == "time" else np.float64)
        if type(column) is not np.ndarray or column.dtype != dtype or column.ndim != 1:
            what = f"{column.dtype} of shape {column.shape}" if type(column) is np.ndarray else type(column).__name__
            raise DeliveryError(f"the column {name} is {what}; it must be a one-dimensional numpy array of {dtype}")
        if len(column) != len(bars.time):
            raise DeliveryError(f"the column {name} has {len(column)} values, the column time {len(bars.time)}")
    if len(bars) and not days:
        raise DeliveryError("bars were delivered without the days they belong to")


def take_days(series: Series, day: date | None, path: Path, wanted: AbstractSet[date]) -> list[DayText]:
    """The rows of requested days in a LEAN zip, a text for each day.

    Args:
        series: The series.
        day: As in `DataSink.lean_file`.
        path: The zip.
        wanted: The requested days of the series.

    Raises:
        DeliveryError: The file cannot be read, or is not what LEAN would have written for that series and day.
    """
    layout = layout_of(series)
    if day is None and not layout.one_file:
        raise DeliveryError(
            f"{path.name} was delivered without its day; a {series.resolution.value} file holds one day"
        )
    file_day = None if layout.one_file else day
    try:
        rows = layout.rows_by_day(layout.member_content(path.read_bytes(), file_day), file_day)
    except (FormatError, OSError) as error:
        raise DeliveryError(f"{path.name} is not a file of LEAN's ({error})") from error
    if day is not None and day not in rows:
        raise DeliveryError(f"{path.name} has no row of {day}")
    return [
        DayText(found, rows[found], rows[found].count(b"\n") + 1)
        for found in sorted(rows)
        if found in wanted and day in (None, found)
    ]
