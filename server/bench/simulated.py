"""A clock that only waiting moves, in a file that a contender and the local vendor share. Nobody sleeps."""

from __future__ import annotations

import http.client
import mmap
import struct
import threading
from pathlib import Path
from typing import Any, cast

from server.core.cancel import CancelToken

_START = 1_700_000_000.0
_SECONDS = struct.Struct("d")
_STUCK_SECONDS = 2.0
"""Real seconds after which a thread that looked at the clock, and then neither asked nor waited, holds up nobody."""


class SimulatedClock:
    """Seconds since 1970 that stand still unless somebody waits. It has what modules take from `time`.

    It goes on as a simulation's does: to the earliest end of all waits, and only once every other thread waits, too,
    or is done with what it asked. So a request is answered at the instant at which its thread decided to send it,
    however busy the machine is, and threads that were told at one instant to wait a minute are done a minute later.
    """

    def __init__(self, path: Path) -> None:
        """Open the clock of this file, or make it."""
        if not path.exists():
            path.write_bytes(_SECONDS.pack(_START))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SECONDS.size)
        self._changed = threading.Condition()
        self._busy: set[int] = set()
        self._ends: dict[int, float] = {}
        self._seen = threading.local()
        self._began = self.read()

    @property
    def waited(self) -> float:
        """Seconds that have passed since it was opened."""
        return self.read() - self._began

    def read(self) -> float:
        """The instant, for whoever has no part in what happens."""
        return float(_SECONDS.unpack_from(self._memory, 0)[0])

    def time(self) -> float:
        """The instant. This thread is busy from now on, until it waits or is answered."""
        with self._changed:
            self._busy.add(threading.get_ident())
            self._seen.at = self.read()
        return cast("float", self._seen.at)

    def monotonic(self) -> float:
        """The instant, too."""
        return self.time()

    def time_ns(self) -> int:
        """The instant in nanoseconds."""
        return int(self.time() * 1e9)

    def answered(self) -> None:
        """This thread has what it asked for."""
        with self._changed:
            self._busy.discard(threading.get_ident())
            self._changed.notify_all()

    def sleep(self, seconds: float) -> None:
        """Wait until it is so many seconds later than when this thread last looked. It is busy then."""
        me = threading.get_ident()
        with self._changed:
            end = getattr(self._seen, "at", self.read()) + seconds
            self._busy.discard(me)
            self._ends[me] = end
            self._changed.notify_all()
            while self.read() < end:
                if not self._busy and end <= min(self._ends.values()):
                    _SECONDS.pack_into(self._memory, 0, end)
                elif not self._changed.wait(_STUCK_SECONDS):
                    self._busy.clear()
            del self._ends[me]
            self._busy.add(me)
            self._seen.at = self.read()
            self._changed.notify_all()

    def watch_requests(self) -> None:
        """Keep threads of this process busy while they wait for an answer; for a process that ends with its run."""
        connection = http.client.HTTPConnection
        ask, answer = connection.putrequest, connection.getresponse

        def putrequest(line: http.client.HTTPConnection, *args: Any, **kwargs: Any) -> None:
            self.time()
            ask(line, *args, **kwargs)

        def getresponse(line: http.client.HTTPConnection) -> http.client.HTTPResponse:
            try:
                return answer(line)
            finally:
                self.answered()

        for function in (putrequest, getresponse):
            setattr(connection, function.__name__, function)


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
