"""Fetches windows concurrently, and delivers the bars of each to the host."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial

from attrs import evolve

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError
from server.core.events import Event
from server.data_download.availability import Gap
from server.data_download.errors import BadResponseError, PlanLimitError, SymbolNotFoundError
from server.data_download.provider import Capabilities, DataSink, ProviderContext
from server.data_download.workers import Task, WorkerLost, Workers, deliver
from server.lean.layout import layout_of
from server.plugins.polygon_provider.client import FetchedPage, PolygonClient
from server.plugins.polygon_provider.config import PolygonConfig
from server.plugins.polygon_provider.connection import Connection, aggregates_cache
from server.plugins.polygon_provider.responses import Page, next_target
from server.plugins.polygon_provider.windows import TIMESPANS, Window, cached_windows, plan_windows
from server.plugins.polygon_provider.worker_tasks import choose_days, read_response

WAITING_RESPONSES = 8
"""Responses that wait for a worker, so that requests stay in flight."""

_POLL_SECONDS = 0.1

_PRELOAD = ("server.plugins.polygon_provider.worker_tasks", "server.data_download.writer", "server.lean.trade_csv")
"""Modules that worker processes need."""

_OF_ONE_WINDOW = (PlanLimitError, SymbolNotFoundError, BadResponseError)
"""Errors that concern one window only; any other ends the run."""


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
        try:
            _Run(client, sink, windows, workers, self._config.api_url, self._stop).run(
                self._config.max_concurrent_requests + workers.at_once + WAITING_RESPONSES
            )
        finally:
            workers.close()

    def close(self) -> None:
        """Close the session, the cache and the budget's file."""
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


class _Run:
    """The windows of one fetch, shared by its threads.

    They are daemon threads: a cancelled run does not wait for a vendor that does not respond. The closed sink refuses
    what such a thread still delivers.
    """

    def __init__(
        self,
        client: PolygonClient,
        sink: DataSink,
        windows: Sequence[Window],
        workers: Workers,
        base_url: str,
        stop: CancelToken,
    ) -> None:
        self._client = client
        self._sink = sink
        self._workers = workers
        self._base_url = base_url
        self._stop = stop
        self._pending = deque(windows)
        self._changed = threading.Condition()
        self._busy = 0
        self._fatal: BaseException | None = None
        self._proven: date | None = None
        self._empty: dict[str, int] = {window.ticker: 0 for window in windows}

    def run(self, threads: int) -> None:
        """Fetch all windows, until the run is cancelled or an error concerns all of them."""
        self._workers.start(_PRELOAD)
        for number in range(min(threads, len(self._pending))):
            threading.Thread(target=self._work, name=f"polygon-{number}", daemon=True).start()
        with self._changed:
            while (self._pending or self._busy) and not self._sink.cancelled:
                if self._fatal is not None and not self._busy:
                    break
                self._changed.wait(_POLL_SECONDS)
        if isinstance(self._fatal, BacktestServerError):
            for window in self._pending:
                self._sink.unavailable(window.series, window.wanted, self._fatal)
        elif self._fatal is not None:
            raise self._fatal
        self._notify_symbols_without_bars()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._pending and self._busy and not self._stopped():
                    self._changed.wait(_POLL_SECONDS)  # a busy worker may still add a probe
                if not self._pending or self._stopped():
                    return
                window = self._pending.popleft()
                self._busy += 1
            try:
                self._do(window)
            except BaseException as error:
                self._fail(window, error)
            finally:
                with self._changed:
                    self._busy -= 1
                    self._changed.notify_all()

    def _stopped(self) -> bool:
        return self._fatal is not None or self._sink.cancelled

    def _fail(self, window: Window, error: BaseException) -> None:
        with self._changed:
            if not isinstance(error, _OF_ONE_WINDOW):
                self._fatal = self._fatal or error
                self._stop.cancel()  # threads that wait to retry stop
                error = self._fatal
            self._empty.pop(window.ticker, None)
        if isinstance(error, BacktestServerError) and not self._sink.cancelled:
            self._sink.unavailable(window.series, window.wanted, error)

    def _do(self, window: Window) -> None:
        responses: list[FetchedPage[Page]] = []
        with self._workers.task() as task:
            try:
                self._fetch(window, task, responses)
                self._use(window, task, responses)
            except WorkerLost:
                self._add(window)
            except BadResponseError:
                for response in responses:
                    self._client.evict(response)
                if not any(response.from_cache for response in responses):
                    raise
                self._add(evolve(window, refresh=True, span=None))  # the cached response cannot be used

    def _use(self, window: Window, task: Task, responses: Sequence[FetchedPage[Page]]) -> None:
        having = task.run(choose_days, window)
        if having:
            with self._changed:
                self._proven = min(self._proven or having[0], having[0])
                self._empty.pop(window.ticker, None)
        leading = self._unproven_days(window, having)
        if leading:  # the plan may have hidden these days, and may not do so later
            for response in responses:
                self._client.evict(response)
        rest = window.wanted[len(leading) :]
        if rest:
            self._deliver(window, rest, task)
        if leading:
            self._add(evolve(window, wanted=leading, probe=True, span=None))

    def _add(self, window: Window) -> None:
        with self._changed:
            self._pending.append(window)
            self._changed.notify()

    def _fetch(self, window: Window, task: Task, responses: list[FetchedPage[Page]]) -> None:
        """All pages of the window."""
        targets = [window.target]
        read = partial(task.run, read_response, window)
        while True:
            responses.append(self._client.get(window, targets[-1], read, compressed=True, store=window.settled))
            following = next_target(responses[-1].page, self._base_url, window, targets)
            if following is None:
                return
            targets.append(following)

    def _unproven_days(self, window: Window, having: Sequence[date]) -> tuple[date, ...]:
        """The wanted days before the response's first bar, which the plan may have hidden.

        The vendor cuts a range that begins before a plan's history without an error. Days before the first bar are
        therefore requested once more alone (403: the plan ends there; 200 without results: they have no bars), unless
        the window holds only such days, or an earlier day is known to be within the plan.
        """
        if window.probe or not having:
            return ()
        with self._changed:
            proven = self._proven
        return tuple(day for day in window.wanted if day < having[0] and (proven is None or day < proven))

    def _deliver(self, window: Window, days: tuple[date, ...], bars: Task) -> None:
        deliver(self._sink, window.series, days, bars)
        with self._changed:
            if window.ticker in self._empty:
                self._empty[window.ticker] += len(days)

    def _notify_symbols_without_bars(self) -> None:
        with self._changed:
            empty = dict(self._empty)
        for symbol, days in empty.items():
            if days:
                message = (
                    f"Polygon has no bars at all for {symbol} on the {days} trading days requested; "
                    "check the symbol if that surprises you"
                )
                self._sink.events.emit(Event(kind="notice", symbol=symbol, message=message))
