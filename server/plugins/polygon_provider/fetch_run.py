"""Fetches windows concurrently, and delivers the bars of each to the host."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial

from attrs import evolve

from server.core.cancel import CancelToken
from server.core.errors import BacktestServerError
from server.core.events import Event
from server.core.os_threads import start_thread
from server.data_download.errors import BadResponseError, PlanLimitError, SymbolNotFoundError
from server.data_download.provider import DataSink
from server.data_download.workers import Task, WorkerLost, Workers, deliver
from server.lean.bars import no_bars
from server.lean.series import Series
from server.plugins.polygon_provider.bodies import check_size
from server.plugins.polygon_provider.client import FetchedPage, PolygonClient
from server.plugins.polygon_provider.requests import ExcessiveResponseError, bad_response, check_pages
from server.plugins.polygon_provider.responses import Page
from server.plugins.polygon_provider.unknown_tickers import ListingLookup, SeriesDays, TickersWithoutBars
from server.plugins.polygon_provider.windows import Window
from server.plugins.polygon_provider.worker_tasks import choose_days, read_response

_POLL_SECONDS = 0.1

_PRELOAD = ("server.plugins.polygon_provider.worker_tasks", "server.data_download.writer", "server.lean.trade_csv")
"""Modules that worker processes need."""

_OF_ONE_WINDOW = (PlanLimitError, SymbolNotFoundError, BadResponseError)
"""Errors that concern one window only; any other ends the run."""


class FetchRun:
    """The windows of one fetch, shared by its threads.

    The days of a window without bars are recorded as empty once the ticker has bars in another window, or the vendor
    lists it: an unknown ticker looks like one that was not traded.

    The threads are daemons: a cancelled run does not wait for a vendor that does not respond. The closed sink refuses
    what such a thread still delivers.
    """

    def __init__(
        self,
        client: PolygonClient,
        lookup: ListingLookup,
        sink: DataSink,
        windows: Sequence[Window],
        workers: Workers,
        base_url: str,
        stop: CancelToken,
    ) -> None:
        """Start nothing.

        Args:
            client: Sends the requests.
            lookup: Finds out whether the vendor knows a ticker without bars.
            sink: Receives the bars.
            windows: What to fetch.
            workers: Where responses are decoded and written.
            base_url: Scheme and host of the vendor.
            stop: Cancelled when an error concerns all windows.
        """
        self._client = client
        self._lookup = lookup
        self._sink = sink
        self._workers = workers
        self._base_url = base_url
        self._stop = stop
        self._pending = deque(windows)
        self._changed = threading.Condition()
        self._busy = 0
        self._fatal: BaseException | None = None
        self._proven: date | None = None
        self._tickers = TickersWithoutBars(window.ticker for window in windows)

    def run(self, threads: int) -> None:
        """Fetch all windows, until the run is cancelled or an error concerns all of them."""
        self._workers.start(_PRELOAD)
        for number in range(min(threads, len(self._pending))):
            try:
                start_thread(threading.Thread(target=self._work, name=f"polygon-{number}", daemon=True))
            except BacktestServerError:
                if number == 0:
                    raise
                break  # those that were started do all of the work
        with self._changed:
            while (self._pending or self._busy) and not self._sink.cancelled:
                if self._fatal is not None and not self._busy:
                    break
                self._changed.wait(_POLL_SECONDS)
            pending = list(self._pending)  # a thread that is still busy may add a window
        if isinstance(self._fatal, BacktestServerError):
            for series, days in [(window.series, window.wanted) for window in pending] + self._tickers.take_all():
                self._sink.unavailable(series, days, self._fatal)
        elif self._fatal is not None:
            raise self._fatal

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
                self._tickers.failed(window.ticker)
                self._fail(window.series, window.wanted, error)
            try:
                self._finish(window.ticker)
            finally:
                with self._changed:
                    self._busy -= 1
                    self._changed.notify_all()

    def _stopped(self) -> bool:
        return self._fatal is not None or self._sink.cancelled

    def _fail(self, series: Series, days: Sequence[date], error: BaseException) -> None:
        with self._changed:
            if not isinstance(error, _OF_ONE_WINDOW):
                self._fatal = self._fatal or error
                self._stop.cancel()  # threads that wait to retry stop
                error = self._fatal
        if isinstance(error, BacktestServerError) and not self._sink.cancelled:
            self._sink.unavailable(series, days, error)

    # --- one window ---

    def _do(self, window: Window) -> None:
        responses: list[FetchedPage[Page]] = []
        with self._workers.task() as task:
            try:
                self._fetch(window, task, responses)
                self._use(window, task, responses)
            except WorkerLost:
                self._add(window)
            except BadResponseError as error:
                self._evict(responses)
                cached = any(response.from_cache for response in responses)
                excessive = isinstance(error, ExcessiveResponseError)
                contradictory = error.status is None and error.attempts is None and not excessive  # not repeated yet
                if window.once_more or not (cached or contradictory):
                    raise
                message = f"{error}; it is requested once more"
                self._sink.events.emit(Event(kind="retry", symbol=window.ticker, retries=1, message=message))
                self._add(evolve(window, refresh=True, span=None, once_more=True))

    def _use(self, window: Window, task: Task, responses: Sequence[FetchedPage[Page]]) -> None:
        chosen = task.run(choose_days, window)
        if chosen.first is not None:
            with self._changed:
                self._proven = min(self._proven or chosen.first, chosen.first)
            self._deliver_without_bars(self._tickers.found_bars(window.ticker))
        leading = self._unproven_days(window, chosen.first)
        if leading or chosen.bad:  # the plan may have hidden leading days, and may not do so later
            self._evict(responses)
        rest = tuple(day for day in window.wanted[len(leading) :] if day not in chosen.bad)
        if rest and not (chosen.first is None and self._tickers.hold(window.series, rest)):
            deliver(self._sink, window.series, rest, task)
        if chosen.bad and any(response.from_cache for response in responses):
            self._add(evolve(window, wanted=tuple(sorted(chosen.bad)), refresh=True, span=None))
        else:
            self._report_bad_days(window, chosen.bad, responses[0].page.request_id)
        if leading:
            self._add(evolve(window, wanted=leading, probe=True, span=None))

    def _report_bad_days(self, window: Window, bad: Mapping[date, str], request_id: str | None) -> None:
        for day, reason in sorted(bad.items()):
            only = evolve(window, wanted=(day,), span=None)
            error = bad_response(only, f"{reason}; the next download requests the day again", request_id)
            self._sink.unavailable(window.series, (day,), error)

    def _evict(self, responses: Sequence[FetchedPage[Page]]) -> None:
        for response in responses:
            self._client.evict(response)

    def _add(self, window: Window) -> None:
        self._tickers.add(window.ticker)
        with self._changed:
            self._pending.append(window)
            self._changed.notify()

    def _fetch(self, window: Window, task: Task, responses: list[FetchedPage[Page]]) -> None:
        """All pages of the window."""
        targets = [window.target]
        read = partial(task.run, read_response, window, self._base_url, targets)
        while True:
            responses.append(self._client.get(window, targets[-1], read, compressed=True, store=window.settled))
            following = responses[-1].page.next_url
            if following is None:
                return
            targets.append(following)
            check_pages(window, len(targets), responses[-1].page.request_id)
            check_size(sum(len(one.response.content) for one in responses), window)

    def _unproven_days(self, window: Window, first: date | None) -> tuple[date, ...]:
        """The wanted days before the response's first bar, which the plan may have hidden.

        The vendor cuts a range that begins before a plan's history without an error. Days before the first bar are
        therefore requested once more alone (403: the plan ends there; 200 without results: they have no bars), unless
        the window holds only such days, or an earlier day is known to be within the plan.
        """
        if window.probe or first is None:
            return ()
        with self._changed:
            proven = self._proven
        return tuple(day for day in window.wanted if day < first and (proven is None or day < proven))

    # --- tickers without bars ---

    def _finish(self, ticker: str) -> None:
        """After the last window of a ticker without any bar, find out whether the vendor knows it."""
        held = [] if self._stopped() else self._tickers.finish(ticker)
        if not held:
            return
        try:
            unknown = self._lookup.unknown(ticker)
        except BaseException as error:
            for series, days in held:
                self._fail(series, days, error)
            return
        if unknown is None:
            self._deliver_without_bars(held)
            self._notify_ticker_without_bars(ticker, held)
            return
        for series, days in held:
            self._sink.unavailable(series, days, SymbolNotFoundError(unknown, series=series, days=days))

    def _deliver_without_bars(self, held: Sequence[SeriesDays]) -> None:
        for series, days in held:
            try:
                self._sink.bars(series, days, no_bars())
            except BaseException as error:
                self._fail(series, days, error)

    def _notify_ticker_without_bars(self, ticker: str, held: Sequence[SeriesDays]) -> None:
        if not self._tickers.has_failed(ticker):
            count = sum(len(days) for _, days in held)
            message = (
                f"Polygon has no bars at all for {ticker} on the {count} trading days requested; "
                "check the symbol if that surprises you"
            )
            self._sink.events.emit(Event(kind="notice", symbol=ticker, message=message))
