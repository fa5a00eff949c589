"""The progress of a command: a bar on a terminal, lines of the log elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from server.core.text import count_text, size_text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.text import Text

    from server.core.events import Event
    from server.terminal.engine_bar import EngineBar


@contextmanager
def progress_display(*, quiet: bool, every_line: bool = False) -> Iterator[ProgressDisplay]:
    """Show the progress of a command: a bar and warnings on a terminal, all lines of the log elsewhere.

    Args:
        quiet: Show no bar.
        every_line: Show all lines of the log on a terminal, too.
    """
    bar = sys.stderr.isatty() and not quiet
    display = ProgressDisplay(bar=bar, every_line=every_line or not bar)
    try:
        yield display
    finally:
        display.close()


class ProgressDisplay:
    """Shows events on stderr and passes them to the log (an `EventListener`). Thread-safe.

    Attributes:
        level: The lowest level of log lines that `show` is for; None means every line.
    """

    def __init__(self, *, bar: bool, every_line: bool) -> None:
        """Create a display that shows nothing yet.

        Args:
            bar: Draw a bar on stderr while a download or an engine runs; lines are printed above it.
            every_line: Show all lines of the log, not only warnings and errors.
        """
        from server.observability import log_listener

        self.level = None if every_line else "WARNING"
        self._wants_bar = bar
        self._started = False
        self._muted = False
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._engine: EngineBar | None = None
        self._lock = threading.Lock()
        self._counts = {"bars": 0, "bytes": 0, "api_calls": 0, "cache_hits": 0}
        self._wait_until = 0.0
        self._log = log_listener()

    def __call__(self, event: Event, /) -> None:
        """Show an event and log it."""
        if event.report is not None:
            self._finish(event)
            return
        self._log(event)
        if event.kind == "started":
            self._started = True
            if self._wants_bar:
                self.close()
                self._open(event.days)
        if event.progress is not None and self._wants_bar:
            self._show_engine(event)
        if self._progress is not None and self._task is not None:
            self._update(self._progress, self._task, event)

    def show(self, line: str) -> None:
        """Print a line of the log, above the bar if there is one."""
        if self._muted:
            return
        bar = self._engine or self._progress
        if bar is not None:
            bar.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr)

    def close(self) -> None:
        """Remove the bar."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _show_engine(self, event: Event) -> None:
        with self._lock:
            if self._engine is None:
                from rich.console import Console

                from server.terminal.engine_bar import EngineBar

                self._engine = EngineBar(Console(stderr=True))
            self._engine.show(event.progress)

    def _update(self, progress: Progress, task: TaskID, event: Event) -> None:
        with self._lock:
            for name in self._counts:
                self._counts[name] += getattr(event, name)
            if event.wait_seconds:
                self._wait_until = max(self._wait_until, time.monotonic() + event.wait_seconds)
            progress.update(
                task,
                advance=event.days if event.kind == "days" else 0,
                bars=f"{self._counts['bars']:,} bars",
                bytes=size_text(self._counts["bytes"]),
                requests=count_text(self._counts["api_calls"], "request"),
            )

    def _finish(self, event: Event) -> None:
        """Write the end of a download to the log file only, since the command prints its report.

        A download that failed before it started, for example without an API key, is not logged, so that it creates no
        file.
        """
        self.close()
        if not self._started and not event.report.complete:
            return
        self._muted = True
        self._log(event)
        self._muted = False

    def _status(self) -> Text:
        """What the bar counts, or the seconds for which the run waits."""
        from rich.text import Text

        seconds = self._wait_until - time.monotonic()
        return Text(f"waiting {seconds:.0f} s", style="yellow") if seconds >= 1 else Text("days")

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

        display = self

        class StatusColumn(ProgressColumn):
            """The text at the left of the bar."""

            def render(self, task: Task) -> Text:
                """Return the text as it is now."""
                return display._status()

        self._progress = Progress(
            StatusColumn(table_column=Column(no_wrap=True)),
            BarColumn(),
            MofNCompleteColumn(),
            *(TextColumn("{task.fields[" + name + "]}") for name in ("bars", "bytes", "requests")),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("days", total=days, bars="", bytes="", requests="")
        self._progress.start()
