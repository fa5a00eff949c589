"""A workspace whose corporate actions come from the local vendor, with a clock that the test sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from server.core.cancel import CancelToken
from server.core.events import Event, EventListener
from server.corporate_actions.build import BuildRequest, BuildResult, build_on_request
from server.data_download.report import DownloadReport
from server.data_download.request import DownloadRequest
from server.lean.series import Resolution
from server.plugins.manager import build_plugin_manager
from server.settings import load_settings
from server.workspace import Workspace
from tests.support.polygon_server import KEY, PolygonServer

USA = "equity/usa"


class CorporateRig:
    """A data folder; each call opens a workspace and closes it, as a process of its own would."""

    def __init__(self, root: Path, url: str, now: datetime, **environ: str) -> None:
        self.root = root
        self.data = root / "data"
        self.now = now
        self.environ = {"POLYGON_API_KEY": KEY, "POLYGON_API_URL": url, "LEAN_DATA_FOLDER": str(self.data), **environ}
        self.events: list[Event] = []

    def open(self) -> Workspace:
        """A workspace over the folder."""
        settings = load_settings(environ=self.environ, cwd=self.root)
        return Workspace.open(settings, build_plugin_manager(), lambda: self.now)

    def build(
        self,
        *symbols: str,
        cancel: CancelToken | None = None,
        listener: EventListener = lambda event: None,
        **options: Any,
    ) -> BuildResult:
        """`factor-files`."""
        workspace = self.open()
        try:
            context = workspace.corporate_actions()
            assert context is not None
            events = workspace.events(self.events.append, listener)
            request = BuildRequest(symbols=symbols, **options)
            return build_on_request(context, request, events=events, cancel=cancel or CancelToken())
        finally:
            workspace.close()

    def download(
        self,
        symbols: str | Sequence[str],
        start: date,
        end: date,
        resolution: Resolution = Resolution.DAILY,
        cancel: CancelToken | None = None,
        refresh: bool = False,
    ) -> DownloadReport:
        """`download`."""
        workspace = self.open()
        try:
            request = DownloadRequest(
                symbols=(symbols,) if isinstance(symbols, str) else tuple(symbols),
                resolution=resolution,
                start=start,
                end=end,
                refresh=refresh,
            )
            return workspace.downloader(events=workspace.events(self.events.append)).download(request, cancel)
        finally:
            workspace.close()

    def next_day(self, day: str) -> None:
        """Set the clock to another day and remove responses cached until midnight (the cache uses the real clock)."""
        self.now = at(day)
        (self.data / ".backtest-server" / "reference-cache.sqlite").unlink()

    def path(self, kind: str, symbol: str) -> Path:
        """Where a file is: kind is ``factor`` or ``map``."""
        return self.data / USA / f"{kind}_files" / f"{symbol.lower()}.csv"

    def text(self, kind: str, symbol: str) -> str | None:
        """The text of a file, or None if it does not exist."""
        path = self.path(kind, symbol)
        return path.read_text() if path.exists() else None

    def put(self, kind: str, symbol: str, text: str) -> None:
        """Write a file as another program would."""
        path = self.path(kind, symbol)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


RigOn = Callable[..., tuple[CorporateRig, PolygonServer]]


def at(day: str, hour: int = 12) -> datetime:
    """An instant."""
    return datetime.fromisoformat(f"{day}T{hour:02}:00").replace(tzinfo=UTC)
