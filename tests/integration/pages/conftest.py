"""The application whose pages are rendered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from server.backtest_server import BacktestManager
from server.jobs import JobStore
from server.plugins.manager import build_plugin_manager
from server.settings import load_settings
from server.web.access import Access
from server.web.app import create_app
from server.workspace import Workspace
from tests.support.rendered_pages import NOW, SECRET, Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """``site(**environ)`` gives a running application."""
    with ExitStack() as stack:

        def start(**environ: str) -> Site:
            settings = load_settings(
                flags={"data-folder": tmp_path / "data"},
                environ={"POLYGON_API_KEY": SECRET, **environ},
                cwd=tmp_path,
            )
            workspace = Workspace.open(settings, build_plugin_manager(), lambda: NOW)
            stack.callback(workspace.close)
            store = JobStore(None, lambda: NOW)
            manager = BacktestManager(workspace, environ={}, store=store)
            app = create_app(
                workspace,
                manager,
                access=Access(),
                projects=tmp_path,
                benchmarks=tmp_path / "results",
                metrics=lambda: (b"", "text/plain"),
            )
            portal = stack.enter_context(
                start_blocking_portal()
            )  # a loop of its own: a browser's may run in this thread
            stack.enter_context(portal.wrap_async_context_manager(app.router.lifespan_context(app)))
            manager.jobs.close()  # what the tests put into the store stays as it is
            return Site(app, store, portal)

        yield start
