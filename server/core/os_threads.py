"""The operating system's threads of this process: a process with several must not be forked."""

from __future__ import annotations

import os
import threading

from server.core.errors import BacktestServerError


def load_numpy() -> None:
    """Import numpy without the threads of its linear algebra, which nothing here uses."""
    name = "OPENBLAS_NUM_THREADS"
    if name not in os.environ:
        os.environ[name] = "1"
        try:
            import numpy  # noqa: F401
        finally:
            del os.environ[name]


def start_thread(thread: threading.Thread) -> None:
    """Start a thread.

    Raises:
        BacktestServerError: The system allows no more threads.
    """
    try:
        thread.start()
    except RuntimeError as error:
        raise BacktestServerError(
            f"the system allows this process no more threads ({error}); raise its limit (ulimit -u, or the container's "
            "limit of processes) or end other programs"
        ) from error


def os_threads() -> int:
    """The number of threads of this process, those outside of Python included; Linux counts them."""
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[17])
    except OSError:
        return threading.active_count()
