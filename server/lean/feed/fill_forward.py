"""Fills missing bars with the bar before them (LEAN: ``FillForwardEnumerator``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from attrs import frozen

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
            elif isinstance(item, Delisting) and item.kind is DelistingKind.DELISTED:
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


def round_down(instant: datetime, length: timedelta) -> datetime:
    """Return the start of the interval that holds an instant; intervals are counted from midnight."""
    midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + (instant - midnight) // length * length


def _repeated(bar: Bar, start: datetime, end: datetime) -> Bar:
    return bar._replace(start=start, end=end, volume=0.0, filled=True)
