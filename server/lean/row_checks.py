"""Which rows of a file have numbers that cannot be right; see `server.lean.bar_checks`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np

from server.lean.bar_checks import implausible_rows
from server.lean.bars import PRICES, Bars
from server.lean.trade_csv import read_dated_numbers, read_numbers


def row_faults(content: bytes, *, dated: bool) -> dict[int, str]:
    """Return what is wrong with each row that is not plausible, by its position.

    Args:
        content: Rows in LEAN's form.
        dated: Whether they begin with a day and a time.
    """
    table = read_dated_numbers(content) if dated else read_numbers(content)
    columns = {name: table[:, index] / 10_000 for index, name in enumerate(PRICES)}
    return implausible_rows(Bars(time=np.zeros(len(table), np.int64), volume=table[:, 4], **columns))


def implausible_days(rows: Mapping[date, bytes], *, dated: bool) -> dict[date, str]:
    """Return the days that have a row which is not plausible, ascending, each with its first one.

    Args:
        rows: The rows of each day, in LEAN's form.
        dated: Whether they begin with a day and a time.

    Returns:
        Texts such as ``row 2 has low 2 above high 1``.
    """
    if not rows:
        return {}
    days = sorted(rows)
    faults = row_faults(b"\n".join(rows[day] for day in days), dated=dated)
    ends = np.cumsum([rows[day].count(b"\n") + 1 for day in days])
    found: dict[date, str] = {}
    for row, fault in faults.items():
        found.setdefault(days[int(np.searchsorted(ends, row, "right"))], f"row {row + 1} {fault}")
    return found
