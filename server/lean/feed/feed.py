"""What LEAN feeds an algorithm: the bars and events of one share, and the items of several merged by instant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import numpy as np
from attrs import evolve, frozen

from server.lean.days import MS_PER_DAY
from server.lean.feed.columns import Columns, Mask, clock_ms, day_of
from server.lean.feed.files import FeedFiles
from server.lean.feed.fill_forward import Filling
from server.lean.feed.items import Bar, Delisting, DelistingKind, Event, FeedRequest, Item, Loss, Split
from server.lean.feed.losses import losses_of
from server.lean.feed.normalize import normalize
from server.lean.feed.reader import RawFeed, read_share
from server.lean.feed.sessions import Sessions, TradingCalendar
from server.lean.feed.share import MapFiles, Share, find_share
from server.lean.layout import layout_of
from server.lean.series import Resolution, Series


@frozen
class Feed:
    """What is fed.

    Attributes:
        items: In LEAN's order.
        losses: Data of the range that LEAN does not feed.
    """

    items: tuple[Item, ...]
    losses: tuple[Loss, ...]


@frozen(kw_only=True, eq=False)
class ShareFeed:
    """What is fed of one share.

    Attributes:
        share: The share.
        bars: Its bars, raw.
        events: Its events, in the order in which they are fed.
        losses: Data of the range that LEAN does not feed.
        paths: The files that were read.
        missing: The files that do not exist.
        bars_outside: The number of bars that were read and are outside the sessions.
    """

    share: Share
    bars: Columns
    events: tuple[Event, ...]
    losses: tuple[Loss, ...]
    paths: tuple[str, ...]
    missing: tuple[str, ...]
    bars_outside: int


class FeedReader:
    """Reads what LEAN feeds of one share after the other."""

    def __init__(
        self, files: FeedFiles, resolution: Resolution, request: FeedRequest, calendar: TradingCalendar
    ) -> None:
        """Read nothing yet.

        Args:
            files: The data folder.
            resolution: The length of a bar.
            request: The range, and what is subscribed to.
            calendar: Has the trading days of the range.
        """
        self._files = files
        self._resolution = resolution
        self._request = request
        self._sessions = Sessions.around(calendar, request.start, request.end)
        self._maps = MapFiles(files)

    def find(self, symbol: str) -> Share:
        """Return the share that LEAN takes a ticker for.

        Args:
            symbol: As the algorithm names it, in capitals.
        """
        return find_share(self._maps, symbol, self._request.today)

    def read(self, share: Share) -> ShareFeed:
        """Return what LEAN feeds of a share, raw."""
        request, sessions = self._request, self._sessions
        raw = read_share(self._files, share, self._resolution, sessions, request)
        events = sorted(raw.events, key=lambda event: event.day)
        bars = self._in_order(raw, events)
        read, closed = int(np.count_nonzero(bars.start >= clock_ms(request.start))), set[date]()
        if self._is_daily:
            bars, closed = self._with_session_times(bars)
        if request.fill_forward:
            bars = self._filled(bars, events, to_end=raw.ended_on is None)
        fed = bars[self._is_fed(bars)]
        outside = read - int(np.count_nonzero(~fed.filled))
        if not self._is_daily:
            fed = self._with_whole_starts(fed)
        fed, events = _until_delisted(fed, events, clock_ms(request.start))
        return ShareFeed(
            share=share,
            bars=fed,
            events=tuple(events),
            losses=losses_of(raw, share, sessions, request, closed),
            paths=tuple(raw.paths),
            missing=tuple(raw.missing),
            bars_outside=outside,
        )

    @property
    def _length(self) -> int:
        return layout_of(Series("A", self._resolution)).bar_ms

    @property
    def _is_daily(self) -> bool:
        return self._length >= MS_PER_DAY

    @property
    def _is_extended(self) -> bool:
        return self._request.extended_hours and not self._is_daily

    def _in_order(self, raw: RawFeed, events: Sequence[Event]) -> Columns:
        """The bars with their place among the events: of one instant, bars first."""
        bars = Columns.joined(raw.parts)
        instants = np.array([clock_ms(event.day) for event in events], np.int64)
        return evolve(bars, events_before=np.searchsorted(instants, bars.end, side="left"))

    def _with_session_times(self, bars: Columns) -> tuple[Columns, set[date]]:
        """Give daily bars the times of their session (LEAN: ``SetStrictEndTimes``).

        Returns:
            The bars, without those of days without a session; and those days.
        """
        opens, closes = self._sessions.last_before(bars.end)
        closed = closes < bars.start
        kept = ~closed & (closes >= clock_ms(self._request.start))
        days = {day_of(number) for number in bars.day_numbers[closed].tolist()}
        return bars[kept].with_times(opens[kept], closes[kept]), days

    def _filled(self, bars: Columns, events: Sequence[Event], *, to_end: bool) -> Columns:
        filling = Filling(self._sessions, timedelta(milliseconds=self._length), self._is_extended, self._request.finish)
        found, before, count = list[Bar](), list[int](), 0
        for item in filling.fill(_in_sequence(bars, events), to_end=to_end):
            if isinstance(item, Bar):
                found.append(item)
                before.append(count)
            else:
                count += 1
        return Columns.of_bars(found, before)

    def _is_fed(self, bars: Columns) -> Mask:
        """Which bars are within the range and its sessions (LEAN: ``SubscriptionFilterEnumerator``)."""
        begin, finish = clock_ms(self._request.start), clock_ms(self._request.end) + MS_PER_DAY
        is_open = self._sessions.overlapping(bars.start, bars.end, extended=self._is_extended)
        return (bars.start >= begin) & (bars.start < finish) & is_open

    def _with_whole_starts(self, bars: Columns) -> Columns:
        """Bars of rows between two intervals begin with the first of them (LEAN: ``SubscriptionData.Create``)."""
        start = bars.start // self._length * self._length
        return bars.with_times(start, np.where(start == bars.start, bars.end, start + self._length))


def read_feed(
    files: FeedFiles,
    symbols: Sequence[str],
    resolution: Resolution,
    request: FeedRequest,
    calendar: TradingCalendar,
) -> Feed:
    """Return what LEAN feeds an algorithm that subscribes to symbols at a resolution.

    Args:
        files: The data folder.
        symbols: As the algorithm names them, in capitals.
        resolution: The length of a bar.
        request: The range, and what is subscribed to.
        calendar: Has the trading days of the range.
    """
    reader = FeedReader(files, resolution, request, calendar)
    shares: dict[str, Share] = {}
    for share in map(reader.find, symbols):
        shares.setdefault(share.key, share)  # two tickers of one share are one subscription
    feeds = [reader.read(share) for share in shares.values()]
    return Feed(tuple(_merged(feeds, request)), tuple(loss for feed in feeds for loss in feed.losses))


def _in_sequence(bars: Columns, events: Sequence[Event]) -> Iterator[Item]:
    """Bars and events as items, in their order."""
    position = 0
    for bar, before in zip(bars.bars(), bars.events_before.tolist(), strict=True):
        yield from events[position:before]
        position = before
        yield bar
    yield from events[position:]


def _until_delisted(bars: Columns, events: Sequence[Event], begin: int) -> tuple[Columns, list[Event]]:
    """Bars and events of the range to the delisting: the engine then removes the share."""
    fed: list[Event] = []
    places: list[int] = []
    last = len(events)
    for place, event in enumerate(events):
        if clock_ms(event.day) < begin:
            continue
        fed.append(event)
        places.append(place)
        if isinstance(event, Delisting) and event.kind is DelistingKind.DELISTED:
            last = place
            break
    kept = bars[bars.events_before <= last]
    return evolve(kept, events_before=np.searchsorted(np.array(places, np.int64), kept.events_before)), fed


def _merged(feeds: Sequence[ShareFeed], request: FeedRequest) -> Iterator[Item]:
    """Merge the items of shares by instant: splits, dividends, delistings, renames, then bars by ticker.

    An algorithm gets one event of a kind for each share and instant, the last one: a split that takes place is not
    seen where another one is announced on that day (LEAN: ``TimeSliceFactory``).
    """
    items: list[Item] = []
    keys: list[tuple[int, int, str, int]] = []
    for number, feed in enumerate(feeds):
        events = _visible(feed.events)
        items += events
        keys += [(clock_ms(event.day), event.order, "", number) for event in events]
        bars = normalize(feed.bars, feed.events, feed.share.factor_rows, request.mode)
        items += bars.bars()
        keys += [
            (end, _AFTER_EVENTS, ticker, number) for end, ticker in zip(bars.end.tolist(), bars.ticker, strict=True)
        ]
    return (items[place] for place in sorted(range(len(items)), key=keys.__getitem__))


_AFTER_EVENTS = 4
"""The place of bars in their instant."""


def _visible(events: Sequence[Event]) -> list[Event]:
    last = {event.day: event for event in events if isinstance(event, Split)}
    return [event for event in events if not isinstance(event, Split) or last[event.day] is event]
