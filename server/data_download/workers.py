"""Processes beside this one that turn answers into files, so that each processor core has work.

Python runs one thread at a time; what is computed for bars in threads would wait for one core, and each call to the
disk for its turn. A worker holds what it works on between two calls, so that bars never travel: the answer goes in as
it came over the wire, and what comes back is small. Where no process can be had, or none is worth it, the same calls
run in the thread that makes them.
"""

from __future__ import annotations

import gc
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from typing import TYPE_CHECKING, Any, TypeVar

from server.core.errors import Cancelled

if TYPE_CHECKING:
    from datetime import date

    from server.data_download.provider import DataSink
    from server.lean.series import Series

_MOST = 4
_TASKS_EACH = 4
"""Fewer tasks than this for each process would not pay for it."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of ``mallopt`` (mallopt(3))."""

_POLL_SECONDS = 0.1
_STUCK_SECONDS = 60.0
"""No step of a task takes a process that long; one that does is given up."""

_Result = TypeVar("_Result")
_Step = Callable[..., tuple[Any, _Result]]


class WorkerLost(Exception):  # noqa: N818 - not a fault of the task
    """The process ended or hangs; what it held is lost, and the task can be begun anew."""


class Task:
    """One task, whose steps run in one place, a process or this one, one after the other.

    A step is a function of a module, called with what the task holds so far (None at first) and the arguments; it
    returns what the task holds from now on, and a result. What a step raises is raised here, and what the task holds
    stays as it was. Use it as a context manager: the place is free for another task afterwards.
    """

    def __init__(self, pool: Workers) -> None:
        self._pool = pool
        self._worker: _Process | None = None
        self._held: Any = None
        self._begun = False

    def __enter__(self) -> Task:
        return self

    def __exit__(self, *error: object) -> None:
        self._held = None
        if self._worker is not None:
            self._pool._give_back(self._worker)
            self._worker = None

    def run(self, step: _Step[_Result], *arguments: Any) -> _Result:
        """Run the next step; the first one waits until a process is free, if there are any.

        Raises:
            WorkerLost: The process ended or hangs.
            Cancelled: The run was stopped while it waited.
        """
        begins = not self._begun
        if begins:
            self._worker, self._begun = self._pool._take(), True
        if self._worker is not None:
            result: _Result = self._worker.run(begins, step, arguments, self._pool.cancelled)
            return result
        self._held, result = step(self._held, *arguments)
        return result

    def bring(self) -> Any:
        """What the task holds, here."""
        return self.run(_bring) if self._worker is not None else self._held


class Workers:
    """The processes of one run."""

    def __init__(self, tasks: int, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Decide how many there will be; none are started yet.

        Args:
            tasks: How many there are to do.
            cancelled: Whether the run was stopped, so that nobody need wait any longer.
        """
        cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 0
        wanted = min(cores + 1, _MOST, tasks // _TASKS_EACH)  # one more than cores, since each waits for the disk, too
        self._wanted = wanted if cores > 1 and wanted > 1 else 0
        self.at_once = self._wanted or 2
        """Tasks that are worked on at once."""
        self.cancelled = cancelled
        self._started = threading.Event()
        self._closed = threading.Event()
        self._all: list[_Process] = []
        self._free: queue.SimpleQueue[_Process] = queue.SimpleQueue()

    def start(self) -> None:
        """Start the processes. Tasks begun before wait for it.

        They are copies of this process and know all it has imported. Only Linux makes such copies safely; elsewhere
        there are none.
        """
        with suppress(OSError):  # no more processes or files allowed: those there are will do
            for _ in range(self._wanted):
                self._all.append(_Process())
                self._free.put(self._all[-1])
        self._started.set()
        if self._all:
            threading.Thread(target=self._see_off, daemon=True).start()

    def task(self) -> Task:
        """A new task."""
        return Task(self)

    def close(self) -> None:
        """End all processes. Whoever still waits for one gets none."""
        for worker in self._all:
            if worker.alive:
                worker.end()
        self._closed.set()

    def _see_off(self) -> None:
        """Wait until all have ended: the system clears each away then, for which nobody else need wait."""
        for worker in self._all:
            os.waitid(os.P_PIDFD, worker.handle, os.WEXITED)
        self._closed.wait()
        for worker in self._all:
            worker.forget()

    def _take(self) -> _Process | None:
        self._started.wait()
        while any(worker.alive for worker in self._all):
            with suppress(queue.Empty):
                worker = self._free.get(timeout=_POLL_SECONDS)
                if worker.alive:
                    return worker
            if self.cancelled():
                raise Cancelled("stopped before an answer was worked on")
        return None

    def _give_back(self, worker: _Process) -> None:
        if worker.alive:
            self._free.put(worker)


def deliver(sink: DataSink, series: Series, days: Sequence[date], task: Task) -> None:
    """Deliver the bars that a task holds to a sink (see `DataSink.bars`): the host's writes them where they are."""
    from server.data_download.sink import HostSink

    if isinstance(sink, HostSink):
        sink.bars_of_task(series, days, task)
    else:
        sink.bars(series, days, task.bring())


class _Process:
    """One process; used by one thread at a time."""

    def __init__(self) -> None:
        ours, theirs = Pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                _serve(theirs)
                code = 0
            finally:
                os._exit(code)
        theirs.close()
        self._connection = ours
        self.handle = os.pidfd_open(self.pid)  # unlike its number, never another process's
        self.alive = True

    def run(self, begins: bool, step: _Step[Any], arguments: tuple[Any, ...], cancelled: Callable[[], bool]) -> Any:
        try:
            self._connection.send((begins, step, arguments))
            waited = 0.0
            while not self._connection.poll(_POLL_SECONDS):
                waited += _POLL_SECONDS
                if waited > _STUCK_SECONDS:
                    raise TimeoutError
            good, result = self._connection.recv()
        except (OSError, EOFError) as error:
            self.end()
            if cancelled():
                raise Cancelled("stopped while an answer was worked on") from error
            raise WorkerLost from error
        if good:
            return result
        raise result

    def end(self) -> None:
        """End the process at once; what it was writing stays under a temporary name."""
        self.alive = False
        with suppress(OSError):  # it has ended already
            signal.pidfd_send_signal(self.handle, signal.SIGKILL)

    def forget(self) -> None:
        """Let go of a process that has ended."""
        handle, self.handle = self.handle, -1
        os.close(handle)


def _serve(connection: Connection) -> None:
    """What a process does until this one is gone: step after step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it too, and is not its business
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    own = connection.fileno()
    os.closerange(3, own)  # locks, sockets and databases are the other process's
    os.closerange(own + 1, min(os.sysconf("SC_OPEN_MAX"), 1 << 16))
    gc.freeze()
    _keep_memory()
    held = None
    while True:
        try:
            begins, step, arguments = connection.recv()
        except (EOFError, OSError):
            return
        if begins:
            held = None
        try:
            held, result = step(held, *arguments)
            answer = (True, result)
        except Exception as error:
            answer = (False, error)
        connection.send(answer)


def _keep_memory() -> None:
    """Give no memory back between tasks: to get it anew for each window would cost a fifth of the time."""
    import ctypes

    with suppress(OSError, AttributeError):  # another C library than glibc
        adjust = ctypes.CDLL(None).mallopt
        adjust(_M_MMAP_THRESHOLD, 1 << 26)
        adjust(_M_TRIM_THRESHOLD, 1 << 28)


def _bring(held: Any) -> tuple[Any, Any]:
    return held, held
