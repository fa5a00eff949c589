"""Polygon's aggregates as a data provider: what is requested, and what a fetch needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from server.data_download.availability import Gap
from server.data_download.provider import Capabilities, DataSink, ProviderContext
from server.data_download.workers import Workers
from server.lean.layout import layout_of
from server.plugins.polygon_provider.client import PolygonClient
from server.plugins.polygon_provider.config import PolygonConfig
from server.plugins.polygon_provider.connection import Connection, aggregates_cache
from server.plugins.polygon_provider.fetch_run import FetchRun
from server.plugins.polygon_provider.unknown_tickers import ListingLookup
from server.plugins.polygon_provider.windows import TIMESPANS, Window, cached_windows, plan_windows

WAITING_RESPONSES = 8
"""Responses that wait for a worker, so that requests stay in flight."""


class PolygonProvider:
    """Polygon's aggregates. See `DataProvider` for the contract of its methods."""

    capabilities = Capabilities(resolutions=frozenset(TIMESPANS))

    def __init__(
        self, config: PolygonConfig, context: ProviderContext, *, pause: Callable[[float], bool] | None = None
    ) -> None:
        """Opens nothing. `pause` replaces waiting; it sleeps and says whether the run was cancelled."""
        self._config = config
        self._context = context
        self._stop = context.cancel.child()
        self._pause = pause or (lambda seconds: self._stop.wait(seconds))
        self._connection: Connection | None = None

    def plan(self, gaps: Sequence[Gap]) -> Sequence[str]:
        """One line for each request; a window may need further pages."""
        return [f"GET {self._config.api_url}{window.target}" for window in self._windows(gaps)]

    def fetch(self, gaps: Sequence[Gap], sink: DataSink) -> None:
        """Fetch the gaps, with at most five requests in flight."""
        self._config.require_key()
        self._stop = self._context.cancel.child()  # an error that ends one fetch does not end the next
        client = self._client(sink)
        settled_through = self._context.calendar.settled_through(self._context.clock())
        cached, rest = cached_windows(gaps, client.cached_ranges(), settled_through)
        windows = [*cached, *self._windows(rest)]
        large = sum(not layout_of(window.series).one_file for window in windows)
        workers = Workers(large, lambda: sink.cancelled)
        lookup = ListingLookup(self._config, self._context, sink.events, self._pause)
        try:
            FetchRun(client, lookup, sink, windows, workers, self._config.api_url, self._stop).run(
                self._config.max_concurrent_requests + workers.at_once + WAITING_RESPONSES
            )
        finally:
            workers.close()
            lookup.close()

    def close(self) -> None:
        """End requests in progress, and close the session, the cache and the budget's file."""
        self._stop.cancel()
        if self._connection is not None:
            self._connection.close()

    def _windows(self, gaps: Sequence[Gap]) -> list[Window]:
        return plan_windows(
            gaps,
            self._context.calendar,
            self._context.clock(),
            counted=self._config.requests_per_minute is not None,
            connections=self._config.max_concurrent_requests,
        )

    def _client(self, sink: DataSink) -> PolygonClient:
        if self._connection is None:
            self._connection = Connection(
                self._config,
                self._context.state_folder,
                cache=aggregates_cache,
                events=sink.events,
                pause=self._pause,
                cancelled=lambda: self._stop.cancelled,
            )
        return self._connection.client
