"""What LEAN feeds an algorithm: the items of one share, and of several merged by instant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta

from attrs import frozen

from server.lean.feed.files import FeedFiles
from server.lean.feed.fill_forward import Filling, round_down
from server.lean.feed.items import Bar, Delisting, DelistingKind, FeedRequest, Item, Loss, Split
from server.lean.feed.losses import losses_of
from server.lean.feed.normalize import normalize
from server.lean.feed.reader import in_order, read_share
from server.lean.feed.sessions import Sessions, TradingCalendar
from server.lean.feed.share import MapFiles, Share, find_share
from server.lean.layout import layout_of
from server.lean.series import Resolution, Series

_DAY = timedelta(days=1)


@frozen
class Feed:
    """What is fed.

    Attributes:
        items: In LEAN's order.
        losses: Data of the range that LEAN does not feed.
    """

    items: tuple[Item, ...]
    losses: tuple[Loss, ...]


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
    sessions = Sessions.around(calendar, request.start, request.end)
    shares: dict[str, Share] = {}
    maps = MapFiles(files)
    for symbol in symbols:
        share = find_share(maps, symbol, request)
        shares.setdefault(share.key, share)  # two tickers of one share are one subscription
    feeds = [_read_share(files, share, resolution, request, sessions) for share in shares.values()]
    items = merge([feed.items for feed in feeds])
    return Feed(tuple(items), tuple(loss for feed in feeds for loss in feed.losses))


def _read_share(
    files: FeedFiles, share: Share, resolution: Resolution, request: FeedRequest, sessions: Sessions
) -> Feed:
    length = timedelta(milliseconds=layout_of(Series(share.ticker, resolution)).bar_ms)
    raw = read_share(files, share, resolution, sessions, request)
    extended = request.extended_hours and length < _DAY
    items: Iterable[Item] = in_order(raw)
    closed: set[date] = set()
    if length >= _DAY:
        items = _with_session_times(items, sessions, closed, request.begin)
    if request.fill_forward:
        items = Filling(sessions, length, extended, request.finish).fill(items, to_end=raw.ended_on is None)
    items = _subscribed(items, sessions, request, extended=extended)
    if length < _DAY:
        items = _with_rounded_starts(items, length)
    fed = tuple(_until_delisted(normalize(items, share.factor_rows, request.mode)))
    return Feed(fed, losses_of(raw, share, sessions, request, closed))


def _with_session_times(
    items: Iterable[Item], sessions: Sessions, closed: set[date], begin: datetime
) -> Iterator[Item]:
    """Give daily bars the times of their session, and drop those of days without one (LEAN: ``SetStrictEndTimes``).

    Args:
        items: Bars that begin and end at midnight, and events.
        sessions: The sessions around the range.
        closed: Receives the days of bars that are dropped.
        begin: When the range begins; what ends before it is dropped.
    """
    for item in items:
        if not isinstance(item, Bar):
            yield item
            continue
        hours = sessions.session_before(item.end)
        if hours is None or hours[1] < item.start:
            closed.add(item.start.date())
        elif hours[1] >= begin:
            yield item._replace(start=hours[0], end=hours[1])


def _subscribed(items: Iterable[Item], sessions: Sessions, request: FeedRequest, *, extended: bool) -> Iterator[Item]:
    """The items within the range and its sessions (LEAN: ``SubscriptionFilterEnumerator``)."""
    begin, finish = request.begin, request.finish
    for item in items:
        if item.start < begin:
            continue
        if isinstance(item, Bar) and not sessions.overlaps(item.start, item.end, extended=extended):
            continue
        if item.start >= finish:
            return
        yield item


def _with_rounded_starts(items: Iterable[Item], length: timedelta) -> Iterator[Item]:
    """Bars of rows between two intervals begin with the first of them (LEAN: ``SubscriptionData.Create``)."""
    for item in items:
        if isinstance(item, Bar):
            start = round_down(item.start, length)
            yield item if start == item.start else item._replace(start=start, end=start + length)
        else:
            yield item


def _until_delisted(items: Iterable[Item]) -> Iterator[Item]:
    """The items to the delisting: the engine then removes the share."""
    for item in items:
        yield item
        if isinstance(item, Delisting) and item.kind is DelistingKind.DELISTED:
            return


def merge(feeds: Sequence[Sequence[Item]]) -> list[Item]:
    """Merge the items of shares by instant: splits, dividends, delistings, renames, then bars by ticker.

    An algorithm gets one event of a kind for each share and instant, the last one: a split that takes place is not
    seen where another one is announced on that day (LEAN: ``TimeSliceFactory``).
    """
    keyed = [(item.end, *_place(item, number), item) for number, items in enumerate(feeds) for item in _visible(items)]
    keyed.sort(key=lambda entry: entry[:-1])
    return [entry[-1] for entry in keyed]


def _visible(items: Sequence[Item]) -> Iterator[Item]:
    last = {item.day: item for item in items if isinstance(item, Split)}
    return (item for item in items if not isinstance(item, Split) or last[item.day] is item)


def _place(item: Item, number: int) -> tuple[int, str, int]:
    """The place of an item in its instant."""
    if isinstance(item, Bar):
        return 4, item.ticker, number
    return item.order, "", number
