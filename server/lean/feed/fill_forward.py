"""Fills missing bars with the bar before them (LEAN: ``FillForwardEnumerator``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
from attrs import evolve, frozen

from server.lean.feed.columns import VOLUME, Columns, Mask
from server.lean.feed.items import Bar, Delisting, DelistingKind, Event, Item
from server.lean.feed.sessions import Sessions

_DAY = timedelta(days=1)


@frozen
class Filling:
    """How bars of one series are filled.

    Attributes:
        sessions: The sessions around the range.
        length: The length of a bar.
        extended: Whether the extended hours are filled, too; daily bars have none.
        finish: The instant at which the range is over.
    """

    sessions: Sessions
    length: timedelta
    extended: bool
    finish: datetime

    def fill(self, items: Iterable[Item], *, to_end: bool = True) -> Iterator[Item]:
        """Return bars and events with the bars that are missing between them and after the last one.

        Bars outside the sessions count as the bar before a gap, so this comes before they are removed.

        Args:
            items: In the order of their ends.
            to_end: Whether bars after the last one are filled.
        """
        previous: Bar | None = None
        for item in items:
            while previous and (
                filled := self._between(previous, item.start, item.end, is_event=isinstance(item, Event))
            ):
                yield filled
                previous = filled
            yield item
            if isinstance(item, Bar):
                previous = item
            elif _ends(item):
                return
        if to_end and previous and previous.end < self.finish:
            yield from self._fill_end(previous)

    def _fill_end(self, previous: Bar) -> Iterator[Bar]:
        last = self._last_interval()
        if last is None:
            return
        start, end = last
        while filled := self._between(previous, start, end, is_event=False):
            yield filled
            previous = filled
        if self.sessions.overlaps(start, end, extended=self.extended) and start > previous.start:
            yield _repeated(previous, start, end)

    @property
    def _is_daily(self) -> bool:
        return self.length >= _DAY

    def _last_interval(self) -> tuple[datetime, datetime] | None:
        """The last bar that ends within the range."""
        if not self._is_daily:
            return self.finish - self.length, self.finish
        return self.sessions.session_before(self.finish)

    def _between(self, previous: Bar, start: datetime, end: datetime, *, is_event: bool) -> Bar | None:
        """The first bar that is missing after a bar and before the interval of the next bar or event."""
        if start - previous.start <= self.length:
            return None
        limit = end if self._is_daily or is_event else start + self.length
        for begin, finish in self._candidates(previous.end):
            if not (finish < limit or (is_event and finish == limit)):
                return None
            if self.sessions.overlaps(begin, finish, extended=self.extended):
                return _repeated(previous, begin, finish)
        return None

    def _candidates(self, after: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The intervals that may follow a bar: the next one, and the first one after the next open."""
        if not self._is_daily and self.sessions.overlaps(after, after + self.length, extended=self.extended):
            yield self._interval(after)
        opening = self.sessions.next_open(after, extended=self.extended)
        if opening is not None:
            yield self.sessions.hours(opening.date()) if self._is_daily else self._interval(opening)

    def _interval(self, instant: datetime) -> tuple[datetime, datetime]:
        start = round_down(instant, self.length)
        return start, start + self.length


def fill_columns(filling: Filling, bars: Columns, events: Sequence[Event], *, to_end: bool) -> Columns:
    """Return bars with those that are missing, as `Filling.fill` does; gaps within one session are filled at once.

    Args:
        filling: How they are filled.
        bars: Of one share.
        events: The share's events, of which each bar has the number that come before it.
        to_end: Whether bars after the last one are filled.
    """
    if not len(bars) or any(map(_ends, events[: int(bars.events_before[0])])):
        return bars[:0]
    length = round(filling.length.total_seconds() * 1000)
    follows_event = np.diff(bars.events_before) > 0
    gaps = np.diff(bars.start) > length
    within, outside = _within_session(filling, bars), _outside_sessions(filling, bars, length)
    at_once = gaps & ~follows_event & within
    parts, places = [bars], [2 * np.arange(len(bars)) + 1]  # what is filled comes before the bar of twice its place

    def add(part: Columns, place: npt.NDArray[np.int64]) -> None:
        parts.append(part)
        places.append(2 * place)

    add(*_filled_at_once(bars, np.flatnonzero(at_once), length))
    for place in (np.flatnonzero(follows_event | (gaps & ~within & ~outside)) + 1).tolist():
        between = events[int(bars.events_before[place - 1]) : int(bars.events_before[place])]
        part = _filled_between(filling, bars[place - 1 : place + 1], between, to_end=False)
        add(part, np.full(len(part), place))
        if any(map(_ends, between)):
            return _in_places(parts, places, last=2 * place)
    part = _filled_between(filling, bars[-1:], events[int(bars.events_before[-1]) :], to_end=to_end)
    add(part, np.full(len(part), len(bars)))
    return _in_places(parts, places)


def _within_session(filling: Filling, bars: Columns) -> Mask:
    """Which bars, from the second on, begin in the session in which the bar before ends."""
    _, closes = filling.sessions.last_before(bars.end[:-1] + 1, extended=filling.extended)
    found: Mask = (bars.start[1:] <= closes) & (filling.length < _DAY)
    return found


def _outside_sessions(filling: Filling, bars: Columns, length: int) -> Mask:
    """Before which bars, from the second on, the exchange is closed since the end of the bar before."""
    end, extended = bars.end[:-1], filling.extended
    opens = filling.sessions.next_opens(end, extended=extended) // length * length
    found: Mask = ~filling.sessions.overlapping(end, end + length, extended=extended) & (opens >= bars.start[1:])
    return found & (filling.length < _DAY)


def _filled_at_once(bars: Columns, places: npt.NDArray[np.intp], length: int) -> tuple[Columns, npt.NDArray[np.int64]]:
    """The bars that are missing after these places, and the places before which they come."""
    first = bars.end[places] // length * length
    counts = -((first - bars.start[places + 1]) // length)
    repeated = bars[np.repeat(places, counts)]
    steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    start = np.repeat(first, counts) + steps * length
    numbers = repeated.numbers.copy()
    numbers[:, VOLUME] = 0
    filled = evolve(repeated, start=start, end=start + length, numbers=numbers, filled=np.ones(len(start), np.bool_))
    return filled, np.repeat(places + 1, counts)


def _filled_between(filling: Filling, bars: Columns, events: Sequence[Event], *, to_end: bool) -> Columns:
    """The bars that are missing after the first of one or two bars."""
    first, *rest = bars.bars()
    found, before, count = list[Bar](), list[int](), int(bars.events_before[0])
    for item in filling.fill((first, *events, *rest), to_end=to_end):
        if isinstance(item, Event):
            count += 1
        elif item.filled:
            found.append(item)
            before.append(count)
    return Columns.of_bars(found, before)


def _in_places(
    parts: Sequence[Columns], places: Sequence[npt.NDArray[np.int64]], *, last: int | None = None
) -> Columns:
    """The bars of all parts in the order of their places, up to the last place if one is given."""
    place = np.concatenate(places)
    order = np.argsort(place, kind="stable")
    return Columns.joined(parts)[order if last is None else order[place[order] <= last]]


def _ends(event: Event) -> bool:
    return isinstance(event, Delisting) and event.kind is DelistingKind.DELISTED


def round_down(instant: datetime, length: timedelta) -> datetime:
    """Return the start of the interval that holds an instant; intervals are counted from midnight."""
    midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + (instant - midnight) // length * length


def _repeated(bar: Bar, start: datetime, end: datetime) -> Bar:
    return bar._replace(start=start, end=end, volume=0.0, filled=True)
