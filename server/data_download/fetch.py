"""The middle of a download: gaps under their locks to one provider, and to the fallback what it leaves."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from datetime import date, datetime
from typing import Any

from attrs import evolve, field, frozen

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError, Cancelled, ConfigurationError
from server.core.events import EventKind, ProgressEvent, ProgressListener
from server.data_download.availability import find_gap
from server.data_download.data_folder import DataFolder
from server.data_download.errors import DownloadError
from server.data_download.model import Failure, Gap
from server.data_download.provider import NamedProvider
from server.data_download.tally import Tally
from server.lean.series import Resolution
from server.trading_calendar import USEquityTradingCalendar

_MAX_LOCKS = 200
"""Symbols fetched in one go: each holds an open lock file."""

_LOCK_POLL_SECONDS = 0.1


@frozen(kw_only=True, eq=False)
class Fetch:
    """One fetch of gaps at one resolution. ``providers`` are asked in turn; ``tally`` gathers what they did."""

    folder: DataFolder
    calendar: USEquityTradingCalendar
    clock: Callable[[], datetime]
    providers: Sequence[NamedProvider]
    listener: ProgressListener
    resolution: Resolution
    cancel: CancelToken
    tally: Tally
    _used: list[str] = field(factory=list, init=False)
    _counting: threading.Lock = field(factory=threading.Lock, init=False)

    @property
    def fallback_used(self) -> str | None:
        """The name of the fallback, if it was asked."""
        return self._used[1] if len(self._used) > 1 else None

    def run(self, gaps: Sequence[Gap]) -> None:
        """Fetch the gaps. A symbol that another run holds is waited for, with no lock held meanwhile."""
        pending = {gap.symbol: gap for gap in gaps}
        waited = False
        while pending and not self.cancel.cancelled:
            with ExitStack() as locks:
                mine = self._lock_free(pending.values(), locks)
                if mine:
                    self._fetch_locked(mine)
            for gap in mine:
                del pending[gap.symbol]
            if pending and not mine:
                if not waited:
                    self.tell("wait", message=f"another run is fetching {', '.join(pending)}; waiting for it")
                    waited = True
                self.cancel.wait(_LOCK_POLL_SECONDS)

    def _lock_free(self, gaps: Iterable[Gap], locks: ExitStack) -> list[Gap]:
        """Take the locks that nobody holds, as many as may be held at once."""
        mine: list[Gap] = []
        for gap in gaps:
            if len(mine) == _MAX_LOCKS:
                break
            if locks.enter_context(self.folder.lock(gap.symbol, gap.resolution, blocking=False)):
                mine.append(gap)
        return mine

    def _fetch_locked(self, gaps: Sequence[Gap]) -> None:
        for position, named in enumerate(self.providers):
            gaps = self._still_missing(gaps, only_survivable=position > 0)
            if not gaps or self.cancel.cancelled:
                return
            if position > 0:
                self._notice_fallback(named, gaps)
            if named.name not in self._used:
                self._used.append(named.name)
            for gap in gaps:
                self.tell("symbol", provider=named.name, symbol=gap.symbol, days=len(gap.days))
            try:
                self._ask(named, gaps)
            except BacktestServerError as error:
                for gap in gaps:
                    reasons = self.tally.reasons[gap.symbol]
                    reasons.update((day, error) for day in gap.days if position > 0 or day not in reasons)

    def _ask(self, named: NamedProvider, gaps: Sequence[Gap]) -> None:
        began = time.perf_counter()
        from server.data_download.sink import HostSink

        provider = named.open(self.cancel)
        self.tally.loading_s += time.perf_counter() - began
        sink = HostSink(
            provider=named.name,
            folder=self.folder,
            calendar=self.calendar,
            clock=self.clock,
            cancel=self.cancel,
            listener=self.listener,
            tally=self.tally,
            wanted={gap.symbol: frozenset(gap.days) for gap in gaps},
        )
        try:
            if self.resolution not in provider.resolutions:
                raise ConfigurationError(
                    f"the provider {named.name} has no {self.resolution.value} bars, only "
                    + ", ".join(sorted(known.value for known in provider.resolutions))
                )
            provider.fetch(gaps, sink)
        finally:
            sink.close()
            provider.close()

    def _still_missing(self, gaps: Sequence[Gap], *, only_survivable: bool) -> list[Gap]:
        """The gaps as they are now that the locks are held: another run may have filled them meanwhile."""
        missing = []
        for gap in gaps:
            holdings, _ = self.folder.holdings(gap.symbol, gap.resolution, gap.days)
            now = find_gap(gap.days, holdings, self.clock(), self.calendar)
            if now and only_survivable:
                reasons = self.tally.reasons[gap.symbol]
                days = tuple(day for day in now.days if day in reasons and reasons[day].allows_fallback)
                now = evolve(now, days=days, refresh=now.refresh.intersection(days)) if days else None
            if now:
                missing.append(evolve(now, refresh=now.refresh | gap.refresh.intersection(now.days)))
        return missing

    def _notice_fallback(self, named: NamedProvider, gaps: Sequence[Gap]) -> None:
        days = sum(len(gap.days) for gap in gaps)
        why = self.tally.reasons[gaps[0].symbol][gaps[0].days[0]]
        self.notice(f"{self.providers[0].name} failed ({why}); {days} symbol-days go to the fallback {named.name}")

    # --- afterwards ---

    def outcomes(self, gap: Gap) -> Mapping[str, AbstractSet[date]]:
        """The days of a gap by what became of them, as the data folder has it now."""
        holdings, _ = self.folder.holdings(gap.symbol, gap.resolution, gap.days)
        through = self.calendar.settled_through(self.clock())
        days = set(gap.days)
        stale = {day for day in holdings.provisional if day <= through}
        there = (days & holdings.on_disk) - stale
        downloaded = there & self.tally.delivered[gap.symbol]
        empty = (days - holdings.on_disk - holdings.damaged) & holdings.empty.keys()
        return {
            "downloaded": downloaded,
            "present": there - downloaded,
            "empty": empty,
            "failed": days - there - empty,
        }

    def failures(self, gap: Gap, days: Sequence[date]) -> list[Failure]:
        """The failed days of a gap, together by their reason."""
        groups: defaultdict[tuple[str, str, bool], list[date]] = defaultdict(list)
        for day in days:
            error = self.tally.reasons[gap.symbol].get(day) or self._unexplained(gap)
            groups[str(error), error.code, error.allows_fallback].append(day)
        return [
            Failure(
                symbol=gap.symbol,
                resolution=gap.resolution,
                days=tuple(grouped),
                error=text,
                code=code,
                allows_fallback=allows_fallback,
            )
            for (text, code, allows_fallback), grouped in groups.items()
        ]

    def _unexplained(self, gap: Gap) -> BacktestServerError:
        if self.cancel.cancelled:
            return Cancelled("the run was stopped before this was fetched; run it again to go on")
        return DownloadError(
            f"{gap.symbol} {gap.resolution.value}: the provider {self._used[-1]} ended without delivering these days; "
            "run with --debug and report it to the provider's authors"
        )

    # --- telling ---

    def tell(self, kind: EventKind, **facts: Any) -> None:
        """Send an event of the host's own."""
        facts = {"provider": self.providers[0].name, **facts}
        self.listener(ProgressEvent(kind=kind, at=self.clock(), resolution=self.resolution, **facts))

    def count(self, kind: EventKind, **facts: Any) -> None:
        """Count what was sent beside the bars, and tell it (see `Tell`)."""
        kept = facts.pop("kept", kind == "notice")
        with self._counting:
            self.tally.beside_calls += facts.get("api_calls", 0)
            message = facts.get("message", "")
            if kept and message not in self.tally.notices:
                self.tally.notices.append(message)
        event = ProgressEvent(kind=kind, at=self.clock(), **{"provider": self.providers[0].name, **facts})
        self.listener(event)

    def notice(self, message: str) -> None:
        """Tell people something, now and in the report."""
        self.tally.notices.append(message)
        self.tell("notice", message=message)
