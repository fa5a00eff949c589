"""The signals that stop a program."""

from __future__ import annotations

import signal


def stopping_signals() -> list[signal.Signals]:
    """Return SIGINT, SIGTERM, and SIGHUP of a terminal that was closed, unless that is ignored, as under nohup."""
    found = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        found.append(signal.SIGHUP)
    return found
