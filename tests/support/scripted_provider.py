"""A provider whose behaviour a test scripts, and bars to deliver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

import numpy as np

from server.core.cancel import CancelToken
from server.data_download.availability import Gap
from server.data_download.hosted_provider import HostedProvider
from server.data_download.provider import Capabilities, DataProvider, DataSink
from server.lean.bars import Bars
from server.lean.series import Resolution, Series
from tests.support.market import clock

ALL = Capabilities(resolutions=frozenset(Resolution))
OPENING = 34_200_000
"""09:30 in New York, in milliseconds since midnight."""


def bars_on(*days: date, daily: bool = False, price: float = 10.25) -> Bars:
    """One bar a day: at 09:30, or at midnight."""
    one = np.full(len(days), price)
    time = np.array([clock(day, 0 if daily else OPENING) for day in days], np.int64)
    return Bars(time=time, open=one, high=one, low=one, close=one, volume=one)


def deliver(gap: Gap, sink: DataSink) -> None:
    """Deliver one bar for each day of a gap."""
    sink.bars(gap.series, gap.days, bars_on(*gap.days, daily=gap.series.resolution is Resolution.DAILY))


def deliver_all(gaps: Sequence[Gap], sink: DataSink) -> None:
    """Deliver one bar for each day of each gap."""
    for gap in gaps:
        deliver(gap, sink)


class ScriptedProvider:
    """Does in `fetch` and `close` what the test says, and notes its calls."""

    def __init__(
        self,
        fetch: Callable[[Sequence[Gap], DataSink], object] = deliver_all,
        *,
        close: Callable[[], object] = lambda: None,
        plan: Callable[[Sequence[Gap]], Any] = lambda gaps: [f"fetch {gap.series}" for gap in gaps],
        capabilities: Any = ALL,
    ) -> None:
        self.capabilities = capabilities
        self.opened = 0
        self.closed = 0
        self.batches: list[list[Series]] = []
        self._fetch = fetch
        self._close = close
        self._plan = plan

    def open(self, cancel: CancelToken) -> DataProvider:
        """Count that it is opened."""
        self.opened += 1
        return self

    def plan(self, gaps: Sequence[Gap]) -> Any:
        """What the script returns."""
        return self._plan(gaps)

    def fetch(self, gaps: Sequence[Gap], sink: DataSink) -> None:
        """Note the gaps and run the script."""
        self.batches.append([gap.series for gap in gaps])
        self._fetch(gaps, sink)

    def close(self) -> None:
        """Count that it is closed and run the script."""
        self.closed += 1
        self._close()

    def hosted(self, name: str = "acme", **more: Any) -> HostedProvider:
        """The provider as the host uses it."""
        return HostedProvider(name, self.open, **more)


def raising(error: BaseException) -> Callable[..., Any]:
    """A function that raises this, whatever it is called with."""

    def fail(*_: object) -> Any:
        raise error

    return fail
