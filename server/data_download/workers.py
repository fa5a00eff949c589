"""Worker processes that decode responses and write files, so that every processor core has work.

Python runs one thread at a time. A worker keeps what it works on between two calls, so that bars do not travel between
processes: the response goes in as it was received, and what comes back is small. Where processes would not pay, or do
not exist, the same calls run in the calling thread.

Processes are forked from this one while it has a single thread, which takes 10 ms, and else from multiprocessing's fork
server, which takes 150 ms once. A worker ends when its pipe is closed: with this process, however that ends.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from server.core.errors import BacktestServerError, Cancelled
from server.core.os_threads import os_threads, start_thread

if TYPE_CHECKING:
    from datetime import date
    from multiprocessing.connection import Connection

    from server.data_download.provider import DataSink
    from server.lean.series import Series

MAX_WORKERS = 4
"""Worker processes at once, at most."""

TASKS_PER_WORKER = 4
"""Fewer tasks than this for each process would not pay for it."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameters of ``mallopt`` (mallopt(3))."""

_POLL_SECONDS = 0.1
_STUCK_SECONDS = 60.0
"""No step of a task takes a process this long; one that does is killed."""

_Result = TypeVar("_Result")
_Step = Callable[..., tuple[Any, _Result]]


class WorkerLost(Exception):  # noqa: N818 - not a fault of the task
    """A worker process ended or hangs; what it held is lost, and the task can start again."""


class Task:
    """One task, whose steps run one after the other in one place: a worker process, or the calling thread.

    A step is a function of a module, called with what the task holds so far (None at first) and the arguments. It
    returns what the task holds from then on, and a result. An exception of a step is raised here, and what the task
    holds stays as it was. As a context manager it returns its worker at the end.
    """

    def __init__(self, pool: Workers) -> None:
        """Create a task of a pool; it takes a worker with its first step."""
        self._pool = pool
        self._worker: WorkerProcess | None = None
        self._held: Any = None
        self._begun = False

    def __enter__(self) -> Task:
        """Use the task."""
        return self

    def __exit__(self, *error: object) -> None:
        """Return the worker."""
        self._held = None
        if self._worker is not None:
            self._pool.give_back(self._worker)
            self._worker = None

    def run(self, step: _Step[_Result], *arguments: Any) -> _Result:
        """Run the next step; the first one waits for a free worker, if there are any.

        Raises:
            WorkerLost: The process ended or hangs.
            Cancelled: The run was stopped while it waited.
        """
        begins = not self._begun
        if begins:
            self._worker, self._begun = self._pool.take(), True
        if self._worker is not None:
            result: _Result = self._worker.run(begins, step, arguments, self._pool.cancelled)
            return result
        self._held, result = step(self._held, *arguments)
        return result

    def bring(self) -> Any:
        """Return what the task holds, to this process."""
        return self.run(_bring) if self._worker is not None else self._held


class Workers:
    """The worker processes of one run."""

    def __init__(self, tasks: int, cancelled: Callable[[], bool] = lambda: False, *, processes: int | None = None):
        """Decide the number of processes; none is started yet.

        Args:
            tasks: The number of tasks.
            cancelled: Whether the run was stopped.
            processes: The number of processes, instead of one that the tasks and the processor cores justify.
        """
        self.wanted = worker_count(tasks) if processes is None else processes
        self.at_once = self.wanted or 2
        """Tasks that are worked on at once."""
        self.cancelled = cancelled
        self._started = threading.Event()
        self._closed = threading.Event()
        self._free: queue.SimpleQueue[WorkerProcess] = queue.SimpleQueue()
        self.processes: list[WorkerProcess] = []

    def start(self, preload: Sequence[str] = ()) -> None:
        """Start the processes, before any thread if that is possible: then they are forked from this process.

        Args:
            preload: Modules that the fork server imports once, if there are threads already.
        """
        if not (self.wanted and os_threads() > 1):
            self._start("fork", ())
            return
        try:
            start_thread(threading.Thread(target=self._start, args=("forkserver", preload), daemon=True))
        except BacktestServerError:  # no more threads allowed: the calling threads do the work
            self._started.set()

    def _start(self, method: str, preload: Sequence[str]) -> None:
        try:
            with suppress(OSError, EOFError):  # no more processes or files allowed: those that exist suffice
                while len(self.processes) < self.wanted and not self._closed.is_set():
                    self.processes.append(WorkerProcess(method, preload))
                    self._free.put(self.processes[-1])
        finally:
            self._started.set()  # else tasks would wait without end

    def task(self) -> Task:
        """Create a task."""
        return Task(self)

    def close(self) -> None:
        """End all processes at once; a task that still waits for one gets none."""
        if self._closed.is_set():
            return
        self._closed.set()
        for worker in list(self.processes):
            worker.kill()
        if self.wanted:  # the system frees their memory meanwhile, for which the caller need not wait
            with suppress(BacktestServerError):  # without it they are joined at the end of this process
                start_thread(threading.Thread(target=self._join, name="join-workers", daemon=True))

    def _join(self) -> None:
        self._started.wait()
        for worker in self.processes:
            worker.kill()
            worker.join()

    def take(self) -> WorkerProcess | None:
        """Wait for a free worker; None means the calling thread, if no worker exists.

        Raises:
            Cancelled: The run was stopped while it waited.
        """
        while not self._started.is_set() or any(worker.alive for worker in self.processes):
            with suppress(queue.Empty):
                worker = self._free.get(timeout=_POLL_SECONDS)
                if worker.alive:
                    return worker
            if self.cancelled():
                raise Cancelled("stopped before a response was worked on")
        return None

    def give_back(self, worker: WorkerProcess) -> None:
        """Return a worker that `take` returned."""
        self._free.put(worker)


