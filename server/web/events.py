"""Streams a job's events as server-sent events; a client can resume after the last event that it received."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress

from server.core.errors import BacktestServerError
from server.jobs import JobEvent, JobQueue

HEARTBEAT_SECONDS = 15.0
_BATCH = 500


class EventHub:
    """Wakes the streams of a job when it changes. Bound to one event loop."""

    def __init__(self, queue: JobQueue) -> None:
        """Watch a queue; call it on the event loop."""
        self._store = queue.store
        self._loop = asyncio.get_running_loop()
        self._streams: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._closing = False
        queue.watch(self._wake_from_any_thread)

    def close(self) -> None:
        """End all streams without the final event; call it on the event loop."""
        self._closing = True
        for identity in list(self._streams):
            self._wake(identity)

    def _wake_from_any_thread(self, identity: str, over: bool) -> None:
        with suppress(RuntimeError):  # the loop has ended, and the streams with it
            self._loop.call_soon_threadsafe(self._wake, identity)

    def _wake(self, identity: str) -> None:
        for stream in self._streams.get(identity, ()):
            stream.set()

    async def stream(self, identity: str, after: int, heartbeat: float = HEARTBEAT_SECONDS) -> AsyncIterator[str]:
        """Yield the job's events after the one of this number, each once and in order, until the job ends.

        Where the store cannot be read, the stream ends without the final event, and the client reconnects.

        Args:
            identity: The job.
            after: Number of the last event that the client has.
            heartbeat: Seconds without an event after which a comment is sent.
        """
        woken = asyncio.Event()
        self._streams[identity].add(woken)
        try:
            while not self._closing:
                woken.clear()
                try:
                    over, events = await asyncio.to_thread(self._read, identity, after)
                except (KeyError, BacktestServerError):
                    return
                for event in events:
                    after = event.number
                    yield f"id: {event.number}\ndata: {json.dumps(event.data)}\n\n"
                if events:
                    continue
                if over:
                    yield "event: end\ndata: {}\n\n"
                    return
                try:
                    await asyncio.wait_for(woken.wait(), heartbeat)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self._streams[identity].discard(woken)
            if not self._streams[identity]:
                del self._streams[identity]

    def _read(self, identity: str, after: int) -> tuple[bool, list[JobEvent]]:
        over = self._store.get(identity).state.over  # first: no event follows the one of a final state
        return over, self._store.events(identity, after, _BATCH)
