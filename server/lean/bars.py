"""Bars as columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PRICES = ("open", "high", "low", "close")
"""The price columns of bars, in the order of LEAN's rows."""


@frozen(kw_only=True, eq=False)
class Bars:
    """Bars as columns of one length, ascending and unique in time.

    Attributes:
        time: int64, start of the bar, milliseconds since 1970-01-01 UTC.
        open, high, low, close: float64, dollars as traded (not adjusted).
        volume: float64, shares; may be fractional.
    """

    time: npt.NDArray[np.int64]
    open: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    close: npt.NDArray[np.float64]
    volume: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.time)

    def __getitem__(self, rows: slice | npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Bars:
        return Bars(
            time=self.time[rows],
            open=self.open[rows],
            high=self.high[rows],
            low=self.low[rows],
            close=self.close[rows],
            volume=self.volume[rows],
        )


def no_bars() -> Bars:
    """Return columns without a bar."""
    import numpy as np

    empty = np.zeros(0)
    return Bars(time=np.zeros(0, np.int64), open=empty, high=empty, low=empty, close=empty, volume=empty)
