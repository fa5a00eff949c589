"""Evidence about tickers from daily bars and the vendor's ticker details: who had one on a day, and what traded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from itertools import pairwise

from attrs import frozen

from server.corporate_actions.closes import DailyBars
from server.corporate_actions.identity import is_same_holder
from server.corporate_actions.model import CorporateActionSource, Listing
from server.corporate_actions.price_changes import distance
from server.corporate_actions.price_check import FIT
from server.corporate_actions.renames import DRIFT, ChangeWindow
from server.data_download.errors import BadResponseError, PlanLimitError

_BAD_REQUEST = 400


def listing_on(source: CorporateActionSource, ticker: str, day: date) -> Listing | None:
    """Return the holder of a ticker on a day; None also if the vendor does not serve that day."""
    try:
        return source.listing(ticker, day)
    except PlanLimitError:
        return None
    except BadResponseError as error:
        if error.status != _BAD_REQUEST:
            raise
        return None


@frozen
class ShareEvidence:
    """`RenameEvidence` about one share.

    Attributes:
        listing: Reference data of its ticker; None if the vendor has none.
        source: The vendor's corporate actions.
        bars: Daily bars on disk; missing ones are downloaded.
        last_day: The newest settled session.
    """

    listing: Listing | None
    source: CorporateActionSource
    bars: DailyBars
    last_day: date

    def traded(self, window: ChangeWindow) -> Mapping[str, set[date]]:
        """The days of a window on which each ticker traded."""
        return self.bars.days_traded(window, self.last_day)

    def is_other_holder(self, ticker: str, day: date) -> bool | None:
        """Whether another share had a ticker on a day."""
        found = listing_on(self.source, ticker, day)
        if found is None or self.listing is None:
            return None
        same = is_same_holder(self.listing, found, paused=False)
        if same is None or (same and found.delisted == day):  # it may have lost the ticker on that very day
            return None
        return not same

    def taken_over(self, ticker: str, day: date) -> bool:
        """Whether the share that has a ticker now had another one until about that day."""
        changes = self.source.renames(ticker).changes
        return any(
            change.ticker == ticker and abs(change.first_day - day) <= DRIFT and before.ticker != ticker
            for before, change in pairwise(changes)
        )

    def continues(self, window: ChangeWindow, last: date, first: date) -> bool:
        """Whether two closes are within the factor by which splits are recognised."""
        before = self.bars.history(window.old, [last]).get(last)
        after = self.bars.history(window.new, [first]).get(first)
        return bool(before and after) and distance(Fraction(before or 1), Fraction(after or 1)) <= FIT
