"""Where a provider's minutes arrive that are fetched to be aggregated only: checked, aggregated, and not stored."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import Factory, define

from server.core.errors import BacktestServerError, Cancelled
from server.core.events import EventStream
from server.data_download.delivery import DeliveryError, check_bars, check_days, take_days
from server.data_download.derived_bars import deliver
from server.data_download.errors import BadResponseError
from server.lean.aggregation import joined
from server.lean.bar_checks import without_bad_days
from server.lean.bars import Bars, no_bars
from server.lean.days import select_days
from server.lean.errors import FormatError
from server.lean.layout import layout_of
from server.lean.series import Series

if TYPE_CHECKING:
    from server.data_download.provider import DataSink

DAYS_TOGETHER = 20
"""Days of one series that are delivered together: each delivery writes the file of all days again."""

Aggregate = Callable[[Series, Series, Sequence[date], Bars], Bars]


@define
class _Waiting:
    """Aggregated bars of one target that are not delivered yet, by day."""

    days: dict[date, Bars] = Factory(dict)

    def take(self) -> tuple[list[date], Bars]:
        """All that waits, ascending; nothing waits afterwards."""
        days = sorted(self.days)
        bars = joined([self.days[day] for day in days]) if days else no_bars()
        self.days.clear()
        return days, bars


class DerivedSink:
    """A `DataSink` for minutes that delivers what is aggregated from them to another sink.

    Days wait until there are enough of them for one delivery, or until the provider has ended; so a run that is
    interrupted has delivered all but the last few days.
    """

    def __init__(
        self,
        sink: DataSink,
        aggregate: Aggregate,
        targets: Mapping[Series, Mapping[Series, AbstractSet[date]]],
    ) -> None:
        """Take the sink of the results.

        Args:
            sink: Receives the aggregated bars.
            aggregate: Aggregates bars of a source to those of a target: source, target, days, bars.
            targets: The target series of each source, with the days wanted of it.
        """
        self._sink = sink
        self._aggregate = aggregate
        self._targets = targets
        self._wanted = {source: frozenset().union(*wanted.values()) for source, wanted in targets.items()}
        self._waiting: defaultdict[Series, _Waiting] = defaultdict(_Waiting)
        self._lock = threading.Lock()
        self._closed = False

    @property
    def events(self) -> EventStream:
        """Where the provider emits its requests: those of the sink of the results."""
        return self._sink.events

    @property
    def cancelled(self) -> bool:
        """Whether the provider should stop."""
        return self._closed or self._sink.cancelled

    def bars(self, series: Series, days: Sequence[date], bars: Bars) -> None:
        """Aggregate bars (see `DataSink.bars`); a day with a bad bar is unavailable."""
        with self._accepted(series, days):
            check_days(series, days, self._wanted)
            check_bars(days, bars)
            good, bad = without_bad_days(bars, days)
            left = [day for day in days if day not in bad]
            layout_of(series).render(good, left)  # raises for bars out of order or outside the days
        for day, reason in bad.items():
            text = f"{series} {day}: {reason}; the bars of the day are not derived, download it again"
            self.unavailable(series, [day], BadResponseError(text, series=series, days=[day]))
        self._take(series, left, good)

    def lean_file(self, series: Series, day: date | None, path: Path) -> None:
        """Aggregate the requested days of a LEAN zip (see `DataSink.lean_file`)."""
        days = [] if day is None else [day]
        with self._accepted(series, days):
            check_days(series, days, self._wanted)
            texts = take_days(series, day, path, self._wanted[series])
            layout = layout_of(series)
            parts = [layout.parse(text.csv, text.day) for text in texts]
        if texts:
            self._take(series, [text.day for text in texts], joined(parts))

    def unavailable(self, series: Series, days: Sequence[date], error: BacktestServerError) -> None:
        """Report for each target that these days cannot be fetched now."""
        for target, wanted in self._targets.get(series, {}).items():
            concerned = [day for day in days if day in wanted]
            if concerned:
                self._sink.unavailable(target, concerned, error)

    def close(self) -> None:
        """Accept nothing more, and deliver what waits, unless the run was cancelled.

        Raises:
            WriteFailedError: Files could not be written.
        """
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, defaultdict(_Waiting)
        if not self._sink.cancelled:
            for target, held in waiting.items():
                self._deliver(target, *held.take())

    @contextmanager
    def _accepted(self, series: Series, days: Sequence[date]) -> Iterator[None]:
        """Name what is wrong with a delivery that is not valid."""
        try:
            yield
        except (FormatError, DeliveryError) as error:
            known = series if isinstance(series, Series) else None
            raise BadResponseError(f"{series}: {error}", series=known, days=days) from error

    def _take(self, source: Series, days: Sequence[date], bars: Bars) -> None:
        """Aggregate whole days, and deliver those of a target once there are enough of them."""
        for target, wanted in self._targets[source].items():
            mine = [day for day in days if day in wanted]
            found = self._aggregate(
                source, target, mine, bars if len(mine) == len(days) else select_days(bars, mine)[0]
            )
            ready: tuple[list[date], Bars] | None = None
            with self._lock:
                if self._closed:
                    raise Cancelled("the run is over; nothing more is accepted")
                held = self._waiting[target]
                held.days |= {day: select_days(found, [day])[0] for day in mine}
                if len(held.days) >= DAYS_TOGETHER or held.days.keys() == wanted:
                    ready = held.take()
            if ready:
                self._deliver(target, *ready)

    def _deliver(self, target: Series, days: Sequence[date], bars: Bars) -> None:
        if not days:
            return
        try:
            deliver(self._sink, target, days, bars)
        except Cancelled:
            raise
        except BacktestServerError as error:  # the provider has delivered these days and does not report them
            self._sink.unavailable(target, days, error)
            raise
