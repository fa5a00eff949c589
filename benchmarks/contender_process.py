"""Runs one contender in its own process: ``python -m benchmarks.contender_process`` with a `RunSpec` on stdin.

Every contender imports its modules and opens its files before timing starts. The process prints a `RunMeasurement`; a
run that fails prints one line on stderr and ends with exit code 1.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import msgspec

from benchmarks.messages import RunMeasurement, RunSpec
from benchmarks.resource_usage import cpu_seconds, peak_megabytes
from benchmarks.simulated_clock import SimulatedClock
from server.core.os_threads import load_numpy


def run(spec: RunSpec) -> RunMeasurement:
    """Run a contender and measure it."""
    load_numpy()  # as the product does, before anything else imports it
    from benchmarks.contenders import CONTENDERS

    clock = SimulatedClock(Path(spec.clock)) if spec.clock else None
    if clock is not None:
        clock.track_requests()
    download = CONTENDERS[spec.contender].prepare(spec, clock)
    os.sync()  # earlier writes must not count for this run
    cpu, started = cpu_seconds(), time.perf_counter()
    counts = download()
    seconds = time.perf_counter() - started
    return RunMeasurement(
        seconds=seconds,
        waited=clock.waited if clock else 0.0,
        cpu_seconds=cpu_seconds() - cpu,
        peak_mb=peak_megabytes(),
        counts=counts,
    )


def main() -> int:
    """Read a `RunSpec`, run it and print its `RunMeasurement`."""
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=RunSpec)
    try:
        measurement = run(spec)
    except Exception as error:
        cause = getattr(error, "reason", None) or error  # what urllib3 wrapped
        print(f"{type(cause).__name__}: {' '.join(str(cause).split())}", file=sys.stderr)
        return 1
    print(msgspec.json.encode(measurement).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
