"""Tickers without bars: the vendor's response about an unknown ticker equals that about days without trades."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date
from typing import TYPE_CHECKING

from attrs import Factory, define

from server.core.events import Event, EventStream
from server.data_download.errors import PlanLimitError, SymbolNotFoundError
from server.data_download.provider import ProviderContext
from server.lean.series import Series
from server.plugins.polygon_provider.config import PolygonConfig

if TYPE_CHECKING:
    from server.plugins.polygon_provider.reference import PolygonReference

SeriesDays = tuple[Series, tuple[date, ...]]
"""Days of a series."""


class ListingLookup:
    """Asks the vendor's reference data whether it knows a ticker. Used by several threads at once."""

    def __init__(
        self,
        config: PolygonConfig,
        context: ProviderContext,
        events: EventStream,
        pause: Callable[[float], bool],
    ) -> None:
        """Open nothing; the arguments are those of `PolygonReference`."""
        self._config = config
        self._context = context
        self._events = events
        self._pause = pause
        self._lock = threading.Lock()
        self._opened: PolygonReference | None = None

    def unknown(self, ticker: str) -> str | None:
        """Return why the vendor does not know a ticker; None if it does, active or inactive.

        Where the plan has no reference data this cannot be known; a notice is emitted and the result is None.

        Raises:
            BacktestServerError: The vendor could not be asked.
        """
        try:
            listing = self._reference().listing(ticker)
        except SymbolNotFoundError:
            listing = None
        except PlanLimitError as error:
            message = f"whether Polygon knows {ticker}, of which it has no bars, cannot be checked: {error}"
            self._events.emit(Event(kind="notice", symbol=ticker, message=message))
            return None
        if listing is not None:
            return None
        return (
            f"Polygon does not know {ticker}: it has no bars of it and lists it neither as active nor as inactive; "
            "check the symbol"
        )

    def close(self) -> None:
        """Cancel requests in progress, and close what was opened."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()

    def _reference(self) -> PolygonReference:
        from server.plugins.polygon_provider.reference import PolygonReference

        with self._lock:
            if self._opened is None:
                self._opened = PolygonReference(self._config, self._context, self._events, pause=self._pause)
            return self._opened


@define
class _Ticker:
    windows: int = 0
    has_bars: bool = False
    failed: bool = False
    held: list[SeriesDays] = Factory(list)


class TickersWithoutBars:
    """Holds the days of windows without bars until all windows of their ticker are fetched. Thread-safe."""

    def __init__(self, windows: Iterable[str]) -> None:
        """Count the windows of each ticker.

        Args:
            windows: The ticker of each window.
        """
        self._lock = threading.Lock()
        self._tickers: defaultdict[str, _Ticker] = defaultdict(_Ticker)
        for ticker in windows:
            self.add(ticker)

    def add(self, ticker: str) -> None:
        """Count one more window."""
        with self._lock:
            self._tickers[ticker].windows += 1

    def found_bars(self, ticker: str) -> list[SeriesDays]:
        """Record that a window has bars; returns the days held so far, which have none."""
        with self._lock:
            self._tickers[ticker].has_bars = True
            return self._take(ticker)

    def failed(self, ticker: str) -> None:
        """Record that a window failed."""
        with self._lock:
            self._tickers[ticker].failed = True

    def has_failed(self, ticker: str) -> bool:
        """Return whether a window failed."""
        with self._lock:
            return self._tickers[ticker].failed

    def hold(self, series: Series, days: tuple[date, ...]) -> bool:
        """Hold days without bars; returns False if the ticker has bars on others."""
        with self._lock:
            ticker = self._tickers[series.ticker]
            if not ticker.has_bars:
                ticker.held.append((series, days))
            return not ticker.has_bars

    def finish(self, ticker: str) -> list[SeriesDays]:
        """Count one window less; after the last one, returns the days of a ticker without any bar."""
        with self._lock:
            self._tickers[ticker].windows -= 1
            return [] if self._tickers[ticker].windows else self._take(ticker)

    def take_all(self) -> list[SeriesDays]:
        """Return all days that are still held."""
        with self._lock:
            return [held for ticker in list(self._tickers) for held in self._take(ticker)]

    def _take(self, ticker: str) -> list[SeriesDays]:
        held, self._tickers[ticker].held = self._tickers[ticker].held, []
        return held
