"""What LEAN feeds an algorithm, as values. Times are New York's, without a time zone."""

from __future__ import annotations

import enum
from datetime import date, datetime, time, timedelta
from typing import ClassVar, NamedTuple

from attrs import frozen


class Mode(enum.StrEnum):
    """How prices are normalized (LEAN: ``DataNormalizationMode``)."""

    RAW = "raw"
    ADJUSTED = "adjusted"
    SPLIT_ADJUSTED = "split-adjusted"
    TOTAL_RETURN = "total-return"


class Bar(NamedTuple):
    """A trade bar. A named tuple, since there are hundreds of thousands of them.

    Attributes:
        start: When it begins.
        end: When the algorithm gets it.
        ticker: The share's ticker on that day.
        filled: Whether the engine repeated the bar before it, with a volume of 0.
    """

    start: datetime
    end: datetime
    ticker: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    filled: bool = False


class SplitKind(enum.StrEnum):
    """Whether a split is announced, on the trading day before it, or takes place (LEAN: ``SplitType``)."""

    WARNING = "warning"
    OCCURRED = "occurred"


class DelistingKind(enum.StrEnum):
    """Whether the share's last day begins, or is over (LEAN: ``DelistingType``)."""

    WARNING = "warning"
    DELISTED = "delisted"


@frozen
class Event:
    """What the engine reports at the midnight at which a day begins.

    Attributes:
        day: The day.
        ticker: The share's ticker.
    """

    order: ClassVar[int]
    """The place of its kind among the events of one instant."""

    day: date
    ticker: str

    @property
    def start(self) -> datetime:
        """The instant of the event."""
        return datetime.combine(self.day, time())

    @property
    def end(self) -> datetime:
        """The instant of the event, which has no duration."""
        return self.start


@frozen
class Split(Event):
    """A split, or its warning.

    Attributes:
        factor: The multiplier of the price.
        reference: The raw price before it, in dollars: of the factor file; for a warning, of the last row read.
    """

    order = 0

    kind: SplitKind
    factor: float
    reference: float


@frozen
class Dividend(Event):
    """A dividend.

    Attributes:
        amount: Dollars for each share, in whole cents.
        reference: The raw close of the day before, in dollars, from the factor file.
    """

    order = 1

    amount: float
    reference: float


@frozen
class Delisting(Event):
    """A delisting, or its warning."""

    order = 2

    kind: DelistingKind


@frozen
class Rename(Event):
    """A new ticker; `ticker` is the new one, too."""

    order = 3

    old: str
    new: str


Item = Bar | Event
"""All that is fed."""


class LossKind(enum.StrEnum):
    """Why data is not fed."""

    ABSENT = "absent"
    """There is no file or no row."""

    DAMAGED = "damaged"
    """A file, or a row of it, cannot be read."""

    IRREGULAR = "irregular"
    """Rows are out of order or repeated, or the exchange was closed on their day."""

    OUTSIDE = "outside"
    """The map file or factor file begins or ends within the range."""


@frozen
class Loss:
    """Data of the range that the engine does not feed, mostly without a message.

    Attributes:
        first: The first day concerned; None if it is not known.
        last: The last one.
        path: The file, below the data folder.
        reason: What the engine makes of it.
        kind: Of the cause.
    """

    first: date | None
    last: date | None
    path: str
    reason: str
    kind: LossKind

    def __str__(self) -> str:
        """The loss as one line, with day and file."""
        days = "" if self.first is None else f" ({self.first}{'' if self.first == self.last else f' to {self.last}'})"
        return f"{self.path}{days}: {self.reason}"


@frozen(kw_only=True)
class FeedRequest:
    """What an algorithm subscribes to.

    Attributes:
        start: The algorithm's first day.
        end: Its last day, included.
        mode: How prices are normalized.
        extended_hours: Whether bars outside the regular session are fed.
        fill_forward: Whether missing bars are filled with the bar before them.
        today: The day of the run: LEAN looks up a ticker as of today.
    """

    start: date
    end: date
    mode: Mode
    today: date
    extended_hours: bool = False
    fill_forward: bool = False

    @property
    def begin(self) -> datetime:
        """The instant at which the range begins."""
        return datetime.combine(self.start, time())

    @property
    def finish(self) -> datetime:
        """The instant at which the range is over."""
        return datetime.combine(self.end, time()) + timedelta(days=1)
