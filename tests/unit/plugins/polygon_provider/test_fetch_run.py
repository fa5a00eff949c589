"""The threads of one fetch."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import date
from typing import Any

from server.core.cancel import CancelToken
from server.data_download.errors import ProviderUnavailable
from server.data_download.workers import WorkerLost, Workers
from server.lean.series import Resolution, Series
from server.plugins.polygon_provider.fetch_run import FetchRun
from tests.support.patience import PATIENCE

DAY = date(2024, 6, 3)


class Sink:
    """Records the series that are unavailable; the run is cancelled with the first one."""

    def __init__(self) -> None:
        self.cancelled = False
        self.unavailable_series: list[Series] = []

    def unavailable(self, series: Series, days: Sequence[date], error: Exception) -> None:
        """Record a series."""
        self.unavailable_series.append(series)
        self.cancelled = True


class PosedWindow:
    """A window that names its ticker and calls the test with it."""

    wanted = (DAY,)
    target = ""
    settled = True

    def __init__(self, ticker: str, on_series: Any = lambda: None, on_ticker: Any = lambda: None) -> None:
        self._series = Series(ticker, Resolution.DAILY)
        self._on_series = on_series
        self._on_ticker = on_ticker

    @property
    def series(self) -> Series:
        """The series."""
        self._on_series()
        return self._series

    @property
    def ticker(self) -> str:
        """The ticker."""
        self._on_ticker()
        return self._series.ticker


def test_a_thread_may_add_a_window_while_a_cancelled_run_lists_those_that_wait() -> None:
    """It has lost its worker, and so its window is to be fetched again."""
    main = threading.current_thread()
    taken, reading, added = threading.Event(), threading.Event(), threading.Event()

    def on_series() -> None:
        if threading.current_thread() is main:
            reading.set()
            assert added.wait(PATIENCE)

    names: list[str] = []

    def on_ticker() -> None:
        if reading.is_set():
            names.append("")
            if len(names) == 2:  # the first time it is added, the second time it is finished
                added.set()

    class Client:
        """Fails for one window, and loses the worker of the other one."""

        def get(self, window: PosedWindow, *arguments: object, **more: object) -> None:
            """Answer a request."""
            if window is broken:
                assert taken.wait(PATIENCE)
                raise ProviderUnavailable("the vendor is down")
            taken.set()
            assert reading.wait(PATIENCE)
            raise WorkerLost

    broken, busy = PosedWindow("DOWN"), PosedWindow("BUSY", on_ticker=on_ticker)
    waiting = [PosedWindow(f"W{letter}", on_series) for letter in "ABC"]
    sink: Any = Sink()
    windows: Any = [broken, busy, *waiting]
    client: Any = Client()
    lookup: Any = None
    run = FetchRun(client, lookup, sink, windows, Workers(0, processes=0), "http://127.0.0.1:9", CancelToken())

    run.run(2)

    assert [series.ticker for series in sink.unavailable_series] == ["DOWN", "WA", "WB", "WC"]
