"""Limits the wrong tokens that one address may send."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

MOST_WRONG = 10
WINDOW_SECONDS = 60.0
"""An address may send `MOST_WRONG` wrong tokens in this time."""

_MOST_ADDRESSES = 10_000


class WrongTokens:
    """Wrong tokens of the last minute by address. Used on one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with none.

        Args:
            clock: Returns seconds that only ascend.
        """
        self._clock = clock
        self._times: dict[str, deque[float]] = {}

    def wait(self, address: str) -> int:
        """Return the whole seconds until an address may send another token; 0 if it may now."""
        times = self._times.get(address)
        if times is None:
            return 0
        now = self._clock()
        while times and times[0] <= now - WINDOW_SECONDS:
            times.popleft()
        if not times:
            del self._times[address]
            return 0
        return math.ceil(times[0] + WINDOW_SECONDS - now) if len(times) >= MOST_WRONG else 0

    def add(self, address: str) -> None:
        """Count a wrong token."""
        times = self._times.pop(address, deque())  # to the end: the first one has been without one for the longest
        times.append(self._clock())
        self._times[address] = times
        if len(self._times) > _MOST_ADDRESSES:
            del self._times[next(iter(self._times))]
