"""The values that travel from a request to the files on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Literal

from attrs import field, frozen

from server.core.json import json_options
from server.lean.series import Resolution, parse_symbol


@frozen(kw_only=True)
class Gap:
    """Trading days of one symbol that the host wants: not on disk, not known to be empty.

    ``days`` ascend. ``refresh`` are those among them that an earlier answer had left without bars or had
    covered before they were settled: a provider must not answer them from a cache.
    """

    symbol: str
    resolution: Resolution
    days: tuple[date, ...]
    refresh: frozenset[date] = frozenset()


def _sorted_symbols(symbols: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(parse_symbol(symbol) for symbol in symbols))


@frozen(kw_only=True)
class DownloadRequest:
    """Symbols and trading days, first and last included, at one resolution.

    ``symbols`` are parsed, and repeated ones dropped.

    Raises:
        ValueError: A symbol that is none, no symbol at all, or an end before the start.
    """

    symbols: tuple[str, ...] = field(converter=_sorted_symbols)
    resolution: Resolution
    start: date
    end: date

    def __attrs_post_init__(self) -> None:
        if not self.symbols:
            raise ValueError("no symbol was given; name at least one, for example SPY")
        if self.end < self.start:
            raise ValueError(f"the end {self.end} lies before the start {self.start}; swap them")


@frozen(kw_only=True)
class Failure:
    """Days of one symbol that are neither on disk nor known to be empty, and why.

    ``code`` is the error's stable word (see errors.py), ``allows_fallback`` whether another provider could help.
    """

    symbol: str
    resolution: Resolution
    days: tuple[date, ...]
    error: str
    code: str = field(default="data_download", metadata=json_options(omit=True))
    allows_fallback: bool = field(default=False, metadata=json_options(omit=True))


FileOutcome = Literal["written", "unchanged", "kept", "none"]
"""What became of a factor or map file: written; already as it should be; left as it stands, since it is somebody
else's or what it needs could not be had; not made."""


@frozen(kw_only=True)
class CorporateFiles:
    """What became of the two files that tell LEAN of a share's splits, dividends and tickers."""

    symbol: str
    factor_file: FileOutcome = "none"
    map_file: FileOutcome = "none"
    notices: tuple[str, ...] = ()


def nobody_was_asked(codes: Iterable[str]) -> bool:
    """Whether these are codes of errors, and all of them of a wrong key or a vendor that is not there."""
    found = set(codes)
    return bool(found) and found <= {"authentication", "provider_unavailable"}


@frozen(kw_only=True)
class DownloadReport:
    """What one download did.

    ``corporate_actions`` has an entry for each symbol whose splits, dividends and tickers were asked for. The requests
    for those are counted by themselves, and their time is not the download's.
    ``days_*`` count symbol-days; requested = present + downloaded + empty + failed.
    ``duration_s`` is the download itself: a process that needs its modules for the first time spends more.
    """

    provider: str
    resolution: Resolution
    symbols: tuple[str, ...]
    start: date
    end: date
    days_requested: int
    days_present: int
    days_downloaded: int
    days_empty: int
    days_failed: int
    api_calls: int
    http_cache_hits: int
    retries: int
    bytes_fetched: int
    bars: int
    started_at: datetime
    finished_at: datetime
    duration_s: float = field(metadata=json_options(digits=6))
    failures: tuple[Failure, ...] = ()
    notices: tuple[str, ...] = ()
    fallback: str | None = None
    cancelled: bool = False
    corporate_actions: tuple[CorporateFiles, ...] = ()
    corporate_api_calls: int = 0

    @property
    def complete(self) -> bool:
        """Whether every requested day is on disk or known to be empty."""
        return self.days_failed == 0 and not self.cancelled

    @property
    def never_reached_vendor(self) -> bool:
        """Whether nobody could be asked at all: a wrong key, or a vendor that is not there."""
        return nobody_was_asked(failure.code for failure in self.failures) and not self.cancelled
