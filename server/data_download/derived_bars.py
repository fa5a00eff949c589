"""Hour bars, and daily bars of the regular session, from the minutes of any provider.

The host uses no vendor's hour bars: theirs of 09:00 contains trades before the session. `DerivedBars` wraps a provider,
takes the minutes of a day from disk where they are whole, fetches the others from the provider without storing them,
and delivers what it aggregates from both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from server.core.events import Event
from server.data_download.availability import DayState, Gap, ask_again, find_gap
from server.data_download.data_folder import DataFolder
from server.data_download.provider import Capabilities, DataProvider, DataSink
from server.lean.series import DataType, Resolution, Series
from server.trading_calendar import USEquityTradingCalendar

if TYPE_CHECKING:
    from server.lean.aggregation import Sessions
    from server.lean.bars import Bars

DAYS_AT_ONCE = 250
"""Days, of files that hold one each, that are read from disk before their bars are delivered."""


@frozen(kw_only=True)
class Sources:
    """Where the bars of a gap come from.

    Attributes:
        on_disk: Days by the resolution that is on disk.
        empty: Days of which the finer bars are known to be empty.
        missing: The gap of the provider's minutes, which may have no days.
    """

    on_disk: tuple[tuple[Resolution, tuple[date, ...]], ...]
    empty: tuple[date, ...]
    missing: Gap


class DerivedBars:
    """A provider that delivers what can be aggregated from another one's minutes, and all else as that one does.

    See `DataProvider` for the contract of its methods.
    """

    def __init__(
        self,
        provider: DataProvider,
        folder: DataFolder,
        calendar: USEquityTradingCalendar,
        clock: Callable[[], datetime],
        *,
        regular_session: bool = False,
    ) -> None:
        """Wrap a provider; nothing is opened.

        Args:
            provider: Delivers the minutes.
            folder: What is on disk.
            calendar: The regular sessions.
            clock: Returns the current instant in UTC.
            regular_session: Whether daily bars are derived as well, if the provider delivers minutes.
        """
        self._provider = provider
        self._folder = folder
        self._calendar = calendar
        self._clock = clock
        self._regular_session = regular_session

    @property
    def capabilities(self) -> Capabilities:
        """Those of the provider, with hour bars only where they can be derived."""
        found = self._provider.capabilities
        if type(found) is not Capabilities:
            return found  # the host names the provider's mistake
        return evolve(found, resolutions=frozenset(found.resolutions - self._aggregated() | self._derived(found)))

    def plan(self, gaps: Sequence[Gap]) -> Sequence[str]:
        """The provider's requests for these gaps, or for the minutes that they need; none for what is on disk."""
        derived = self._derived(self._provider.capabilities)
        wanted = [gap for gap in gaps if not _is_derived(gap.series, derived)]
        wanted += _joined(self._sources(gap).missing for gap in gaps if _is_derived(gap.series, derived))
        return self._provider.plan(wanted)

    def fetch(self, gaps: Sequence[Gap], sink: DataSink) -> None:
        """Deliver these gaps: from disk, then from the provider."""
        derived = self._derived(self._provider.capabilities)
        plain = [gap for gap in gaps if not _is_derived(gap.series, derived)]
        if plain:
            self._notify_vendor_bars(plain, sink)
            self._provider.fetch(plain, sink)
        missing: dict[Series, Gap] = {}
        for gap in gaps:
            if sink.cancelled:
                return
            if _is_derived(gap.series, derived):
                missing[gap.series] = self._deliver_from_disk(gap, sink)
        if any(gap.days for gap in missing.values()) and not sink.cancelled:
            self._fetch_minutes(missing, sink)

    def close(self) -> None:
        """Close the provider."""
        self._provider.close()

    # --- what is derived ---

    def _aggregated(self) -> frozenset[Resolution]:
        from server.lean.aggregation import AGGREGATED

        return AGGREGATED

    def _derived(self, capabilities: Capabilities) -> frozenset[Resolution]:
        """The resolutions that are derived from what the provider delivers."""
        from server.lean.aggregation import SOURCES

        wanted = SOURCES.keys() if self._regular_session else self._aggregated()
        return frozenset(one for one in wanted if SOURCES[one][-1] in capabilities.resolutions)

    def _notify_vendor_bars(self, gaps: Sequence[Gap], sink: DataSink) -> None:
        from server.lean.aggregation import has_kinds

        if self._regular_session and any(has_kinds(gap.series) for gap in gaps):
            message = (
                "the provider has no minute bars to aggregate, so its own daily bars are stored, although daily-bars "
                "is regular-session"
            )
            sink.events.emit(Event(kind="notice", message=message))

    def sessions(self, days: Sequence[date]) -> Sessions:
        """The regular sessions of trading days."""
        import numpy as np

        from server.lean.aggregation import Sessions

        opens = [int(self._calendar.session_open(day).timestamp()) * 1000 for day in days]
        closes = [int(self._calendar.session_close(day).timestamp()) * 1000 for day in days]
        return Sessions(tuple(days), np.array(opens, np.int64), np.array(closes, np.int64))

    # --- from disk ---

    def _sources(self, gap: Gap) -> Sources:
        """Decide for each day of a gap; days that must not be answered from a cache are fetched."""
        from server.lean.aggregation import SOURCES

        now = self._clock()
        left = [day for day in gap.days if day not in gap.refresh]
        on_disk: list[tuple[Resolution, tuple[date, ...]]] = []
        empty: list[date] = []
        refresh = set(gap.refresh)
        source = gap.series
        for resolution in SOURCES[gap.series.resolution]:
            source = evolve(gap.series, resolution=resolution)
            if not left:
                continue
            state, _ = self._folder.catalog.scan(source, left)
            present = [day for day in left if state.of(day) is DayState.PRESENT]
            usable = self._usable(source, present)
            known = [day for day in left if state.of(day) is DayState.EMPTY and not ask_again(state.empty[day], now)]
            again = find_gap(left, state, now, self._calendar.settled_through(now))
            refresh |= again.refresh if again else frozenset()
            on_disk.append((resolution, tuple(usable)))
            empty += known
            left = sorted(set(left).difference(usable, known))
        days = tuple(sorted({*left, *gap.refresh}))
        missing = Gap(series=source, days=days, refresh=frozenset(refresh.intersection(days)))
        return Sources(on_disk=tuple(on_disk), empty=tuple(sorted(empty)), missing=missing)

    def _usable(self, source: Series, days: Sequence[date]) -> Sequence[date]:
        """The days of a source that can be aggregated; of hour bars those of the regular session only."""
        from server.data_download.bars_on_disk import regular_hours
        from server.lean.layout import layout_of

        if not days or not layout_of(source).one_file:
            return days
        return regular_hours(self._folder.path, source, days)[0]

    def _deliver_from_disk(self, gap: Gap, sink: DataSink) -> Gap:
        """Deliver what is on disk or known to be empty; returns the gap of minutes that has to be fetched."""
        from server.lean.bars import no_bars
        from server.lean.layout import layout_of

        sources = self._sources(gap)
        if sources.empty:
            sink.bars(gap.series, sources.empty, no_bars())
        unread: list[date] = []
        for resolution, days in sources.on_disk:
            source = evolve(gap.series, resolution=resolution)
            at_once = len(days) if layout_of(source).one_file else DAYS_AT_ONCE
            for begin in range(0, len(days), at_once or 1):
                if sink.cancelled:
                    break
                unread += self._deliver_days(gap.series, source, days[begin : begin + at_once], sink)
        missing = sources.missing
        return evolve(missing, days=tuple(sorted({*missing.days, *unread}))) if unread else missing

    def _deliver_days(self, target: Series, source: Series, days: Sequence[date], sink: DataSink) -> list[date]:
        """Aggregate days on disk; returns those that cannot be read."""
        from server.data_download.bars_on_disk import read_days

        bars, read = read_days(self._folder.path, source, days)
        if read:
            deliver(sink, target, read, self.aggregated(source, target, read, bars))
        return sorted(set(days).difference(read))

    def aggregated(self, source: Series, target: Series, days: Sequence[date], bars: Bars) -> Bars:
        """The bars of a target series from those of a source, all of them within trading days."""
        from server.lean.aggregation import aggregate

        return aggregate(bars, source.resolution, target.resolution, self.sessions(days))

    # --- from the provider ---

    def _fetch_minutes(self, missing: Mapping[Series, Gap], sink: DataSink) -> None:
        """Fetch the minutes that target series lack."""
        from server.data_download.derived_sink import DerivedSink

        targets: dict[Series, dict[Series, frozenset[date]]] = {}
        for target, gap in missing.items():
            if gap.days:
                targets.setdefault(gap.series, {})[target] = frozenset(gap.days)
        deriving = DerivedSink(sink, self.aggregated, targets)
        try:
            self._provider.fetch(_joined(missing.values()), deriving)
        finally:
            deriving.close()


def deliver(sink: DataSink, series: Series, days: Sequence[date], bars: Bars) -> None:
    """Deliver aggregated bars to a sink (see `DataSink.bars`); the host's sink records that they are aggregated."""
    from server.data_download.sink import HostSink

    if isinstance(sink, HostSink):
        sink.aggregated_bars(series, days, bars)
    else:
        sink.bars(series, days, bars)


def _is_derived(series: Series, derived: frozenset[Resolution]) -> bool:
    return series.resolution in derived and series.data_type is DataType.TRADE


def _joined(gaps: Iterable[Gap]) -> list[Gap]:
    """Gaps with days, each series once."""
    found: dict[Series, Gap] = {}
    for gap in gaps:
        if gap.days:
            found[gap.series] = found[gap.series].joined(gap) if gap.series in found else gap
    return list(found.values())
