"""A server in this process whose jobs do what a test says, to look at their pages while they run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from server.backtest.events import event_json
from server.backtest_server import BacktestManager
from server.core.events import Event
from server.jobs import JobQueue, JobState, JobStore
from server.plugins.manager import build_plugin_manager
from server.settings import load_settings
from server.web.access import Access
from server.web.app import create_app
from server.workspace import Workspace
from tests.support.patience import PATIENCE
from tests.support.rendered_pages import NOW


class PosedServer:
    """A running server. `url` is its address."""

    def __init__(self, url: str, manager: BacktestManager) -> None:
        self.url = url
        self._jobs = manager.jobs

    def start(self, result: Mapping[str, Any] | None = None, **request: Any) -> str:
        """Return the id of a new job that runs and has this result so far."""
        asked = {"project": None, "symbols": ["SPY", "AAPL"], "resolution": "minute", "start": "2024-01-02"}
        asked |= {"end": "2024-01-31", "engine": "lean", "provider": None, "only_data": False, **request}
        job = self._jobs.store.create("backtest", asked)
        self.move(job.id, JobState.RUNNING, result or {})
        return job.id

    def emit(self, identity: str, event: Event) -> None:
        """Emit an event of a job."""
        self._jobs.emit(identity, event_json(event))

    def move(self, identity: str, state: JobState, result: Mapping[str, Any]) -> None:
        """Store the state and the result of a job, and emit the change."""
        _move(self._jobs, identity, state, result)


@contextmanager
def posed_server(folder: Path) -> Iterator[PosedServer]:
    """Serve an empty data folder below a folder, on a free port."""
    settings = load_settings(flags={"data-folder": folder / "data"}, environ={}, cwd=folder)
    workspace = Workspace.open(settings, build_plugin_manager(), lambda: NOW)
    manager = BacktestManager(workspace, environ={}, store=JobStore(None, lambda: NOW))
    app = create_app(
        workspace,
        manager,
        access=Access(),
        projects=folder,
        benchmarks=folder / "results",
        metrics=lambda: (b"", "text/plain"),
    )
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + PATIENCE
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield PosedServer(f"http://127.0.0.1:{port}", manager)
    finally:
        _end_jobs(manager)  # their streams end with them, and the server waits for its streams
        server.should_exit = True
        thread.join(PATIENCE)
        manager.close()
        workspace.close()


def _end_jobs(manager: BacktestManager) -> None:
    for job in manager.jobs.store.newest(limit=100):
        if not job.state.over:
            _move(manager.jobs, job.id, JobState.INTERRUPTED, job.result)


def _move(jobs: JobQueue, identity: str, state: JobState, result: Mapping[str, Any]) -> None:
    jobs.store.update(identity, state, result)
    jobs.emit(identity, {"kind": "state", "at": NOW.isoformat(), "state": state.value})
