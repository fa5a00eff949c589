"""What of a range the engine does not feed, with day and file. It reports almost none of it itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from itertools import pairwise

from server.core.text import count_text
from server.lean.feed.items import FeedRequest, Loss, LossKind
from server.lean.feed.reader import RawFeed
from server.lean.feed.rows import runs_of
from server.lean.feed.sessions import Sessions
from server.lean.feed.share import Share
from server.lean.price_adjustment import changes_factors

_ONE_DAY = timedelta(days=1)


def losses_of(
    raw: RawFeed, share: Share, sessions: Sessions, request: FeedRequest, closed: Iterable[date]
) -> tuple[Loss, ...]:
    """Return the losses of a share.

    Args:
        raw: What was read.
        share: The share.
        sessions: The sessions around the range.
        request: The range.
        closed: Days without a session that have a daily bar.
    """
    read = {day for bars in raw.parts for day in bars.days()}
    found = [*share.losses, *_events_without_a_session(share, sessions, request)]
    found += _days_outside(share, sessions, request, read)
    found += [loss for loss in raw.losses if _concerns(loss, request)]
    path = raw.paths[-1] if raw.paths else share.map_path
    found += [
        Loss(day, day, path, "the exchange was closed on that day, so LEAN drops the row", LossKind.IRREGULAR)
        for day in sorted(closed)
        if request.start <= day <= min(request.end, share.delisted_on)
    ]
    reported = {loss.first for loss in found if loss.first}
    return (*found, *_absent(raw, share, sessions, request, read | reported))


def _concerns(loss: Loss, request: FeedRequest) -> bool:
    if loss.first is None or loss.last is None:
        return True
    return loss.first <= request.end and loss.last >= request.start


def _events_without_a_session(share: Share, sessions: Sessions, request: FeedRequest) -> Iterator[Loss]:
    """The rows of the factor file that never pay a dividend and never announce a split."""
    trading_days = set(sessions.between(request.start, request.end))
    for row, newer in pairwise(share.factor_rows):
        if request.start <= row.date <= request.end and row.date not in trading_days and changes_factors(row, newer):
            reason = "the exchange was closed on that day, so LEAN scales prices by this row and never feeds its event"
            yield Loss(row.date, row.date, share.factor_path, reason, LossKind.IRREGULAR)


def _days_outside(share: Share, sessions: Sessions, request: FeedRequest, read: set[date]) -> Iterator[Loss]:
    """The days before the first row of the map or factor file, and after the last one of the map file."""
    first = share.first_read_day
    if first > request.start:
        by_map = bool(share.map_rows) and share.map_rows[0].date == first
        path = share.map_path if by_map else share.factor_path
        days = sessions.between(request.start, min(first - _ONE_DAY, request.end))
        for begin, end, _ in runs_of(set(days) - read, days):
            reason = f"LEAN reads the share from {first} on, by the first row of this file"
            yield Loss(begin, end, path, reason, LossKind.OUTSIDE)
    last = share.delisted_on
    days = sessions.between(max(last + _ONE_DAY, request.start), request.end)
    if days:
        reason = f"LEAN reads nothing after {last}, the last row of this file"
        yield Loss(days[0], days[-1], share.map_path, reason, LossKind.OUTSIDE)


def _absent(
    raw: RawFeed, share: Share, sessions: Sessions, request: FeedRequest, accounted: set[date]
) -> Iterator[Loss]:
    """The trading days of which no bar was read, and for which nothing else accounts."""
    first, last = max(request.start, share.first_read_day), min(request.end, share.delisted_on)
    if raw.ended_on is not None:
        last = min(last, raw.ended_on - _ONE_DAY)
    days = sessions.between(first, last)
    if any(loss.first is None for loss in raw.losses):
        return
    missing = {day: path for path, day in raw.missing.items()}
    for begin, end, count in runs_of(set(days) - accounted, days):
        path = missing.get(begin) or next(iter(raw.paths or raw.missing), share.map_path)
        what = "no file" if begin in missing or not raw.paths else "no row"
        yield Loss(begin, end, path, f"{what} for {count_text(count, 'trading day')}", LossKind.ABSENT)