def worker_count(tasks: int) -> int:
    """The number of processes that pay for this number of tasks; only Linux forks them safely."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 0
    # one more than cores, since each waits for the disk, too
    wanted = min(cores + 1, MAX_WORKERS, tasks // TASKS_PER_WORKER)
    return wanted if cores > 1 and wanted > 1 else 0


def deliver(sink: DataSink, series: Series, days: Sequence[date], task: Task) -> None:
    """Deliver the bars that a task holds to a sink (see `DataSink.bars`); the host's sink writes them in the worker."""
    from server.data_download.sink import HostSink

    if isinstance(sink, HostSink):
        sink.bars_of_task(series, days, task)
    else:
        sink.bars(series, days, task.bring())


class WorkerProcess:
    """One process; used by one thread at a time."""

    def __init__(self, method: str, preload: Sequence[str]) -> None:
        """Start the process.

        Args:
            method: How multiprocessing starts it: ``fork`` or ``forkserver``.
            preload: Modules that the fork server imports once.

        Raises:
            OSError: The system allows no more processes or files.
        """
        import multiprocessing

        context: Any = multiprocessing.get_context(method)
        if method == "forkserver":
            context.set_forkserver_preload(["__main__", __name__, *preload])
        self._connection, end_of_child = context.Pipe()
        self._process = context.Process(target=_serve, args=(end_of_child, method == "fork"), daemon=True)
        try:
            self._process.start()
        finally:
            end_of_child.close()
        self.pid = self._process.pid
        self.alive = True

    def run(self, begins: bool, step: _Step[Any], arguments: tuple[Any, ...], cancelled: Callable[[], bool]) -> Any:
        """Run a step in the process; see `Task.run`."""
        try:
            self._connection.send((begins, step, arguments))
            waited = 0.0
            while not self._connection.poll(_POLL_SECONDS):
                waited += _POLL_SECONDS
                if waited > _STUCK_SECONDS:
                    raise TimeoutError
            good, result = self._connection.recv()
        except (OSError, EOFError) as error:
            self.kill()
            if cancelled():
                raise Cancelled("stopped while a response was worked on") from error
            raise WorkerLost from error
        if good:
            return result
        raise result

    def kill(self) -> None:
        """End the process at once; what it was writing stays under a temporary name."""
        if self.alive:
            self.alive = False
            self._process.kill()

    def join(self) -> None:
        """Wait until the process has ended."""
        self._process.join()
        self._process.close()
        self._connection.close()


def _serve(connection: Connection, forked: bool) -> None:
    """Run step after step until the pipe is closed."""
    import gc
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it too; its parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if forked:  # locks, sockets and databases belong to the parent
        own = connection.fileno()
        os.closerange(3, own)
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
    """Keep freed memory between tasks: to get it again for each of them costs a fifth of the time."""
    import ctypes

    with suppress(OSError, AttributeError):  # another C library than glibc
        adjust = ctypes.CDLL(None).mallopt
        adjust(_M_MMAP_THRESHOLD, 1 << 26)
        adjust(_M_TRIM_THRESHOLD, 1 << 28)


def _bring(held: Any) -> tuple[Any, Any]:
    return held, held
