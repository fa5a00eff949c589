"""Reports of an engine's progress: limited in number, and each with only the days of the equity curve that are new."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import takewhile

from attrs import evolve

from server.engines.base import EngineProgress
from server.engines.equity import Equity

REPORT_SECONDS = 0.8
"""The least number of seconds between two reports; engines send one about every second."""


class ProgressReports:
    """Passes the progress of one run of an engine on (an engine's ``on_progress``). Thread-safe."""

    def __init__(
        self,
        report: Callable[[EngineProgress, EngineProgress], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create the reports of one run.

        Args:
            report: Receives the progress, and the same with only the end of the equity curve that is new.
            clock: Returns seconds that only ascend.
        """
        self._report = report
        self._clock = clock
        self._lock = threading.Lock()
        self._reported = Equity()
        self._at: float | None = None

    def __call__(self, progress: EngineProgress) -> None:
        """Report, unless the last report was only just made."""
        with self._lock:
            now = self._clock()
            if self._at is not None and now - self._at < REPORT_SECONDS:
                return
            self._at = now
            added = evolve(progress, equity=new_days(self._reported, progress.equity))
            self._reported = progress.equity
            self._report(progress, added)


def new_days(before: Equity, equity: Equity) -> Equity:
    """Return the end of an equity curve from the first day on that an earlier state of it does not have equally."""
    old, new = (zip(*curve, strict=True) for curve in (before, equity))
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
    return Equity(equity.dates[same:], equity.values[same:])
