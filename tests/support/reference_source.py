"""The Polygon source of corporate actions as the host opens it, with a clock and waits that a test holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from server.core.cancel import CancelToken
from server.core.secret import Secret
from server.data_download.provider import ProviderContext
from server.plugins.polygon_provider.config import DEFAULT_URL, PolygonConfig
from server.plugins.polygon_provider.reference import PolygonReference
from tests.support.harness import NOW, calendar, no_wait
from tests.support.polygon_server import KEY


class ReferenceRig:
    """A state folder, and sources that share it; what they tell is in `told`."""

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
        self.told: list[tuple[str, dict[str, Any]]] = []

    def open(self, cancel: CancelToken | None = None, *, refresh: bool = False) -> PolygonReference:
        """A source, as the plugin makes it."""
        context = ProviderContext(
            calendar=calendar(),
            data_folder=self.state.parent,
            state_folder=self.state,
            clock=lambda: self.now,
            cancel=cancel or CancelToken(),
        )
        return PolygonReference(self.config, context, self.tell, refresh=refresh, pause=self.pause)

    def ask(self, question: Callable[[PolygonReference], Any], *, refresh: bool = False) -> Any:
        """Open a source, ask it one thing, close it."""
        source = self.open(refresh=refresh)
        try:
            return question(source)
        finally:
            source.close()

    def tell(self, kind: str, **facts: Any) -> None:
        """Take what the source tells."""
        self.told.append((kind, facts))

    def count(self, name: str) -> int:
        """The sum of a number that was told."""
        return sum(facts.get(name, 0) for _, facts in self.told)

    def messages(self, kind: str) -> list[str]:
        """The messages of a kind."""
        return [facts["message"] for found, facts in self.told if found == kind]
