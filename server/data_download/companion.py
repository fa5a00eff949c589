"""What goes along with a download of bars: which ticker a share had on which day, and files beside the bars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Protocol

from attrs import frozen

from server.core.cancel import CancelToken
from server.core.events import EventKind
from server.data_download.model import CorporateFiles, DownloadRequest


class Tickers(Protocol):
    """Which tickers a symbol had."""

    def __call__(self, symbol: str, first: date, last: date) -> tuple[list[tuple[str, date, date]], str]:
        """The range, both days included, in parts, each with its ticker; and a notice, or ""."""


def same_ticker(symbol: str, first: date, last: date) -> tuple[list[tuple[str, date, date]], str]:
    """Each symbol is its own ticker on all days."""
    return [(symbol, first, last)], ""


class Tell(Protocol):
    """Counts what was sent for the report, and tells whoever watches (see `DataSink.progress`).

    A notice goes into the report as well, unless ``kept`` is False.
    """

    def __call__(self, kind: EventKind, **facts: Any) -> None: ...


class Companion(Protocol):
    """Work that each download of bars brings with it. It raises nothing: what fails becomes a notice."""

    def before(self, symbols: Sequence[str], request: DownloadRequest, tell: Tell, cancel: CancelToken) -> bool:
        """Called once days are missing, with the symbols that lack some; says whether their tickers are others now."""

    def after(
        self, symbols: Sequence[str], request: DownloadRequest, tell: Tell, cancel: CancelToken
    ) -> tuple[CorporateFiles, ...]:
        """Called at the end with the symbols whose days are all there; says which files were made of them."""


@frozen
class Part:
    """Days of a symbol under the ticker that it had on them."""

    ticker: str
    days: tuple[date, ...]


def parts_of(ranges: Sequence[tuple[str, date, date]], days: Sequence[date]) -> list[Part]:
    """The days by ticker, each ticker once, in the order of their first days. The ranges hold all of the days."""
    if len(ranges) == 1:
        return [Part(ranges[0][0], tuple(days))]
    found: dict[str, list[date]] = {}
    for ticker, first, last in ranges:
        found.setdefault(ticker, []).extend(day for day in days if first <= day <= last)
    return [Part(ticker, tuple(mine)) for ticker, mine in found.items() if mine]
