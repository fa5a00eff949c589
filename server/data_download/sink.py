"""Where a provider's bars arrive: checked, rendered, written, recorded, reported."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

from attrs import Factory, define, field, frozen

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, Cancelled
from server.core.events import Event, EventStream, Outcome
from server.core.secret import Secret, mask_error
from server.data_download.availability import DayState
from server.data_download.data_folder import DataFolder
from server.data_download.delivery import DeliveryError, check_bars, check_days, take_days
from server.data_download.errors import BadResponseError, DownloadError, NotPublishedError, ProviderError
from server.data_download.workers import Task
from server.lean.bars import Bars
from server.lean.errors import FormatError
from server.lean.layout import layout_of
from server.lean.series import Series
from server.lean.trade_csv import DayText
from server.trading_calendar import USEquityTradingCalendar


@define
class Deliveries:
    """What providers delivered or could not deliver during one download. Thread-safe through its methods.

    Attributes:
        secrets: Values that are masked in the texts of reasons.
    """

    delivered: defaultdict[Series, set[date]] = Factory(lambda: defaultdict(set))
    reasons: defaultdict[Series, dict[date, BacktestServerError]] = Factory(lambda: defaultdict(dict))
    secrets: Sequence[Secret] = field(default=(), repr=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)

    def add(self, series: Series, days: Sequence[date]) -> None:
        """Record days that were written."""
        with self._lock:
            self.delivered[series].update(days)

    def fail(self, series: Series, days: Sequence[date], error: BacktestServerError) -> None:
        """Record why days could not be delivered, instead of an earlier reason."""
        mask_error(error, self.secrets)
        with self._lock:
            self.reasons[series].update(dict.fromkeys(days, error))


@frozen(eq=False, kw_only=True)
class HostSink:
    """The `DataSink` of one provider for some gaps (see `DataSink` for what its methods promise).

    Attributes:
        wanted: The days of each series that are accepted.
        events: A stream whose scope names the provider.
    """

    provider: str
    folder: DataFolder
    calendar: USEquityTradingCalendar
    clock: Callable[[], datetime]
    cancel: CancelToken
    events: EventStream
    deliveries: Deliveries
    wanted: Mapping[Series, frozenset[date]]
    _gate: _Gate = field(factory=lambda: _Gate(), init=False)
    _series_locks: defaultdict[Series, threading.Lock] = field(factory=lambda: defaultdict(threading.Lock), init=False)

    @property
    def cancelled(self) -> bool:
        """Whether the provider should stop."""
        return self.cancel.cancelled or not self._gate.open

    def close(self) -> None:
        """Accept nothing more, and wait for what is being written: the locks are released after this."""
        self._gate.close()

    def bars(self, series: Series, days: Sequence[date], bars: Bars) -> None:
        """Write these days; those without bars are recorded as empty once they are settled."""
        with self._accepted(series, days):
            check_days(series, days, self.wanted)
            check_bars(days, bars)
            self._write(series, days, layout_of(series).render(bars, days))

    def bars_of_task(self, series: Series, days: Sequence[date], task: Task) -> None:
        """Write days whose bars a worker task holds: in its own process where each day has a file of its own."""
        with self._accepted(series, days):
            check_days(series, days, self.wanted)
            if not layout_of(series).one_file and self.calendar.settled(days[-1], self.clock()):
                self._record(series, days, self.folder.writer.write_held(series, days, task), self.clock())
            else:
                bars = task.bring()
                check_bars(days, bars)
                self._write(series, days, layout_of(series).render(bars, days))

    def lean_file(self, series: Series, day: date | None, path: Path) -> None:
        """Take the requested days of a LEAN zip."""
        days = [] if day is None else [day]
        with self._accepted(series, days):
            check_days(series, days, self.wanted)
            texts = take_days(series, day, path, self.wanted[series])
            self._write(series, [text.day for text in texts], texts)

    def unavailable(self, series: Series, days: Sequence[date], error: BacktestServerError) -> None:
        """Record why these days cannot be fetched now."""
        if not isinstance(error, BacktestServerError):
            error = ProviderError(
                f"{series}: the provider {self.provider} gave a {type(error).__name__} as the reason of missing days, "
                f"not a BacktestServerError ({error}); report it to the provider's authors"
            )
        self.deliveries.fail(series, days, error)

    @contextmanager
    def _accepted(self, series: Series, days: Sequence[date]) -> Iterator[None]:
        """Let one delivery in, and name the provider where it is not valid."""
        with self._gate.entered(self.cancel):
            try:
                yield
            except (FormatError, DeliveryError) as error:
                known = series if isinstance(series, Series) else None
                raise BadResponseError(f"{series} from {self.provider}: {error}", series=known, days=days) from error

    def _write(self, series: Series, days: Sequence[date], texts: Sequence[DayText]) -> None:
        now = self.clock()
        with self._series_locks[series]:  # two requests for one series may share a file of all days
            through = self.calendar.settled_through(now)
            provisional = [text.day for text in texts if text.day > through]
            if provisional:  # before the files, so that a killed run does not leave them as whole days
                self.folder.ledger.record_days(series, now=now, provisional=provisional)
            if texts:
                self._report_aside(series, self.folder.writer.write_days(series, texts))
            self._record(series, days, {text.day: text.rows for text in texts}, now)

    def _record(self, series: Series, days: Sequence[date], written: Mapping[date, int], now: datetime) -> None:
        """Record, count and report days, of which some were written with this number of bars each."""
        through = self.calendar.settled_through(now)
        without = [day for day in days if day not in written]
        kept: list[date] = []
        if without:
            without_file = self._clear_damaged(series, without)
            kept = sorted(day for day in set(without).difference(without_file) if day <= through)
            without = without_file
        settled = [day for day in written if day <= through]
        empty = [day for day in without if day <= through]
        self.folder.ledger.record_days(series, now=now, settled=settled, empty=empty)
        self.deliveries.add(series, list(written))
        early = [day for day in without if day > through]
        self._not_yet(series, early, "no bars yet for {}, its session is not over; try later", NotPublishedError)
        why = f"{self.provider} has no bars of {{}} now; those fetched before its session was over are kept; try later"
        self._not_yet(series, kept, why)
        bars = sum(written.values())
        early_bars = sum(rows for day, rows in written.items() if day > through)
        self._report(series, "downloaded", len(settled), bars - early_bars)
        self._report(series, "provisional", len(written) - len(settled), early_bars)
        self._report(series, "empty", len(empty), 0)

    def _not_yet(
        self, series: Series, days: Sequence[date], why: str, kind: type[DownloadError] = DownloadError
    ) -> None:
        if days:
            self.unavailable(series, days, kind(f"{series}: {why.format(days[0])}", series=series, days=days))

    def _clear_damaged(self, series: Series, days: Sequence[date]) -> list[date]:
        """Set aside damaged files of days without bars; returns the days that have no usable file."""
        states = self.folder.catalog.states(series, days)
        for day, state in states.items():
            if state is DayState.DAMAGED:
                self._report_aside(series, self.folder.writer.set_aside(series, day))
        return [day for day, state in states.items() if state not in (DayState.PRESENT, DayState.PROVISIONAL)]

    def _report_aside(self, series: Series, aside: Path | None) -> None:
        if aside is not None:
            message = f"the damaged file is kept as {aside}"
            self.events.emit(Event(kind="notice", symbol=series.ticker, message=message))

    def _report(self, series: Series, outcome: Outcome, days: int, bars: int) -> None:
        if days:
            self.events.emit(Event(kind="days", series=series, outcome=outcome, days=days, bars=bars))


class _Gate:
    """Lets deliveries in until it is closed, and then waits for those inside."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self.open = True

    @contextmanager
    def entered(self, cancel: CancelToken) -> Iterator[None]:
        with self._changed:
            if cancel.cancelled or not self.open:
                raise Cancelled("the run is over; nothing more is written")
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self.open = False
            self._changed.wait_for(lambda: self._inside == 0)
