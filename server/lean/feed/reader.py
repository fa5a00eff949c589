"""Reads a share's files from trading day to trading day, as the engine does.

Source: LEAN, ``SubscriptionDataReader`` with ``DateChangeTimeKeeper``: a file is read until it ends or until the share
has another ticker; each trading day that begins brings the events of that day; a bar that does not end later than the
one before it is dropped.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
from attrs import Factory, define

from server.lean.days import MS_PER_DAY
from server.lean.errors import FormatError
from server.lean.feed.columns import CLOSE, Columns, clock_ms, day_number
from server.lean.feed.events import EventFinder
from server.lean.feed.files import FeedFiles
from server.lean.feed.items import Event, FeedRequest, Loss, LossKind
from server.lean.feed.rows import no_rows, read_file_rows
from server.lean.feed.sessions import Sessions
from server.lean.feed.share import Share
from server.lean.layout import Layout, layout_of
from server.lean.series import Resolution, Series

_NEVER = -(1 << 62)
"""An instant before all others."""


@define
class RawFeed:
    """What the engine reads of a share, before sessions and normalization.

    Attributes:
        parts: The raw bars of each file, in the order of reading.
        events: The events, in the order in which they are found.
        losses: What it does not read.
        missing: Days that have no file, with its path.
        paths: The files that were read.
        ended_on: The day on which an event without a reference price ended the data.
    """

    parts: list[Columns] = Factory(list)
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
    reader.run()
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
        self._day_numbers = [day_number(day) for day in self._days]
        self._visited = 0
        self._eventful = self._finder.eventful(self._days)
        self._begin = clock_ms(max(request.start, share.first_read_day))
        self._finish = clock_ms(request.end) + MS_PER_DAY
        self._previous_end = _NEVER
        self._price = 0.0
        self._source: Layout | None = None
        self._is_over = False

    def run(self) -> None:
        """Read all files of the range."""
        while (rows := self._next_file()) is not None:
            renamed_at = _NEVER
            while rows is not None:
                rows = self._read(rows, renamed_at)
                renamed_at = clock_ms(self.day)
            if self._is_over:
                return

    def _read(self, rows: Columns, renamed_at: int) -> Columns | None:
        """Take the bars of a file up to the day of another ticker.

        Bars that do not end later than those before them are dropped, of the file of a new ticker those before it.

        Args:
            rows: The file's bars.
            renamed_at: When the file's ticker begins, if the share had another one before it.

        Returns:
            The bars of the file of the next ticker; None where the file is read to its end, or to the end of the range.
        """
        end = rows.end
        later = int(max(np.searchsorted(end, renamed_at), np.searchsorted(end, self._previous_end, side="right")))
        first = max(later, int(np.searchsorted(end, self._begin)))
        stop = max(later, int(np.searchsorted(rows.start, self._finish)))
        until, is_left = self._pass_days(rows, first, stop)
        self._take(rows[first : min(until, stop)])
        if min(until, stop) > later:
            self._previous_end = int(end[min(until, stop) - 1])
        self._is_over = self._is_over or until > stop
        return self._open() if is_left and not self._is_over else None

    def _pass_days(self, rows: Columns, first: int, stop: int) -> tuple[int, bool]:
        """Visit the trading days of a file on which something may happen, before the rows of those days are read.

        Args:
            rows: The file's bars.
            first: The place of the first bar that is taken.
            stop: The place of the first bar after the range.

        Returns:
            The place of the row at which reading stops, and whether the file is left for that of another ticker.
        """
        days, at = rows.day_numbers.tolist(), 0
        while at < len(days) and at <= stop:
            if at > first:
                self._price = float(rows.numbers[at - 1, CLOSE])
            if self._advance(days[at]):
                return at, True
            at = self._next_day(days, at)
        return at, False

    def _take(self, bars: Columns) -> None:
        if len(bars):
            self.feed.parts.append(bars)
            self._price = float(bars.numbers[-1, CLOSE])

    def _next_day(self, days: Sequence[int], at: int) -> int:
        """The place of the first row of the next day that has to be visited, after a place in a file."""
        place = self._next_eventful()
        return len(days) if place is None else bisect_left(days, self._day_numbers[place], at + 1)

    def _next_eventful(self) -> int | None:
        """The place of the next trading day on which something may happen."""
        at = bisect_left(self._eventful, self._visited)
        return self._eventful[at] if at < len(self._eventful) else None

    def _advance(self, day: int) -> bool:
        """Visit the trading days up to a day; stop and return True where the file is not read any further."""
        upto = bisect_right(self._day_numbers, day)
        while (place := self._next_eventful()) is not None and place < upto:
            ticker = self._finder.ticker
            self._visit(place)
            if self._is_over or self._finder.ticker != ticker:
                return True
        if upto > self._visited:
            self.day, self._visited = self._days[upto - 1], upto
        return False

    def _visit(self, place: int) -> None:
        self.day, self._visited = self._days[place], place + 1
        try:
            self.feed.events += self._finder.visit(self.day, self._price)
        except FormatError as error:
            self.feed.ended_on, self._is_over = self.day, True
            self.feed.losses.append(
                Loss(self.day, self._request.end, self._share.factor_path, str(error), LossKind.DAMAGED)
            )

    def _next_file(self) -> Columns | None:
        """Visit days until one has a file that was not just read, and return its bars; None at the end of the range."""
        last = self._share.delisted_on + timedelta(days=1) if self._share.map_rows else date.max
        while self._visited < len(self._days):
            self._visit(self._visited)
            if self._is_over or self.day > last:
                return None
            read_beyond = self._previous_end > clock_ms(self.day)
            if self._share.has_data(self.day) and not read_beyond and self._is_new_source():
                return self._open()
        return None

    def _is_new_source(self) -> bool:
        layout = self._layout()
        return not layout.one_file or layout != self._source

    def _layout(self) -> Layout:
        return layout_of(Series(self._finder.ticker, self._resolution))

    def _open(self) -> Columns:
        """Return the bars of the current ticker's file."""
        layout = self._layout()
        self._source = layout
        day = None if layout.one_file else self.day
        path = layout.path(day)
        data = self._files.read(path)
        if data is None:
            self.feed.missing[path] = self.day
            return no_rows(layout)
        self.feed.paths.append(path)
        found = read_file_rows(layout, data, day)
        self.feed.losses += found.losses
        return found.bars
