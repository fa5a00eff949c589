"""Where a provider's bars arrive: turned into LEAN's text, written, remembered, counted."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import cast

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, Cancelled
from server.core.events import (
    EventKind,
    Outcome,
    ProgressEvent,
    ProgressListener,
)
from server.data_download.data_folder import DataFolder
from server.data_download.errors import BadResponseError, DownloadError
from server.data_download.tally import Tally
from server.data_download.workers import Task
from server.lean.bars import Bars
from server.lean.check import check_zip
from server.lean.parse import daily_rows, normalised
from server.lean.render import DayText, render_days
from server.lean.series import Resolution, Series
from server.lean.zip import FormatError, only_member
from server.trading_calendar import USEquityTradingCalendar


class HostSink:
    """The `DataSink` of one provider during one download (see provider.py for what its methods promise)."""

    def __init__(
        self,
        *,
        provider: str,
        folder: DataFolder,
        calendar: USEquityTradingCalendar,
        clock: Callable[[], datetime],
        cancel: CancelToken,
        listener: ProgressListener,
        tally: Tally,
        wanted: Mapping[str, frozenset[date]],
    ) -> None:
        self._provider = provider
        self._folder = folder
        self._calendar = calendar
        self._clock = clock
        self._cancel = cancel
        self._listener = listener
        self._tally = tally
        self._wanted = wanted
        self._changed = threading.Condition()
        self._writing = 0
        self._open = True
        self._symbol_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @property
    def cancelled(self) -> bool:
        """Whether the provider should stop."""
        return self._cancel.cancelled or not self._open

    def close(self) -> None:
        """Take nothing more, and wait for what is being written: the locks are let go after this."""
        with self._changed:
            self._open = False
            self._changed.wait_for(lambda: self._writing == 0)

    def bars(self, symbol: str, resolution: Resolution, days: Sequence[date], bars: Bars | Task) -> None:
        """Write these days; those without bars are remembered as empty once they are settled."""
        with self._admitted():
            try:
                if not self._wanted.get(symbol, frozenset()).issuperset(days):
                    strange = min(set(days).difference(self._wanted.get(symbol, ())))
                    raise FormatError(f"{strange} was not asked for")
                if isinstance(bars, Task):
                    if resolution is not Resolution.DAILY and self._calendar.settled(days[-1], self._clock()):
                        written = self._folder.write_held(symbol, resolution, days, bars)
                        self._note(symbol, resolution, days, written)
                        return
                    bars = cast(Bars, bars.bring())
                texts = render_days(bars, resolution, days)
            except FormatError as error:
                raise BadResponseError(
                    f"{symbol} {resolution.value} from {self._provider}: {error}",
                    series=Series(symbol, resolution),
                    days=days,
                ) from error
            self._write(symbol, resolution, days, texts)

    def lean_file(self, symbol: str, resolution: Resolution, day: date | None, path: Path) -> None:
        """Take over what a LEAN zip holds of the days asked for: one day, or (day None) those of a daily zip."""
        with self._admitted():
            try:
                data = path.read_bytes()
                rows = len(check_zip(data, symbol, resolution, day))
                content = normalised(only_member(data)[1])
                if day is None:
                    texts = [DayText(key, row, 1) for key, row in sorted(daily_rows(content).items())]
                else:
                    texts = [DayText(day, content, rows)]
                texts = [text for text in texts if text.day in self._wanted.get(symbol, ())]
            except (FormatError, OSError) as error:
                raise BadResponseError(
                    f"{symbol} {resolution.value} from {self._provider}: {path.name} is not a file of LEAN's ({error})",
                    series=Series(symbol, resolution),
                    days=[day] if day else [],
                ) from error
            self._write(symbol, resolution, [text.day for text in texts], texts)

    def unavailable(
        self, symbol: str, resolution: Resolution, days: Sequence[date], error: BacktestServerError
    ) -> None:
        """Remember why these days cannot be had now."""
        with self._changed:
            self._tally.reasons[symbol].update(dict.fromkeys(days, error))

    def progress(
        self,
        kind: EventKind,
        *,
        symbol: str | None = None,
        resolution: Resolution | None = None,
        bytes: int = 0,
        api_calls: int = 0,
        cache_hits: int = 0,
        retries: int = 0,
        status: int | None = None,
        wait_seconds: float = 0.0,
        message: str = "",
    ) -> None:
        """Count, and tell whoever watches."""
        with self._changed:
            self._tally.api_calls += api_calls
            self._tally.cache_hits += cache_hits
            self._tally.retries += retries
            self._tally.bytes += bytes
            if kind == "notice" and message not in self._tally.notices:
                self._tally.notices.append(message)
        self._listener(
            ProgressEvent(
                kind=kind,
                at=self._clock(),
                provider=self._provider,
                symbol=symbol,
                resolution=resolution,
                bytes=bytes,
                api_calls=api_calls,
                cache_hits=cache_hits,
                retries=retries,
                status=status,
                wait_seconds=wait_seconds,
                message=message,
            )
        )

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        with self._changed:
            if self.cancelled:
                raise Cancelled("the run is over; nothing more is written")
            self._writing += 1
        try:
            yield
        finally:
            with self._changed:
                self._writing -= 1
                self._changed.notify_all()

    def _write(self, symbol: str, resolution: Resolution, days: Sequence[date], texts: Sequence[DayText]) -> None:
        now = self._clock()
        with self._symbol_locks[symbol]:  # two windows of one symbol may share the daily zip
            through = self._calendar.settled_through(now)
            provisional = [text.day for text in texts if text.day > through]
            if provisional:  # before the files, so that a run that dies meanwhile does not leave them as whole days
                self._folder.ledger.record_days(symbol, resolution, now=now, provisional=provisional)
            if texts:
                self._tell_aside(symbol, self._folder.write_days(symbol, resolution, texts))
            self._note(symbol, resolution, days, {text.day: text.rows for text in texts}, now)

    def _note(
        self,
        symbol: str,
        resolution: Resolution,
        days: Sequence[date],
        written: Mapping[date, int],
        now: datetime | None = None,
    ) -> None:
        """Remember, count and tell what became of days, of which some were written with so many bars."""
        now = now or self._clock()
        through = self._calendar.settled_through(now)
        without = [day for day in days if day not in written]
        kept: list[date] = []
        if without:
            bare = self._clear_damaged(symbol, resolution, without)
            kept = sorted(day for day in set(without).difference(bare) if day <= through)
            without = bare
        settled = [day for day in written if day <= through]
        empty = [day for day in without if day <= through]
        self._folder.ledger.record_days(symbol, resolution, now=now, settled=settled, empty=empty)
        bars = sum(written.values())
        with self._changed:
            self._tally.bars += bars
            self._tally.delivered[symbol].update(written)
        early = [day for day in without if day > through]
        self._not_yet(symbol, resolution, early, "no bars yet for {}, its session is not over; try later")
        why = f"{self._provider} has no bars of {{}} now; what came before its session was over is kept; try later"
        self._not_yet(symbol, resolution, kept, why)
        early_bars = sum(rows for day, rows in written.items() if day > through)
        self._tell(symbol, resolution, "downloaded", len(settled), bars - early_bars)
        self._tell(symbol, resolution, "provisional", len(written) - len(settled), early_bars)
        self._tell(symbol, resolution, "empty", len(empty), 0)

    def _not_yet(self, symbol: str, resolution: Resolution, days: Sequence[date], why: str) -> None:
        if days:
            message = f"{symbol} {resolution.value}: {why.format(days[0])}"
            error = DownloadError(message, series=Series(symbol, resolution), days=days)
            self.unavailable(symbol, resolution, days, error)

    def _clear_damaged(self, symbol: str, resolution: Resolution, days: Sequence[date]) -> list[date]:
        """Set aside damaged files of days without bars; returns the days of which no good file stands there."""
        holdings, _ = self._folder.holdings(symbol, resolution, days)
        for day in days:
            if day in holdings.damaged:
                self._tell_aside(symbol, self._folder.set_aside(symbol, resolution, day))
        return [day for day in days if day not in holdings.on_disk]

    def _tell_aside(self, symbol: str, aside: Path | None) -> None:
        if aside is not None:
            self.progress("notice", symbol=symbol, message=f"the damaged file is kept as {aside}")

    def _tell(self, symbol: str, resolution: Resolution, outcome: Outcome, days: int, bars: int) -> None:
        if days:
            self._listener(
                ProgressEvent(
                    kind="days",
                    at=self._clock(),
                    provider=self._provider,
                    symbol=symbol,
                    resolution=resolution,
                    outcome=outcome,
                    days=days,
                    bars=bars,
                )
            )
