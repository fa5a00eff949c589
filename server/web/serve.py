"""Runs the application on uvicorn, one server for each data folder."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI
from filelock import FileLock, Timeout

from server.backtest_server import BacktestManager
from server.core.errors import BacktestServerError, ConfigurationError
from server.core.running_programs import kill_programs
from server.core.stopping_signals import stopping_signals
from server.jobs import JobStore
from server.observability import add_secret, log_listener
from server.observability.baseline import Baseline
from server.observability.metrics import Metrics
from server.web.access import Access
from server.web.app import create_app
from server.web.connections import ACCEPTED_AT_ONCE, BoundedProtocol, connection_limit, log_loop_error
from server.workspace import Workspace

_GRACE_SECONDS = 2
_WAITING_CONNECTIONS = 512
"""Connections that the system keeps until they are accepted."""


def serve(
    workspace: Workspace,
    *,
    host: str,
    port: int,
    access: Access,
    projects: Path,
    benchmarks: Path,
    baseline: Baseline | None,
    environ: Mapping[str, str],
    trusted_proxies: Sequence[str] = (),
    ready: Callable[[str], object] = lambda url: None,
) -> None:
    """Serve until the process is stopped; running jobs are then interrupted, queued ones kept.

    Args:
        workspace: The data folder with its providers and settings.
        host: The address to listen on.
        port: The port; 0 chooses a free one.
        access: Who may use the server.
        projects: The folder of the LEAN projects.
        benchmarks: The archive of benchmark runs.
        baseline: Download times that the metrics compare with.
        environ: The environment, in which engines find their programs.
        trusted_proxies: Addresses and networks of proxies whose X-Forwarded-For and X-Forwarded-Proto count.
        ready: Called with the URL once the server listens.

    Raises:
        ConfigurationError: The address cannot be listened on, or another server has this data folder.
    """
    if access.token:
        add_secret(access.token)
    state = workspace.settings.state_folder
    with _server_lock(state), closing(_listen(host, port)) as listener, ExitStack() as cleanup:
        store = JobStore(state / "jobs.sqlite", workspace.clock)
        cleanup.callback(store.close)
        metrics = Metrics(providers=workspace.plugins.providers, store=store, baseline=baseline)
        manager = BacktestManager(workspace, environ=environ, listeners=[log_listener(), metrics], store=store)
        cleanup.callback(kill_programs)  # LEAN may still use its time to end
        cleanup.callback(manager.close)

        def count(identity: str, over: bool) -> None:
            if over:
                with suppress(KeyError, BacktestServerError):  # its database is damaged or locked
                    metrics.job_changed(store.get(identity))

        manager.jobs.watch(count)
        app = create_app(
            workspace, manager, access=access, projects=projects, benchmarks=benchmarks, metrics=metrics.render
        )
        server = _Server(_config(app, trusted_proxies))
        with _stopped_by_signals(server):
            ready(f"http://{_shown(host)}:{listener.getsockname()[1]}")
            server.run(sockets=[listener])
            cleanup.close()


def _config(app: FastAPI, trusted_proxies: Sequence[str]) -> uvicorn.Config:
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of clients that are gone
    return uvicorn.Config(
        app,
        http=partial(BoundedProtocol, limit=connection_limit()),  # type: ignore[arg-type] # called like a class
        backlog=ACCEPTED_AT_ONCE,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        ws="none",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


class _Server(uvicorn.Server):
    """A uvicorn server that ends on shutdown what would not end by itself: streams, and requests that do not arrive."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections; more may wait than are accepted at once."""
        asyncio.get_running_loop().set_exception_handler(log_loop_error)
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(_WAITING_CONNECTIONS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams and the incomplete requests, then shut down."""
        self.config.app.state.server.hub.close()  # type: ignore[union-attr]
        for connection in list(self.server_state.connections):
            if isinstance(connection, BoundedProtocol) and connection.waiting_since is not None:
                connection.abort()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `_stopped_by_signals`: uvicorn's handlers would end the process before it has cleaned up."""
        yield


@contextmanager
def _stopped_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and the end of the terminal stop the server, which cleans up before the process ends.

    Raises:
        KeyboardInterrupt: At the end, after Ctrl-C.
    """
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        server.handle_exit(number, frame)

    before = {number: signal.signal(number, stop) for number in stopping_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if signal.SIGINT in received:
        raise KeyboardInterrupt


class _server_lock:  # noqa: N801 - a context manager
    """Holds the data folder's lock, so that it has one server."""

    def __init__(self, state: Path) -> None:
        self._path = state / "server.lock"

    def __enter__(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self._path)
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise ConfigurationError(
                f"another server runs on this data folder (it holds {self._path}); stop it or choose another folder"
            ) from error
        except OSError as error:
            raise ConfigurationError(f"{self._path.parent} cannot be written ({error.strerror or error})") from error

    def __exit__(self, *error: object) -> None:
        self._lock.release()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle's algorithm (40 ms per response) only if the protocol is given.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_WAITING_CONNECTIONS)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise ConfigurationError(f"{host}:{port} cannot be listened on ({reason}); choose another port") from error
    return listener


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
