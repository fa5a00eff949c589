"""Session, cache, budget and client of one run; their files in the state folder are shared with other runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from server.core.events import Event, EventStream
from server.plugins.polygon_provider.budget import RequestBudget
from server.plugins.polygon_provider.cache import ResponseCache
from server.plugins.polygon_provider.cache_keys import aggregates_key
from server.plugins.polygon_provider.client import PolygonClient
from server.plugins.polygon_provider.config import PolygonConfig
from server.plugins.polygon_provider.session import PolygonSession
from server.plugins.polygon_provider.transport import Transport


class Connection:
    """A client and what it uses."""

    def __init__(
        self,
        config: PolygonConfig,
        state_folder: Path,
        *,
        cache: Callable[..., ResponseCache],
        events: EventStream,
        pause: Callable[[float], bool],
        cancelled: Callable[[], bool],
    ) -> None:
        """Open the cache and the budget's file; send nothing.

        Args:
            config: The settings.
            state_folder: The folder of both files.
            cache: Opens the cache: `aggregates_cache` or `reference_cache`.
            events: Receives requests, retries, waits and notices.
            pause: Sleeps for a number of seconds and returns whether the run was cancelled.
            cancelled: Whether the run was cancelled.
        """

        def warn(message: str) -> None:
            events.emit(Event(kind="notice", message=message))

        def waiting(seconds: float) -> None:
            events.emit(Event(kind="wait", wait_seconds=seconds, message="the request budget is used up"))

        self._budget = RequestBudget(
            state_folder / "requests.sqlite", config.requests_per_minute, pause=pause, waiting=waiting, warn=warn
        )
        self._cache = cache(state_folder, warn=warn)
        self._session = PolygonSession(base_url=config.api_url, connections=config.max_concurrent_requests)
        transport = Transport(config, self._session, self._budget, events=events, cancelled=cancelled)
        self.client = PolygonClient(
            config, transport, self._cache, self._budget, events=events, pause=pause, cancelled=cancelled
        )

    def close(self) -> None:
        """Close the session, the cache and the budget's file."""
        self._session.close()
        self._cache.close()
        self._budget.close()


def aggregates_cache(state_folder: Path, *, warn: Callable[[str], None]) -> ResponseCache:
    """Open the cache of aggregates, whose keys name host, series, days and page."""
    return ResponseCache(state_folder / "http-cache.sqlite", warn=warn, key_fn=aggregates_key)


def reference_cache(state_folder: Path, *, warn: Callable[[str], None]) -> ResponseCache:
    """Open the cache of splits, dividends, tickers and their details, with requests-cache's own keys."""
    return ResponseCache(state_folder / "reference-cache.sqlite", warn=warn)
