"""`python -m server` and the command `backtest-server`."""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130


def main() -> None:
    """Run the command line.

    Until a command minds Ctrl-C itself, nothing has been begun that would need an end, so the process just goes:
    while modules are loaded, Python may lose the interrupt or answer it with a traceback.
    """
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    from server.cli import main as run

    run()


if __name__ == "__main__":
    main()
