"""A download in a process of its own: ``python -m tests.support.download_process '{"root": …}'``; prints its report.

The facts: root, url, symbols, start, end, resolution, cancel_at_wait (cancels the download when it announces a
wait), and what the Polygon settings take. Besides the report's fields it prints the waits in seconds, and the most
memory that the process had in use, in KiB.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from server.core.cancel import CancelToken

ROOT = Path(__file__).parents[2]


def start(**facts: Any) -> subprocess.Popen[str]:
    """Begin a download in another process."""
    return subprocess.Popen(
        [
            sys.executable,
            "-W",
            "error",
            "-m",
            "tests.support.download_process",
            json.dumps(facts, default=str),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it printed at its end."""
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    report: dict[str, Any] = json.loads(out)
    return report


def main() -> None:
    """Download as the first argument describes."""
    from server.core.cancel import CancelToken
    from server.core.json import to_json
    from server.lean.series import Resolution
    from tests.support import harness

    facts = json.loads(sys.argv[1])
    symbols = facts.pop("symbols")
    days = [date.fromisoformat(facts.pop("start")), date.fromisoformat(facts.pop("end"))]
    resolution = Resolution(facts.pop("resolution", "minute"))
    cancel_at_wait = facts.pop("cancel_at_wait", False)
    rig = harness.Rig(Path(facts.pop("root")), facts.pop("url"), pause=None, **facts)
    cancel = CancelToken()
    if cancel_at_wait:
        rig.events = _CancelAtWait(cancel)
    report = to_json(rig.download(symbols, days, resolution, cancel=cancel))
    waits = [event.wait_seconds for event in rig.events if event.kind == "wait"]
    print(json.dumps({**report, "waits": waits, "memory": _most_memory()}))


class _CancelAtWait(list[Any]):
    """Takes events; cancels at the first wait."""

    def __init__(self, cancel: CancelToken) -> None:
        super().__init__()
        self._cancel = cancel

    def append(self, event: Any) -> None:
        super().append(event)
        if event.kind == "wait":
            self._cancel.cancel()


def _most_memory() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # getrusage also counts what the process was before it became this program: a copy of the test run.
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
