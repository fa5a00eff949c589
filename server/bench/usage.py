"""What a process has used: processor time and memory, its helpers' too."""

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
    """Seconds of the processors that this process and those it started have used."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = sum(_times(pid) for pid in helpers())
    return time.process_time() + ended.ru_utime + ended.ru_stime + running


def peak_megabytes() -> float:
    """The most memory that this process held at once, with its helpers'.

    To it come the most of each helper that still runs, and of the largest one that has ended. What processes share
    counts for each of them, so with helpers it is rather too much than too little.
    """
    own = _peak("self")  # getrusage knows of the process before exec, too, which was the parent's
    if own is None:
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MEGABYTE
    ended = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / _MEGABYTE
    return own + ended + sum(_peak(pid) or 0.0 for pid in helpers())


def helpers() -> Iterator[str]:
    """The processes that this one started, and those that they did."""
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
    """The fields after the command's name: state, parent, and so on; none of a process that has ended."""
    try:
        return stat.read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _times(pid: str) -> float:
    fields = _fields(_PROCESSES / pid / "stat")
    return sum(map(int, fields[11:13])) / _TICK if fields else 0.0


def _peak(pid: str) -> float | None:
    try:
        status = (_PROCESSES / pid / "status").read_text()
    except OSError:
        return None
    found = status.partition("VmHWM:")[2].split()
    return int(found[0]) / 1024 if found else None
