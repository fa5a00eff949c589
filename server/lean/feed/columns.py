"""Bars as columns, on New York's clock: the form in which the reader holds them until they are printed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Final

import numpy as np
import numpy.typing as npt
from attrs import evolve, frozen

from server.lean.days import MS_PER_DAY
from server.lean.feed.items import Bar

Instants = npt.NDArray[np.int64]
"""Milliseconds since 1970 of New York's clock, without a time zone."""

Numbers = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

OPEN: Final = 0
CLOSE: Final = 3
VOLUME: Final = 4
"""Places in `Columns.numbers`."""

_EPOCH = date(1970, 1, 1).toordinal()
_EPOCH_INSTANT = datetime(1970, 1, 1)
_LAST_INSTANT = int(np.datetime64("9999-12-31T23:59:59.999", "ms").astype(np.int64))


def day_number(day: date) -> int:
    """Return the number of days since 1970."""
    return day.toordinal() - _EPOCH


def day_of(number: int) -> date:
    """Return the day of a number of days since 1970."""
    return date.fromordinal(number + _EPOCH)


def clock_ms(instant: datetime | date) -> int:
    """Return an instant of New York's clock, or the midnight at which a day begins, as milliseconds."""
    if not isinstance(instant, datetime):
        return day_number(instant) * MS_PER_DAY
    return round((instant - _EPOCH_INSTANT).total_seconds() * 1000)


@frozen(kw_only=True, eq=False)
class Columns:
    """Bars of one share, ascending by their end.

    Attributes:
        start: When each begins.
        end: When the algorithm gets it.
        numbers: Open, high, low and close in dollars, and the volume: one row for each bar.
        ticker: The share's ticker on that day.
        filled: Whether the engine repeated the bar before it, with a volume of 0.
        events_before: The number of the share's events that come before it.
    """

    start: Instants
    end: Instants
    numbers: Numbers
    ticker: npt.NDArray[np.object_]
    filled: Mask
    events_before: npt.NDArray[np.int64]

    @classmethod
    def of_file(cls, start: Instants, length: int, numbers: Numbers, ticker: str) -> Columns:
        """Return the bars of one file; those that would end after the year 9999 are left out.

        Args:
            start: When each begins.
            length: Of a bar, in milliseconds.
            numbers: Dollars and volumes.
            ticker: Whose file it is.
        """
        count = int(np.searchsorted(start, _LAST_INSTANT - length, side="right"))
        return cls(
            start=start[:count],
            end=start[:count] + length,
            numbers=numbers[:count],
            ticker=np.full(count, ticker, np.object_),
            filled=np.zeros(count, np.bool_),
            events_before=np.zeros(count, np.int64),
        )

    @classmethod
    def of_bars(cls, bars: Sequence[Bar], events_before: Sequence[int]) -> Columns:
        """Return bars as columns."""
        return cls(
            start=np.array([bar.start for bar in bars], "M8[ms]").astype(np.int64),
            end=np.array([bar.end for bar in bars], "M8[ms]").astype(np.int64),
            numbers=np.array([bar[3:8] for bar in bars], np.float64).reshape(-1, 5),
            ticker=np.array([bar.ticker for bar in bars], np.object_),
            filled=np.array([bar.filled for bar in bars], np.bool_),
            events_before=np.array(events_before, np.int64),
        )

    @classmethod
    def joined(cls, parts: Sequence[Columns]) -> Columns:
        """Return the bars of several columns, one after the other."""
        if not parts:
            return cls.of_bars((), ())
        return cls(
            start=np.concatenate([part.start for part in parts]),
            end=np.concatenate([part.end for part in parts]),
            numbers=np.concatenate([part.numbers for part in parts]),
            ticker=np.concatenate([part.ticker for part in parts]),
            filled=np.concatenate([part.filled for part in parts]),
            events_before=np.concatenate([part.events_before for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, rows: slice | Mask | npt.NDArray[np.intp]) -> Columns:
        return Columns(
            start=self.start[rows],
            end=self.end[rows],
            numbers=self.numbers[rows],
            ticker=self.ticker[rows],
            filled=self.filled[rows],
            events_before=self.events_before[rows],
        )

    @property
    def day_numbers(self) -> Instants:
        """The day on which each bar begins, in days since 1970."""
        days: Instants = self.start // MS_PER_DAY
        return days

    def days(self) -> list[date]:
        """Return the days on which bars begin, ascending, each once."""
        numbers = self.day_numbers
        begins = numbers[1:][numbers[1:] != numbers[:-1]].tolist()  # np.unique would import numpy.ma
        return [day_of(number) for number in sorted({*numbers[:1].tolist(), *begins})]

    def with_times(self, start: Instants, end: Instants) -> Columns:
        """Return the bars with other times."""
        return evolve(self, start=start, end=end)

    def bars(self) -> Iterable[Bar]:
        """Return the bars as objects."""
        times = (column.astype("M8[ms]").tolist() for column in (self.start, self.end))
        return map(Bar, *times, self.ticker.tolist(), *self.numbers.T.tolist(), self.filled.tolist())
