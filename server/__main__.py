"""`python -m server` and the command `backtest-server`."""

from __future__ import annotations

import gc
import os
import signal

INTERRUPTED = 130

_GC_THRESHOLD = 50_000
"""Allocations between two runs of the garbage collector. Python's default of 700 costs a fifth of the time in which
modules are loaded, and finds nothing there: modules and classes live until the process ends."""


def main() -> None:
    """Run the command line.

    Until a command minds Ctrl-C itself, nothing has been begun that would need an end, so the process just goes:
    while modules are loaded, Python may lose the interrupt or answer it with a traceback.
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
