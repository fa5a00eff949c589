"""The equity curve of a backtest."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple


class Equity(NamedTuple):
    """The equity curve: the account's value in dollars at the end of each day."""

    dates: tuple[date, ...] = ()
    values: tuple[float, ...] = ()
