"""The Polygon source of corporate actions as the host opens it, with a clock and waits that a test holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from server.core.cancel import CancelToken
from server.core.events import Event, EventStream
from server.core.secret import Secret
from server.data_download.provider import ProviderContext
from server.plugins.polygon_provider.config import DEFAULT_URL, PolygonConfig
from server.plugins.polygon_provider.reference import PolygonReference
from tests.support import faults
from tests.support.faults import Fault
from tests.support.harness import NOW, FakeTime, calendar, no_wait
from tests.support.polygon_server import KEY, PolygonServer

Serve = Callable[..., PolygonServer]


class ReferenceRig:
    """A state folder, and sources that share it; what they emit is in `events`."""

    def __init__(
        self,
        root: Path,
        url: str = DEFAULT_URL,
        *,
        now: datetime = NOW,
        key: str = KEY,
        pause: Callable[[float], bool] | None = no_wait,
        **config: Any,
    ) -> None:
        self.state = root / "data" / ".backtest-server"
        self.now = now
        self.pause = pause
        self.config = PolygonConfig(api_key=Secret(key), api_url=url, **config)
        self.events: list[Event] = []

    def open(self, cancel: CancelToken | None = None, *, refresh: bool = False) -> PolygonReference:
        """A source, as the plugin makes it."""
        context = ProviderContext(
            calendar=calendar(),
            data_folder=self.state.parent,
            state_folder=self.state,
            clock=lambda: self.now,
            cancel=cancel or CancelToken(),
            refresh=refresh,
        )
        return PolygonReference(self.config, context, self.stream(), pause=self.pause)

    def stream(self) -> EventStream:
        """The stream that fills `events`."""
        return EventStream(lambda: self.now, [self.events.append])

    def ask(self, question: Callable[[PolygonReference], Any], *, refresh: bool = False) -> Any:
        """Open a source, ask it one thing, close it."""
        source = self.open(refresh=refresh)
        try:
            return question(source)
        finally:
            source.close()

    def count(self, name: str) -> int:
        """The sum of a number that was emitted."""
        return sum(getattr(event, name) for event in self.events)

    def messages(self, kind: str) -> list[str]:
        """The messages of a kind."""
        return [event.message for event in self.events if event.kind == kind]


def rig_for(server: PolygonServer, root: Path, clockwork: FakeTime, **config: Any) -> ReferenceRig:
    """A rig with that time, and few tries."""
    return ReferenceRig(root, server.url, pause=clockwork.pause, **{"retry_attempts": 3, **config})


def events_of(rig: ReferenceRig) -> Any:
    """Ask for the events of AAPL."""
    return rig.ask(lambda source: source.events("AAPL"))


def results(value: Any) -> Fault:
    """The good answer with other results."""
    return faults.edited(lambda answer: {**answer, "results": value})
