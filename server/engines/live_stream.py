"""Receives LEAN's live stream: a ZeroMQ PUSH socket that LEAN binds (LEAN: ``StreamingMessageHandler``).

LEAN waits before its first bar until a receiver is connected, and again whenever nothing is received. So the receiver
connects before LEAN starts and receives until it has ended, whatever the packets are and whatever becomes of them.
"""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from loguru import logger

from server.core.errors import ToolMissingError
from server.engines.base import EngineProgress
from server.engines.stream_packets import StreamProgress, parse_packet

REPORT_SECONDS = 1.0
"""The least number of seconds between two reports of progress."""

DRAIN_SECONDS = 1.0
"""Seconds after the end of LEAN within which the rest of the stream is received."""

_POLL_MS = 100
_MOST_QUEUED = 200
"""The number of packets that ZeroMQ queues here; LEAN's own queue has the others."""

UNREADABLE = "A packet of LEAN's live stream could not be read and is ignored; more of them are not reported"


def stream_available() -> bool:
    """Return whether pyzmq, which receives the stream, is installed."""
    return importlib.util.find_spec("zmq") is not None


@contextmanager
def receive_stream(
    port: int, *, on_progress: Callable[[EngineProgress], None], on_line: Callable[[str], None]
) -> Iterator[None]:
    """Receive the stream of one run, from before LEAN starts until it has ended.

    Args:
        port: The port of LEAN's socket on this machine.
        on_progress: Receives the progress from another thread, at most once a second. If it raises, it is not called
            again, and the stream is received as before.
        on_line: Receives lines of LEAN and of the algorithm from another thread; likewise.

    Raises:
        ToolMissingError: pyzmq is not installed.
    """
    if not stream_available():
        raise ToolMissingError(
            "LEAN's live stream needs pyzmq, which is not installed; "
            "pip install 'backtest-server[stream]', or set lean-live-stream to false"
        )
    import zmq

    context = zmq.Context(io_threads=1)
    socket = context.socket(zmq.PULL)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVHWM, _MOST_QUEUED)
    socket.connect(f"tcp://127.0.0.1:{port}")
    receiver = _Receiver(socket, on_progress, on_line)
    thread = threading.Thread(target=receiver.receive, name="lean-live-stream", daemon=True)
    thread.start()
    try:
        yield
    finally:
        receiver.ended_at = time.monotonic()
        thread.join()
        context.destroy(linger=0)


class _Receiver:
    """Receives packets in a thread, which alone uses the socket after its start.

    Attributes:
        ended_at: When LEAN ended, by the monotonic clock; None while it runs.
    """

    def __init__(
        self, socket: Any, on_progress: Callable[[EngineProgress], None], on_line: Callable[[str], None]
    ) -> None:
        self.ended_at: float | None = None
        self._socket = socket
        self._on_progress = on_progress
        self._on_line = on_line
        self._state = StreamProgress()
        self._changed = False
        self._reported_at = -REPORT_SECONDS
        self._unreadable = False
        self._broken = False

    def receive(self) -> None:
        """Receive until LEAN has ended and nothing is left, or the time for that is over."""
        while True:
            received = self._socket.poll(_POLL_MS)
            if received:
                self._safely(self._take, b"".join(self._socket.recv_multipart()))
            ended = self.ended_at
            last = ended is not None and (not received or time.monotonic() - ended > DRAIN_SECONDS)
            if self._changed and (last or time.monotonic() - self._reported_at >= REPORT_SECONDS):
                self._safely(self._report)
            if last:
                return

    def _take(self, payload: bytes) -> None:
        packet = parse_packet(payload)
        if packet is None:
            if not self._unreadable:
                self._unreadable = True
                self._on_line(UNREADABLE)
            return
        self._changed = self._state.add(packet) or self._changed
        for line in packet.lines:
            self._on_line(line)

    def _report(self) -> None:
        self._changed = False
        self._reported_at = time.monotonic()
        self._on_progress(self._state.progress())

    def _safely(self, work: Callable[..., None], *arguments: bytes) -> None:
        """Do something, after whose failure packets are only received: LEAN would wait for a receiver otherwise."""
        if self._broken:
            return
        try:
            work(*arguments)
        except Exception as error:
            self._broken = True
            logger.opt(exception=error).warning("the live progress of LEAN is not shown any more")
