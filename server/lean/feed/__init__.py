"""What LEAN's engine feeds an algorithm from a data folder, line by line, and what it loses of it. Pure.

Public: `read_feed`, its `Feed`, `FeedRequest` and `Mode`, the items, `Loss`, and the protocols `FeedFiles` and
`TradingCalendar` of what is passed in; for callers that need no object for each bar `FeedReader`, its `ShareFeed` with
`Columns`, and `normalize`; and `trade_paths`.
"""

from __future__ import annotations

from server.lean.feed.columns import Columns
from server.lean.feed.feed import Feed, FeedReader, ShareFeed, read_feed
from server.lean.feed.files import FeedFiles
from server.lean.feed.items import (
    Bar,
    Delisting,
    DelistingKind,
    Dividend,
    FeedRequest,
    Item,
    Loss,
    LossKind,
    Mode,
    Rename,
    Split,
    SplitKind,
)
from server.lean.feed.normalize import normalize
from server.lean.feed.paths import trade_paths
from server.lean.feed.sessions import TradingCalendar

__all__ = [
    "Bar",
    "Columns",
    "Delisting",
    "DelistingKind",
    "Dividend",
    "Feed",
    "FeedFiles",
    "FeedReader",
    "FeedRequest",
    "Item",
    "Loss",
    "LossKind",
    "Mode",
    "Rename",
    "ShareFeed",
    "Split",
    "SplitKind",
    "TradingCalendar",
    "normalize",
    "read_feed",
    "trade_paths",
]
