"""One run of a contender, in this process alone: ``python -m server.bench.child`` with a `Job` on stdin.

Modules are imported, and what is open is opened, before the time is taken, for every contender alike. A `Ran` is
printed; a run that failed is one line on stderr and exit code 1.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import msgspec

from server.bench.contenders import CONTENDERS
from server.bench.job import Job, Ran
from server.bench.simulated import SimulatedClock
from server.bench.usage import cpu_seconds, peak_megabytes


def run(job: Job) -> Ran:
    """Run a contender and time it."""
    clock = SimulatedClock(Path(job.clock)) if job.clock else None
    if clock is not None:
        clock.watch_requests()
    work = CONTENDERS[job.contender].make(job, clock)
    os.sync()  # what was written before is not this run's to wait for
    cpu, started = cpu_seconds(), time.perf_counter()
    told = work()
    seconds = time.perf_counter() - started
    return Ran(
        seconds=seconds,
        waited=clock.waited if clock else 0.0,
        cpu_seconds=cpu_seconds() - cpu,
        peak_mb=peak_megabytes(),
        told=told,
    )


def main() -> int:
    """Take a job, run it, print what it took."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    try:
        ran = run(job)
    except Exception as error:
        cause = getattr(error, "reason", None) or error  # of what urllib3 wraps, what happened
        print(f"{type(cause).__name__}: {' '.join(str(cause).split())}", file=sys.stderr)
        return 1
    print(msgspec.json.encode(ran).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
