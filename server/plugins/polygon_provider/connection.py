"""Session, cache, budget and client put together, as everything that asks the vendor uses them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from server.core.events import Event, EventStream
from server.plugins.polygon_provider.budget import RequestBudget
from server.plugins.polygon_provider.client import PolygonClient
from server.plugins.polygon_provider.config import PolygonConfig
from server.plugins.polygon_provider.session import PolygonSession, open_cache


class Connection:
    """A client, and what it needs: the files in the state folder are shared with every other one."""

    def __init__(
        self,
        config: PolygonConfig,
        state_folder: Path,
        *,
        events: EventStream,
        pause: Callable[[float], bool],
        cancelled: Callable[[], bool],
    ) -> None:
        """Open the cache and the budget's file; send nothing. The arguments are those of `PolygonClient`."""
        self._budget = RequestBudget(
            state_folder / "requests.sqlite",
            config.requests_per_minute,
            pause=pause,
            waiting=lambda seconds: events.emit(
                Event(kind="wait", wait_seconds=seconds, message="the request budget is used up")
            ),
        )
        self._session = PolygonSession(
            open_cache(
                state_folder / "http-cache.sqlite", lambda message: events.emit(Event(kind="notice", message=message))
            ),
            self._budget,
            base_url=config.api_url,
            connections=config.max_concurrent_requests,
        )
        self.client = PolygonClient(
            config, self._session, self._budget, events=events, pause=pause, cancelled=cancelled
        )

    def close(self) -> None:
        """Close the session, the cache and the budget's file."""
        self._session.close()  # type: ignore[no-untyped-call]
        self._budget.close()
