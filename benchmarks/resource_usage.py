"""Processor time and memory of this process and its descendants."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_PROCESSES = Path("/proc")
_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_MEGABYTE = 1 << (20 if sys.platform == "darwin" else 10)  # in the units of ru_maxrss


def cpu_seconds() -> float:
    """Return the processor seconds that this process and its descendants have used."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = sum(_cpu_seconds(pid) for pid in descendants())
    return time.process_time() + ended.ru_utime + ended.ru_stime + running


def peak_megabytes() -> float:
    """Return the peak memory of this process and its descendants, in megabytes.

    It is the sum of this process's peak, the peak of each running descendant, and the peak of the largest descendant
    that has ended. Shared memory counts once for each process, so with descendants the sum is an upper bound.
    """
    own = _peak("self")  # getrusage includes the process before exec, which was the parent's
    if own is None:
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MEGABYTE
    ended = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / _MEGABYTE
    return own + ended + sum(_peak(pid) or 0.0 for pid in descendants())


def descendants() -> Iterator[str]:
    """Yield the ids of the running processes that this one started, directly or indirectly."""
    children: dict[str, list[str]] = {}
    for stat in _PROCESSES.glob("[0-9]*/stat"):
        fields = _fields(stat)
        if fields:
            children.setdefault(fields[1], []).append(stat.parent.name)
    waiting = children.get(str(os.getpid()), [])
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children.get(pid, [])


def _fields(stat: Path) -> list[str]:
    """Return the fields after the command's name (state, parent, ...), or an empty list if the process has ended."""
    try:
        return stat.read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_seconds(pid: str) -> float:
    fields = _fields(_PROCESSES / pid / "stat")
    return sum(map(int, fields[11:13])) / _TICK if fields else 0.0


def _peak(pid: str) -> float | None:
    try:
        status = (_PROCESSES / pid / "status").read_text()
    except OSError:
        return None
    found = status.partition("VmHWM:")[2].split()
    return int(found[0]) / 1024 if found else None
