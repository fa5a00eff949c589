"""The programs that this process runs now, so that none of them outlives it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_POLL_SECONDS = 0.05
_LOCK = threading.Lock()
_KILLS: dict[int, Callable[[], object]] = {}


@contextmanager
def running_program(kill: Callable[[], object]) -> Iterator[None]:
    """Register a program while it runs.

    Args:
        kill: Ends it at once.
    """
    key = id(kill)
    with _LOCK:
        _KILLS[key] = kill
    try:
        yield
    finally:
        with _LOCK:
            del _KILLS[key]


def wait_for_programs() -> bool:
    """Wait until no program runs; one that is being stopped ends within its graces.

    Returns:
        Whether there was one.
    """
    waited = False
    while _KILLS:
        waited = True
        time.sleep(_POLL_SECONDS)
    return waited


def kill_programs() -> None:
    """End all programs at once, before this process ends."""
    for kill in list(_KILLS.values()):  # no lock: a signal handler may have interrupted its holder
        with suppress(OSError):
            kill()
