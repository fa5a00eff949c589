"""The client that tests of its parts share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from server.core.events import Event, EventStream
from server.core.secret import Secret
from server.plugins.polygon_provider import budget as budget_module
from server.plugins.polygon_provider.budget import RequestBudget
from server.plugins.polygon_provider.cache import ResponseCache
from server.plugins.polygon_provider.cache_keys import aggregates_key
from server.plugins.polygon_provider.client import PolygonClient
from server.plugins.polygon_provider.config import PolygonConfig
from server.plugins.polygon_provider.session import PolygonSession
from server.plugins.polygon_provider.transport import Transport
from tests.support.harness import NOW, FakeTime
from tests.support.polygon_client import KEY, Kit, MakeKit, Reply, Vendor


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeKit]:
    """``kit(Reply(500), …, retry_attempts=3)``: a client whose vendor returns these replies."""
    opened = ExitStack()

    def make(*replies: Reply | Exception, pause: Callable[[float], bool] | None = None, **settings: Any) -> Kit:
        clock = FakeTime()
        monkeypatch.setattr(budget_module, "time", clock)
        config = PolygonConfig(api_key=Secret(KEY), **settings)
        events: list[Event] = []
        cancelled: list[bool] = []
        pause = pause or clock.pause
        budget = RequestBudget(
            tmp_path / "requests.sqlite",
            config.requests_per_minute,
            pause=pause,
            waiting=lambda seconds: None,
            warn=pytest.fail,
        )
        cache = ResponseCache(tmp_path / "http-cache.sqlite", warn=pytest.fail, key_fn=aggregates_key)
        session = PolygonSession(base_url=config.api_url, connections=1)
        for resource in (budget, cache, session):
            opened.enter_context(closing(resource))
        vendor = Vendor(*replies)
        session.mount("https://", vendor)

        stream = EventStream(lambda: NOW, [events.append])

        def is_cancelled() -> bool:
            return bool(cancelled)

        transport = Transport(config, session, budget, events=stream, cancelled=is_cancelled)
        client = PolygonClient(
            config,
            transport,
            cache,
            budget,
            events=stream,
            pause=pause,
            cancelled=is_cancelled,
            wall_clock=clock.time,
        )
        return Kit(client, session, cache, vendor, clock, events, cancelled)

    with opened:
        yield make
