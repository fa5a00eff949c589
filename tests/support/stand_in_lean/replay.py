"""Replays a recorded run: console, files and exit, byte by byte."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

RUNNING = "after-8-seconds.json"
"""The file of a run that was recorded while it ran."""


def replay(runs: Path, name: str, results: Path, stream: Callable[[list[str]], None]) -> int:
    """Do what a recorded run did; returns the exit code.

    Args:
        runs: The folder that holds ``results/NAME``.
        name: The run's name.
        results: The folder to write to.
        stream: Sends the lines of a recorded stream, where this run streams.
    """
    folder = runs / "results" / name
    if not folder.is_dir():
        print(f"stand-in for LEAN: there is no recorded run {folder}", file=sys.stderr)
        return 96
    for path in sorted((folder / "results").glob("*")):
        shutil.copyfile(path, results / path.name)  # not the mode, which is read-only
    for text, console in (("stdout.txt", sys.stdout.buffer), ("stderr.txt", sys.stderr.buffer)):
        if (folder / text).exists():
            console.write((folder / text).read_bytes())
            console.flush()
    if (folder / RUNNING).exists():
        shutil.copyfile(folder / RUNNING, results / f"{name}.json")
        time.sleep(600)
    if (folder / "stream.jsonl").exists():
        stream((folder / "stream.jsonl").read_text("utf-8").splitlines())
    code = int((folder / "exit.txt").read_text())
    if code >= 0:
        return code
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    return 128 - code
