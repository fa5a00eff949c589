"""How far a run of LEAN has come, while it runs.

Without the live stream the progress comes from the result file: ``<id>.json`` appears 5 to 10 seconds after the start
and is rewritten in place every 30, with the equity so far and the last 100 orders
(LEAN: ``BacktestingResultHandler.Update``). It can be half-written whenever it is read.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
from loguru import logger

from server.engines.base import EngineProgress
from server.engines.lean_log import Span, logged_dates
from server.engines.results_files import day_of, equity_of, get_any, is_result_name
from server.engines.stream_packets import largest_order

POLL_SECONDS = 1.0
"""Seconds between two looks at the results folder."""

LOG_HEAD = 256_000
"""The number of bytes at the beginning of log.txt within which LEAN logs the algorithm's dates."""

_JOIN_SECONDS = 5.0
_NEEDED = ("charts", "orders", "state", "algorithmconfiguration")


@contextmanager
def follow_run(
    folder: Path,
    *,
    stream_port: int | None,
    on_progress: Callable[[EngineProgress], None],
    on_line: Callable[[str], None],
    start: date | None = None,
    end: date | None = None,
) -> Iterator[None]:
    """Follow a run of LEAN: entered before LEAN's process starts, left after it has ended.

    Nothing that goes wrong here reaches the run.

    Args:
        folder: The results folder; it need not exist yet.
        stream_port: The port of LEAN's live stream on this machine; None reads the result file instead.
        on_progress: Receives the progress, from another thread, at most about once a second.
        on_line: Receives the lines of LEAN and of the algorithm that only the stream has, from another thread.
        start: The first day that the algorithm is expected to run, until LEAN's log has the one it set.
        end: The last day, likewise.

    Raises:
        ToolMissingError: The stream is wanted and pyzmq is not installed.
    """
    if stream_port is not None:
        from server.engines.live_stream import receive_stream

        with receive_stream(stream_port, on_progress=on_progress, on_line=on_line):
            yield
        return
    follower = _Follower(folder, on_progress, (start, end) if start and end else None)
    thread = threading.Thread(target=follower.follow, name="lean-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        follower.stop.set()
        thread.join(_JOIN_SECONDS)


def progress_of(content: bytes, expected: Span | None = None) -> EngineProgress | None:
    """Return the progress that a result file shows.

    Args:
        content: The content of ``<id>.json``.
        expected: First and last day of the algorithm where the file does not have them, as while LEAN runs.

    Returns:
        None where the content is half-written, or not a result with charts.
    """
    try:
        return _progress(_values(content), expected)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def fraction_of(day: date, start: date, end: date) -> float | None:
    """Return how much of a range is over with this day, from 0 to 1; None for a day or a range that does not fit.

    The equity curve begins with the midnight before the first day, which belongs to the day before.
    """
    days, done = (end - start).days + 1, (day - start).days + 1
    return done / days if 0 <= done <= days else None


class _Follower:
    """Reads the result file of a run in a thread whenever it has changed.

    Attributes:
        stop: Set once LEAN has ended; the file is then read a last time.
    """

    def __init__(self, folder: Path, on_progress: Callable[[EngineProgress], None], expected: Span | None) -> None:
        self.stop = threading.Event()
        self._folder = folder
        self._on_progress = on_progress
        self._expected = expected
        self._logged: Span | None = None
        self._read: tuple[Path, int, int] | None = None

    def follow(self) -> None:
        """Look for a change about once a second until LEAN has ended."""
        try:
            ended = False
            while not ended:
                ended = self.stop.wait(POLL_SECONDS)
                self._look()
        except Exception as error:
            logger.opt(exception=error).warning("the live progress of LEAN is not shown any more")

    def _look(self) -> None:
        newest = self._newest()
        if newest is None or newest == self._read:
            return
        try:
            content = newest[0].read_bytes()
        except OSError:
            return
        progress = progress_of(content, self._dates())
        if progress is not None:  # else it is half-written, and read again
            self._read = newest
            self._on_progress(progress)

    def _newest(self) -> tuple[Path, int, int] | None:
        """Return the result that changed last, with its modification time and size."""
        found = []
        for path in self._folder.glob("*.json"):
            with suppress(OSError):
                if is_result_name(path.name) and (status := path.stat()).st_size:
                    found.append((path, status.st_mtime_ns, status.st_size))
        return max(found, key=lambda one: one[1], default=None)

    def _dates(self) -> Span | None:
        if self._logged is None:
            with suppress(OSError), (self._folder / "log.txt").open("rb") as file:
                self._logged = logged_dates(file.read(LOG_HEAD).decode("utf-8", errors="replace"))
        return self._logged or self._expected


def _values(content: bytes) -> dict[str, dict[str, msgspec.Raw]]:
    """Decode two levels of what is needed of a result: the values below them stay encoded."""
    raw = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"), type=dict[str, msgspec.Raw])
    return {key.lower(): _level(value) for key, value in raw.items() if key.lower() in _NEEDED}


def _progress(values: Mapping[str, Mapping[str, msgspec.Raw]], expected: Span | None) -> EngineProgress | None:
    if "charts" not in values:
        return None
    equity = equity_of(values["charts"])
    day = equity.dates[-1] if equity.dates else None
    state, configuration = (_plain(values.get(name, {})) for name in ("state", "algorithmconfiguration"))
    start, end = (day_of(get_any(configuration, name)) for name in ("startDate", "endDate"))
    span = (start, end) if start and end else expected
    return EngineProgress(
        fraction=fraction_of(day, *span) if day and span else None,
        equity=equity,
        orders=max(largest_order(values.get("orders", {})), _count(get_any(state, "OrderCount"))),
    )


def _level(value: msgspec.Raw) -> dict[str, msgspec.Raw]:
    try:
        return msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return {}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: msgspec.json.decode(value) for key, value in values.items()}


def _count(value: object) -> int:
    return int(value) if isinstance(value, str | int) and re.fullmatch(r"[0-9]{1,18}", str(value)) else 0
