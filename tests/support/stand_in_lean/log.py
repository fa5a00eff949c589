"""LEAN's log: the console and log.txt, which differ in the form of the time (fact 4)."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path


class Log:
    """Writes messages; ERROR lines go to stderr."""

    def __init__(self) -> None:
        self._file: Path | None = None

    def open(self, path: Path) -> None:
        """Write to a log.txt, too; LEAN appends to one that exists."""
        self._file = path

    def trace(self, *lines: str) -> None:
        """Messages of the engine, one each."""
        for line in lines:
            self._write("TRACE", line, sys.stdout)

    def error(self, text: str) -> None:
        """An error message."""
        self._write("ERROR", text, sys.stderr)

    def plain(self, text: str) -> None:
        """A line of the console alone."""
        print(text, flush=True)

    def _write(self, level: str, text: str, console: object) -> None:
        now = datetime.now(UTC)
        stamp = f"{now:%Y%m%d %H:%M:%S}.{now.microsecond // 1000:03}"
        print(f"{stamp} {level}:: {text}", file=console, flush=True)  # type: ignore[arg-type]
        if self._file:
            digits = f"{now.microsecond:06}{time.perf_counter_ns() // 100 % 10}"
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{now:%Y-%m-%dT%H:%M:%S}.{digits}Z {level}:: {text}\n")
