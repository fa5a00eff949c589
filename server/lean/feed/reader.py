"""Reads a share's files from trading day to trading day, as the engine does.

Source: LEAN, ``SubscriptionDataReader`` with ``DateChangeTimeKeeper``: a file is read until it ends or until the share
has another ticker; each trading day that begins brings the events of that day; a bar that does not end later than the
one before it is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

from attrs import Factory, define

from server.lean.errors import FormatError
from server.lean.feed.events import EventFinder
from server.lean.feed.files import FeedFiles
from server.lean.feed.items import Bar, Event, FeedRequest, Item, Loss
from server.lean.feed.rows import read_file_rows
from server.lean.feed.sessions import Sessions
from server.lean.feed.share import Share
from server.lean.layout import Layout, layout_of
from server.lean.series import Resolution, Series


@define
class RawFeed:
    """What the engine reads of a share, before sessions and normalization.

    Attributes:
        bars: The raw bars, in the order of reading.
        events: The events.
        losses: What it does not read.
        missing: Days that have no file, with its path.
        paths: The files that were read.
        ended_on: The day on which an event without a reference price ended the data.
    """

    bars: list[Bar] = Factory(list)
    events: list[Event] = Factory(list)
    losses: list[Loss] = Factory(list)
    missing: dict[str, date] = Factory(dict)
    paths: list[str] = Factory(list)
    ended_on: date | None = None


def read_share(
    files: FeedFiles, share: Share, resolution: Resolution, sessions: Sessions, request: FeedRequest
) -> RawFeed:
    """Return the bars and events that the engine reads of a share, before sessions and normalization.

    Args:
        files: The data folder.
        share: The share.
        resolution: The length of a bar.
        sessions: The sessions around the range.
        request: The range.
    """
    reader = _Reader(files, share, resolution, sessions, request)
    try:
        reader.run()
    except FormatError as error:
        day = reader.day
        reader.feed.ended_on = day
        reader.feed.losses.append(Loss(day, request.end, share.factor_path, str(error)))
    return reader.feed


class _Reader:
    """The position in the trading days and in the current file."""

    def __init__(
        self, files: FeedFiles, share: Share, resolution: Resolution, sessions: Sessions, request: FeedRequest
    ) -> None:
        self.feed = RawFeed()
        self.day = request.start
        self._files = files
        self._share = share
        self._resolution = resolution
        self._request = request
        self._finder = EventFinder(share, request.start)
        self._days = sessions.between(request.start, request.end)
        self._visited = 0
        self._begin = max(request.begin, datetime.combine(share.first_read_day, time()))
        self._previous_end = datetime.min
        self._price = 0.0
        self._source: Layout | None = None

    def run(self) -> None:
        """Read all files of the range."""
        while (rows := self._next_file()) is not None:
            if not self._read(rows):
                return

    def _read(self, rows: Sequence[Bar]) -> bool:
        """Take the bars of a file, and of the files of later tickers; return whether the range goes on."""
        remaining = iter(rows)
        renamed_at = datetime.min
        while (bar := next(remaining, None)) is not None:
            if self._advance(bar.start.date()):
                renamed_at = self._midnight()
                remaining = iter(self._open())
            elif bar.end < renamed_at or bar.end <= self._previous_end:
                continue
            elif bar.end < self._begin:
                self._previous_end, renamed_at = bar.end, datetime.min
            elif bar.start >= self._request.finish:
                return False
            else:
                self._previous_end, self._price, renamed_at = bar.end, bar.close, datetime.min
                self.feed.bars.append(bar)
        return True

    def _advance(self, day: date) -> bool:
        """Visit the trading days up to a day; stop and return True at one on which the share has another ticker."""
        while self._visited < len(self._days) and self._days[self._visited] <= day:
            ticker = self._finder.ticker
            self._visit()
            if self._finder.ticker != ticker:
                return True
        return False

    def _visit(self) -> None:
        self.day = self._days[self._visited]
        self._visited += 1
        self.feed.events += self._finder.visit(self.day, self._price)

    def _next_file(self) -> Sequence[Bar] | None:
        """Visit days until one has a file that was not just read, and return its bars; None at the end of the range."""
        last = self._share.delisted_on + timedelta(days=1) if self._share.map_rows else date.max
        while self._visited < len(self._days):
            self._visit()
            if self.day > last:
                return None
            read_beyond = self._previous_end > self._midnight()
            if self._share.has_data(self.day) and not read_beyond and self._is_new_source():
                return self._open()
        return None

    def _midnight(self) -> datetime:
        return datetime.combine(self.day, time())

    def _is_new_source(self) -> bool:
        layout = self._layout()
        return not layout.one_file or layout != self._source

    def _layout(self) -> Layout:
        return layout_of(Series(self._finder.ticker, self._resolution))

    def _open(self) -> Sequence[Bar]:
        """Return the bars of the current ticker's file."""
        layout = self._layout()
        self._source = layout
        day = None if layout.one_file else self.day
        path = layout.path(day)
        data = self._files.read(path)
        if data is None:
            self.feed.missing[path] = self.day
            return ()
        self.feed.paths.append(path)
        found = read_file_rows(layout, data, day)
        self.feed.losses += found.losses
        return found.bars


def in_order(feed: RawFeed) -> list[Item]:
    """Return bars and events by the instant of their end; of one instant, bars first."""
    items: list[Item] = [*feed.bars, *feed.events]
    return sorted(items, key=lambda item: item.end)
