"""Starts the command line, as `python -m server` or as the command `backtest-server`."""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130


def main() -> None:
    """Run the command line.

    Until a command handles Ctrl-C, an interrupt ends the process at once: there is nothing to clean up, and while it
    loads modules, Python may ignore the interrupt or print a traceback.
    """
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    from server.cli import main as run

    run()


if __name__ == "__main__":
    main()
