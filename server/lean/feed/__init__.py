"""What LEAN's engine feeds an algorithm from a data folder, line by line, and what it loses of it. Pure.

Public: `read_feed`, its `Feed`, `FeedRequest` and `Mode`, the items, `Loss`, and the protocols `FeedFiles` and
`TradingCalendar` of what is passed in.
"""

from __future__ import annotations

from server.lean.feed.feed import Feed, read_feed
from server.lean.feed.files import FeedFiles
from server.lean.feed.items import (
    Bar,
    Delisting,
    DelistingKind,
    Dividend,
    FeedRequest,
    Item,
    Loss,
    Mode,
    Rename,
    Split,
    SplitKind,
)
from server.lean.feed.sessions import TradingCalendar

__all__ = [
    "Bar",
    "Delisting",
    "DelistingKind",
    "Dividend",
    "Feed",
    "FeedFiles",
    "FeedRequest",
    "Item",
    "Loss",
    "Mode",
    "Rename",
    "Split",
    "SplitKind",
    "TradingCalendar",
    "read_feed",
]
