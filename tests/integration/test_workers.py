"""Tasks in other processes: the same results as here, errors that travel, and nothing that hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import Cancelled
from server.data_download import workers as module
from server.data_download.errors import BadResponseError
from server.data_download.workers import WorkerLost, Workers
from tests.support.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are used on Linux only")


def add(held: int | None, number: int) -> tuple[int, tuple[int, int]]:
    """Hold the sum; the result is the sum and where it was made."""
    return (held or 0) + number, ((held or 0) + number, os.getpid())


def fail(held: Any, kind: str) -> tuple[Any, None]:
    """Raise an error that a provider or a disk may raise."""
    if kind == "ours":
        raise BadResponseError("no bars", symbol="SPY", days=[date(2024, 3, 4)], request_id="abc")
    if kind == "disk":
        raise OSError(28, "No space left on device", "/data/spy.zip")
    os.kill(os.getpid(), signal.SIGKILL)
    return held, None


def open_files(held: Any) -> tuple[None, list[str]]:
    """What the process has open, standard streams excepted."""
    return None, sorted(
        str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if int(link.name) > 2 and link.exists()
    )


def wait_for_start(workers: Workers) -> None:
    """Wait until all processes run; they start in the background where there are threads."""
    deadline = time.monotonic() + PATIENCE
    while len(workers.processes) < workers.wanted:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def pool() -> Iterator[Workers]:
    """Two processes, whatever machine this is."""
    workers = Workers(0, processes=2)
    workers.start()
    wait_for_start(workers)
    yield workers
    workers.close()


def test_a_task_stays_in_one_process_that_holds_its_value(pool: Workers) -> None:
    """Each step finds what the one before left, and no step of another task does."""
    with pool.task() as first, pool.task() as second:
        (one, place), (two, other) = first.run(add, 1), second.run(add, 10)
        three, again = first.run(add, 2)
        value = first.bring()

    assert (one, two, three, value) == (1, 10, 3, 3)
    assert place == again
    assert len({place, other, os.getpid()}) == 3
    with pool.task() as third:
        assert third.run(add, 5)[0] == 5


@pytest.mark.parametrize("processes", [0, 2])
def test_what_a_step_raises_is_raised_here_with_its_facts(processes: int) -> None:
    """The task goes on from what it held before."""
    workers = Workers(0, processes=processes)
    workers.start()
    try:
        with workers.task() as task:
            task.run(add, 1)
            with pytest.raises(BadResponseError, match="no bars") as ours:
                task.run(fail, "ours")
            with pytest.raises(OSError, match="No space left") as disk:
                task.run(fail, "disk")
            assert task.run(add, 2)[0] == 3
    finally:
        workers.close()

    assert (ours.value.symbol, ours.value.days, ours.value.request_id) == ("SPY", (date(2024, 3, 4),), "abc")
    assert (disk.value.errno, disk.value.filename) == (28, "/data/spy.zip")


def test_a_process_that_dies_loses_its_task_and_no_other(pool: Workers) -> None:
    """The rest go on, and once the last one is gone the work is done here."""
    for left in (1, 0):
        with pool.task() as task, pytest.raises(WorkerLost):
            task.run(fail, "killed")
        assert sum(worker.alive for worker in pool.processes) == left
        with pool.task() as task:
            _, place = task.run(add, 1)
        assert (place == os.getpid()) == (left == 0)


def test_a_process_that_hangs_is_given_up(pool: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time that no step takes."""
    monkeypatch.setattr(module, "_STUCK_SECONDS", 0.0)
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.001)
    stopped = pool.processes[0]
    os.kill(stopped.pid, signal.SIGSTOP)

    with pool.task() as task, pytest.raises(WorkerLost):
        task.run(add, 1)

    assert not stopped.alive


def test_who_waits_for_a_process_stops_when_the_run_does() -> None:
    """A run that was cancelled waits for no worker."""
    stop = threading.Event()
    workers = Workers(0, stop.is_set, processes=2)
    workers.start()
    wait_for_start(workers)
    try:
        with workers.task() as one, workers.task() as two, workers.task() as three:
            one.run(add, 1)
            two.run(add, 1)
            stop.set()
            with pytest.raises(Cancelled):
                three.run(add, 1)
    finally:
        workers.close()


def test_a_process_has_nothing_of_this_one_open(tmp_path: Path) -> None:
    """No lock, file or database of its parent, so that nothing outlives the run."""
    with (tmp_path / "held").open("w") as held:
        workers = Workers(0, processes=1)
        workers.start()
        wait_for_start(workers)
        with workers.task() as task:
            found = task.run(open_files)
        workers.close()

    assert found
    assert held.name not in found
    assert all(name.startswith(("socket:", "pipe:", "/dev/")) for name in found)


def test_processes_end_with_the_pool(pool: Workers) -> None:
    """None is left behind."""
    pids = [worker.pid for worker in pool.processes]

    pool.close()

    deadline = time.monotonic() + PATIENCE
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline


@pytest.mark.parametrize(("tasks", "cores", "expected"), [(7, 2, 0), (8, 2, 2), (150, 2, 3), (150, 64, 4), (150, 1, 0)])
def test_as_many_processes_as_the_work_is_worth(
    monkeypatch: pytest.MonkeyPatch, tasks: int, cores: int, expected: int
) -> None:
    """One more than cores, four at most, five tasks for each, and none where there is but one core."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))

    assert Workers(tasks).wanted == expected


def test_where_no_process_can_be_started_the_work_is_done_here() -> None:
    """A limit on open files costs time and nothing else."""
    code = """
import resource
from server.data_download.workers import Workers
from tests.integration.test_workers import add
used = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (4, used))
workers = Workers(0, processes=2)
workers.start()
with workers.task() as task:
    print(task.run(add, 1)[0], len(workers.processes))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)

    assert (done.stdout, done.returncode) == ("1 0\n", 0), done.stderr


def test_processes_end_with_their_parent_however_it_ends() -> None:
    """A parent that is killed leaves no process behind."""
    code = """
import sys, time
from server.data_download.workers import Workers
if __name__ == "__main__":
    workers = Workers(0, processes=2)
    workers.start()
    print(*(worker.pid for worker in workers.processes), flush=True)
    time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = parent.stdout.readline().split()
    parent.kill()
    parent.communicate(timeout=PATIENCE)

    deadline = time.monotonic() + PATIENCE
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
