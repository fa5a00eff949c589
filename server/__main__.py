"""Starts the command line, as `python -m server` or as the command `backtest-server`."""

from __future__ import annotations

import gc
import os
import signal

INTERRUPTED = 130

_GC_THRESHOLD = 100_000
"""Allocations between two runs of the garbage collector. Python's default of 700 costs a fifth of the time in which
modules are loaded, and finds nothing there: modules and classes live until the process ends."""


def main() -> None:
    """Run the command line.

    Until a command handles Ctrl-C, an interrupt ends the process at once: there is nothing to clean up, and while it
    loads modules, Python may ignore the interrupt or print a traceback.
    """
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    gc.set_threshold(_GC_THRESHOLD)
    from server.cli import main as run

    try:
        run()
    finally:
        gc.freeze()  # what exists now is freed with the process; the collection at exit need not visit it


if __name__ == "__main__":
    main()
