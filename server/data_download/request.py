"""What a download is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from attrs import field, frozen

from server.lean.series import Resolution, parse_symbols


@frozen(kw_only=True)
class DownloadRequest:
    """Symbols and a range of days, first and last included, at one resolution.

    ``symbols`` are parsed, and repeated ones removed.

    Attributes:
        refresh: Whether everything is requested again, present days and known events included, without a cache.
        only: The days of each symbol, where not all of the range are wanted.

    Raises:
        ValueError: A text that is not a symbol, no symbol at all, or an end before the start.
    """

    symbols: tuple[str, ...] = field(converter=parse_symbols)
    resolution: Resolution
    start: date
    end: date
    refresh: bool = False
    only: Mapping[str, frozenset[date]] | None = field(default=None, hash=False)

    def __attrs_post_init__(self) -> None:
        if not self.symbols:
            raise ValueError("no symbol was given; name at least one, for example SPY")
        if self.end < self.start:
            raise ValueError(f"the end {self.end} lies before the start {self.start}; swap them")

    def days_of(self, symbol: str, days: Sequence[date]) -> Sequence[date]:
        """Return those of the days that are wanted of a symbol."""
        if self.only is None:
            return days
        wanted = self.only.get(symbol, frozenset())
        return [day for day in days if day in wanted]
