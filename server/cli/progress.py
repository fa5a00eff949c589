"""What a person sees while data is fetched: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import sys
import threading
import time
from typing import TYPE_CHECKING

from server.cli.common import bytes_text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.text import Text

    from server.core.events import Event

_WARNING_OR_WORSE = re.compile(r"[\d:]{8} (?:warning|error|critical): ")
"""How a line of the log begins that is more than information (see `server.observability.log_setup.people_line`)."""


class Watch:
    """A progress listener for the command line. Thread-safe; the log gets every event, too."""

    def __init__(self, *, bar: bool, every_line: bool) -> None:
        """Watch.

        Args:
            bar: Draw a bar on stderr once a download begins; lines go above it.
            every_line: Show all lines of the log, not only warnings and worse.
        """
        self._wants_bar = bar
        self._every_line = every_line
        self._began = False
        self._muted = False
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._lock = threading.Lock()
        self._counts = {"bars": 0, "bytes": 0, "api_calls": 0, "cache_hits": 0}
        self._wait_until = 0.0
        from server.observability import log_listener

        self._log = log_listener()

    def __call__(self, event: Event, /) -> None:
        """Take an event."""
        if event.report is not None:
            self._finish(event)
            return
        self._log(event)
        if event.kind == "started":
            self._began = True
            if self._wants_bar:
                self._open(event.days)
        if self._progress is None or self._task is None:
            return
        with self._lock:
            for name in self._counts:
                self._counts[name] += getattr(event, name)
            requests = self._counts["api_calls"]
            if event.wait_seconds:
                self._wait_until = max(self._wait_until, time.monotonic() + event.wait_seconds)
            self._progress.update(
                self._task,
                advance=event.days if event.kind == "days" else 0,
                bars=f"{self._counts['bars']:,} bars",
                bytes=bytes_text(self._counts["bytes"]),
                requests=f"{requests} request{'' if requests == 1 else 's'}",
            )

    def show(self, line: str) -> None:
        """Show a line of the log."""
        if self._muted or not (self._every_line or _WARNING_OR_WORSE.match(line)):
            return
        if self._progress is not None:
            self._progress.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr)

    def _finish(self, event: Event) -> None:
        """Log the end of a download; the command prints its report for people.

        A download that was refused before it began, say for want of a key, leaves no trace on disk.
        """
        self.close()
        if not self._began and not event.report.complete:
            return
        self._muted = True
        self._log(event)
        self._muted = False

    def close(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _doing(self) -> Text:
        """What the bar is about: days, or for how long the run has to wait."""
        from rich.text import Text

        left = self._wait_until - time.monotonic()
        return Text(f"waiting {left:.0f} s", style="yellow") if left >= 1 else Text("days")

    def _open(self, days: int) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            Task,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.table import Column

        watch = self

        class Doing(ProgressColumn):
            def render(self, task: Task) -> Text:
                return watch._doing()

        self._progress = Progress(
            Doing(table_column=Column(no_wrap=True)),
            BarColumn(),
            MofNCompleteColumn(),
            *(TextColumn("{task.fields[" + name + "]}") for name in ("bars", "bytes", "requests")),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("days", total=days, bars="", bytes="", requests="")
        self._progress.start()
