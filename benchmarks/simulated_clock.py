"""A clock that advances only through waits, in a file that a contender and the local server share. Nothing sleeps."""

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
"""Real seconds after which a thread that read the clock, and then neither sent a request nor waited, is ignored."""


class SimulatedClock:
    """Seconds since 1970 that advance only through waits. It has the functions that modules take from `time`.

    It works as in a discrete-event simulation: it advances to the earliest end of all waits, and only when every other
    thread waits too or has received its response. A request is therefore answered at the instant at which its thread
    sent it, however busy the machine is, and threads that start a wait of a minute at one instant all end it a minute
    later.
    """

    def __init__(self, path: Path) -> None:
        """Open the clock in this file, or create it."""
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
        """Seconds that have passed since this object opened the clock."""
        return self.read() - self._began

    @property
    def waiting(self) -> int:
        """The number of threads of this process that wait."""
        with self._changed:
            return len(self._ends)

    def read(self) -> float:
        """Return the current time without marking this thread as busy."""
        return float(_SECONDS.unpack_from(self._memory, 0)[0])

    def time(self) -> float:
        """Return the current time and mark this thread as busy, until it waits or receives a response."""
        with self._changed:
            self._busy.add(threading.get_ident())
            self._seen.at = self.read()
        return cast("float", self._seen.at)

    def monotonic(self) -> float:
        """Return the same as `time`."""
        return self.time()

    def time_ns(self) -> int:
        """Return the current time in nanoseconds."""
        return int(self.time() * 1e9)

    def response_received(self) -> None:
        """Mark this thread as no longer busy."""
        with self._changed:
            self._busy.discard(threading.get_ident())
            self._changed.notify_all()

    def sleep(self, seconds: float) -> None:
        """Wait until `seconds` after this thread last read the clock; the thread is busy afterwards."""
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

    def track_requests(self) -> None:
        """Keep threads of this process marked as busy while they wait for a response.

        It patches `http.client`, so it is for a process that ends with its run.
        """
        connection = http.client.HTTPConnection
        send, receive = connection.putrequest, connection.getresponse

        def putrequest(line: http.client.HTTPConnection, *args: Any, **kwargs: Any) -> None:
            self.time()
            send(line, *args, **kwargs)

        def getresponse(line: http.client.HTTPConnection) -> http.client.HTTPResponse:
            try:
                return receive(line)
            finally:
                self.response_received()

        for function in (putrequest, getresponse):
            setattr(connection, function.__name__, function)


class SimulatedCancelToken(CancelToken):
    """A cancel token whose waits advance a simulated clock."""

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__()
        self._clock = clock

    def child(self) -> CancelToken:
        """Create a token for a part of the work that waits on the same clock."""
        return self._adopt(SimulatedCancelToken(self._clock))

    def wait(self, seconds: float) -> bool:
        """Wait on the clock for this many seconds; return whether the token was cancelled."""
        if not self.cancelled:
            self._clock.sleep(seconds)
        return self.cancelled
