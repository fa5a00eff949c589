"""A clock that only waiting moves, in a file that a contender and the local vendor share. Nobody sleeps."""

from __future__ import annotations

import mmap
import struct
import threading
from pathlib import Path
from typing import cast

from server.data_download.progress import CancelToken

_START = 1_700_000_000.0
_SECONDS = struct.Struct("d")


class SimulatedClock:
    """Seconds since 1970 that stand still unless somebody waits. It has what modules take from `time`.

    A wait ends so many seconds after its thread last looked at the clock: two threads that were told at one instant
    to wait a minute are both done a minute later, as they would be with a real clock.
    """

    def __init__(self, path: Path) -> None:
        """Open the clock of this file, or make it."""
        if not path.exists():
            path.write_bytes(_SECONDS.pack(_START))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SECONDS.size)
        self._lock = threading.Lock()
        self._seen = threading.local()
        self._began = self._now()

    @property
    def waited(self) -> float:
        """Seconds that have passed since it was opened."""
        return self._now() - self._began

    def time(self) -> float:
        """The instant."""
        self._seen.at = self._now()
        return cast("float", self._seen.at)

    def monotonic(self) -> float:
        """The instant, too."""
        return self.time()

    def time_ns(self) -> int:
        """The instant in nanoseconds."""
        return int(self.time() * 1e9)

    def sleep(self, seconds: float) -> None:
        """Let it be so many seconds later than when this thread last looked."""
        with self._lock:
            end = getattr(self._seen, "at", self._now()) + seconds
            if end > self._now():
                _SECONDS.pack_into(self._memory, 0, end)

    def _now(self) -> float:
        return float(_SECONDS.unpack_from(self._memory, 0)[0])


class SimulatedToken(CancelToken):
    """Waits by the clock, for whoever is handed it as the token of a run."""

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__()
        self._clock = clock

    def child(self) -> CancelToken:
        """A token for a part of the work, which waits by the same clock."""
        child = SimulatedToken(self._clock)
        self._children.add(child)
        if self.cancelled:
            child.cancel()
        return child

    def wait(self, seconds: float) -> bool:
        """Let the seconds pass on the clock. Returns whether it was cancelled."""
        if not self.cancelled:
            self._clock.sleep(seconds)
        return self.cancelled
