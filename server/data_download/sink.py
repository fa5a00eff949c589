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
from server.core.errors import BacktestServerError
from server.core.events import Event, EventStream, Outcome
from server.core.secret import Secret, mask_error
from server.core.text import days_text
from server.data_download.availability import DayState
from server.data_download.daily_kinds import DailyKind, record_kind
from server.data_download.data_folder import DataFolder
from server.data_download.delivery import DeliveryError, check_bars, check_days, take_days
from server.data_download.errors import BadResponseError, DownloadError, NotPublishedError, ProviderError
from server.data_download.gate import Gate
from server.data_download.workers import Task
from server.lean.bar_checks import without_bad_days
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
        kept: Days of which a provider has no bars, and whose existing bars remain.
        secrets: Values that are masked in the texts of reasons.
    """

    delivered: defaultdict[Series, set[date]] = Factory(lambda: defaultdict(set))
    kept: defaultdict[Series, set[date]] = Factory(lambda: defaultdict(set))
    reasons: defaultdict[Series, dict[date, BacktestServerError]] = Factory(lambda: defaultdict(dict))
    secrets: Sequence[Secret] = field(default=(), repr=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)

    def add(self, series: Series, days: Sequence[date]) -> None:
        """Record days that were written."""
        with self._lock:
            self.delivered[series].update(days)

    def keep(self, series: Series, days: Sequence[date]) -> None:
        """Record days whose existing bars remain."""
        with self._lock:
            self.kept[series].update(days)

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
    _gate: Gate = field(factory=Gate, init=False)
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
            self._write_bars(series, days, bars)

    def aggregated_bars(self, series: Series, days: Sequence[date], bars: Bars) -> None:
        """Write days as `bars` does, and record that they were aggregated from the regular session."""
        with self._accepted(series, days):
            check_days(series, days, self.wanted)
            self._write_bars(series, days, bars, DailyKind.REGULAR_SESSION)

    def bars_of_task(self, series: Series, days: Sequence[date], task: Task) -> None:
        """Write days whose bars a worker task holds: in its own process where each day has a file of its own."""
        with self._accepted(series, days):
            check_days(series, days, self.wanted)
            if not layout_of(series).one_file and self.calendar.settled(days[-1], self.clock()):
                written, bad = self.folder.writer.write_held(series, days, task)
                self._record(series, self._without_bad(series, days, bad), written, self.clock())
            else:
                self._write_bars(series, days, task.bring())

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

    def _write_bars(self, series: Series, days: Sequence[date], bars: Bars, kind: DailyKind = DailyKind.VENDOR) -> None:
        check_bars(days, bars)
        bars, bad = without_bad_days(bars, days)
        good = self._without_bad(series, days, bad)
        self._write(series, good, layout_of(series).render(bars, good), kind)

    def _without_bad(self, series: Series, days: Sequence[date], bad: Mapping[date, str]) -> Sequence[date]:
        """Report days with a bad bar as unavailable; returns the others."""
        for day, reason in bad.items():
            text = f"{series} {day} from {self.provider}: {reason}; the day is not written, download it again"
            self.unavailable(series, [day], BadResponseError(text, series=series, days=[day]))
        return [day for day in days if day not in bad] if bad else days

    def _write(
        self, series: Series, days: Sequence[date], texts: Sequence[DayText], kind: DailyKind = DailyKind.VENDOR
    ) -> None:
        now = self.clock()
        with self._series_locks[series]:  # two requests for one series may share a file of all days
            through = self.calendar.settled_through(now)
            provisional = [text.day for text in texts if text.day > through]
            if provisional:  # before the files, so that a killed run does not leave them as whole days
                self.folder.ledger.record_days(series, now=now, provisional=provisional)
            written = {text.day: text.rows for text in texts}
            damaged = self._damaged(series, [day for day in days if day not in written])
            if texts:
                record_kind(self.folder.ledger, series, kind, texts)
                self._report_aside(series, self.folder.writer.write_days(series, texts))
            self._record(series, days, written, now, damaged)

    def _record(
        self,
        series: Series,
        days: Sequence[date],
        written: Mapping[date, int],
        now: datetime,
        damaged: Sequence[date] = (),
    ) -> None:
        """Record, count and report days, of which some were written with this number of bars each.

        Args:
            series: The series.
            days: The days.
            written: The number of bars of each day that was written.
            now: The instant now.
            damaged: Days without bars that were damaged before the others were written.
        """
        through = self.calendar.settled_through(now)
        without = [day for day in days if day not in written]
        kept: list[date] = []
        salvaged: list[date] = []
        if without:
            found = self._clear_damaged(series, without, damaged)
            kept, salvaged, without = found.kept(through), found.salvaged(through), found.without_file
            left = f"{self.provider} has no bars of {{}}; the file with numbers that cannot be right stays"
            self._not_yet(series, found.still_damaged, left)
            self._report_remaining(series, found.present(through), salvaged)
        settled = [day for day in written if day <= through]
        empty = [day for day in without if day <= through]
        self.folder.ledger.record_days(series, now=now, settled=[*settled, *salvaged], empty=empty)
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

    def _damaged(self, series: Series, days: Sequence[date]) -> list[date]:
        states = self.folder.catalog.states(series, days) if days else {}
        return [day for day, state in states.items() if state is DayState.DAMAGED]

    def _clear_damaged(self, series: Series, days: Sequence[date], damaged: Sequence[date]) -> _DaysWithoutBars:
        """Leave of damaged files of days without bars what LEAN can use, and return what exists then."""
        still_damaged = self._damaged(series, days)
        for file_day in layout_of(series).files(still_damaged) if still_damaged else ():
            self._report_aside(series, self.folder.writer.clear_damaged(series, file_day))
        return _DaysWithoutBars(self.folder.catalog.states(series, days), frozenset((*damaged, *still_damaged)))

    def _report_remaining(self, series: Series, present: Sequence[date], salvaged: Sequence[date]) -> None:
        """Report settled days of which the provider has no bars, and whose existing bars remain."""
        self.deliveries.keep(series, [*present, *salvaged])
        if present:
            self._notify(
                series, f"{self.provider} has no bars of {series} on {days_text(present)}; the bars on disk stay"
            )
        if salvaged:
            self._notify(
                series,
                f"{self.provider} has no bars of {series} on {days_text(salvaged)}; the rows that can be read are kept",
            )

    def _notify(self, series: Series, message: str) -> None:
        self.events.emit(Event(kind="notice", symbol=series.ticker, message=message))

    def _report_aside(self, series: Series, aside: Path | None) -> None:
        if aside is not None:
            self._notify(series, f"the damaged file is kept as {aside}")

    def _report(self, series: Series, outcome: Outcome, days: int, bars: int) -> None:
        if days:
            self.events.emit(Event(kind="days", series=series, outcome=outcome, days=days, bars=bars))


@frozen
class _DaysWithoutBars:
    """Days of which a provider has no bars: what exists of them on disk, and which were damaged before."""

    states: Mapping[date, DayState]
    damaged: frozenset[date]

    @property
    def without_file(self) -> list[date]:
        there = (DayState.PRESENT, DayState.PROVISIONAL, DayState.DAMAGED)
        return [day for day, state in self.states.items() if state not in there]

    @property
    def still_damaged(self) -> list[date]:
        """Days whose damaged rows remain."""
        return [day for day, state in self.states.items() if state is DayState.DAMAGED]

    def salvaged(self, through: date) -> list[date]:
        """Settled days whose readable rows remain."""
        gone = {*self.without_file, *self.still_damaged}
        return sorted((self.damaged - gone).intersection(self._settled(through)))

    def present(self, through: date) -> list[date]:
        """Settled days whose bars are whole."""
        return [day for day in self._settled(through) if self._is(day, DayState.PRESENT)]

    def kept(self, through: date) -> list[date]:
        """Settled days whose bars were fetched before they were settled."""
        return [day for day in self._settled(through) if self._is(day, DayState.PROVISIONAL)]

    def _is(self, day: date, state: DayState) -> bool:
        return self.states[day] is state and day not in self.damaged

    def _settled(self, through: date) -> list[date]:
        return sorted(day for day in self.states if day <= through)
