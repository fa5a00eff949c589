"""What the programs do besides their work: settings of the installation, and comments in an algorithm's source.

`# stand-in: NAME VALUE` in a source is the same as the setting NAME, with underscores for hyphens:

=========================== ==========================================================================================
runtime-error [line N] TEXT the algorithm fails in the middle of its range, on the line N of its file
quit                        the algorithm calls Quit() in the middle of its range
slow SECONDS                the bars take this long
startup SECONDS             so long does it take to the first bar, in which SIGINT is ignored
slow-exit SECONDS           so long does the process run after its results are written
ignore-sigint               SIGINT is ignored while bars run, too
ignore-sigterm              SIGTERM is ignored
abort TEXT                  .NET aborts in the middle of the range, before results
abort-after-results TEXT    .NET aborts after the results are written
compiler-error              `dotnet build` fails
replay NAME                 a recorded run of the folder `runs`, byte by byte
=========================== ==========================================================================================
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

SETTINGS = "stand-in.json"
CALLS = "calls.jsonl"
IMAGE = "quantconnect/lean:latest"
VENDOR_VARIABLES = ("POLYGON_API_KEY", "MASSIVE_API_KEY")
REFUSED = 97
"""The exit code where a vendor's key reached LEAN."""

DEFAULTS: dict[str, Any] = {
    "runtimes": ["10.0.0"],  # of `dotnet --list-runtimes`
    "sdks": ["10.0.100"],
    "check_pandas": False,  # whether the first python3 of the PATH must import pandas
    "rewrite_every": 0.2,  # seconds between two states of <id>.json while bars run; 30 with LEAN
    "stream_every": 0.1,  # seconds between two groups of packets; 3 with LEAN
    "runs": "",  # the folder of recorded runs
    "docker": "running",  # or "stopped"
    "images": [IMAGE],
    "pull": True,  # whether `docker pull` succeeds
    "online": True,  # whether `lean` can fetch market hours and symbol properties
    "container_kill_takes": 0,  # seconds that `lean` needs after SIGINT to end its container
}

_MARKER = re.compile(r"(?:#|//)\s*stand-in:\s*([\w-]+)[ \t]*([^\r\n]*)")


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings of an installation."""
    path = folder / SETTINGS
    return {**DEFAULTS, **(json.loads(path.read_text("utf-8")) if path.exists() else {})}


def change_settings(folder: Path, **changes: Any) -> None:
    """Change settings of an installation; None removes one."""
    path = folder / SETTINGS
    given = json.loads(path.read_text("utf-8")) if path.exists() else {}
    changed = {name: value for name, value in {**given, **changes}.items() if value is not None}
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(changed), "utf-8")
    temporary.replace(path)


def markers(source: str) -> dict[str, str]:
    """What the comments of a source ask for."""
    return {name.replace("-", "_"): value.strip() for name, value in _MARKER.findall(source)}


def seconds(settings: Mapping[str, Any], name: str) -> float:
    """The duration of a setting; 0 where it is not set."""
    return float(settings.get(name) or 0)


def note_call(folder: Path, program: str, argv: Sequence[str], environ: Mapping[str, str], **facts: Any) -> None:
    """Add a call of a program to the list of the installation."""
    call = {"program": program, "argv": list(argv), "cwd": str(Path.cwd()), "environ": dict(environ), **facts}
    line = json.dumps({**call, "pid": os.getpid(), "time": time.time()}) + "\n"
    with (folder / CALLS).open("a", encoding="utf-8") as file:
        file.write(line)


def refuse_vendor_keys(environ: Mapping[str, str]) -> None:
    """End the process where a vendor's key is in its environment."""
    found = [name for name in VENDOR_VARIABLES if name in environ]
    if found:
        refuse(f"the environment has {', '.join(found)}, which LEAN must not get")


def refuse(text: str) -> NoReturn:
    """End the process because of a fault of its caller that the real programs would not notice."""
    print(f"stand-in for LEAN: {text}", file=sys.stderr, flush=True)
    sys.exit(REFUSED)
