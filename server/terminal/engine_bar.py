"""The bar of a running backtest: the day it has reached, its equity and its number of orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server.core.text import count_text

if TYPE_CHECKING:
    from rich.console import Console

    from server.engines.base import EngineProgress


class EngineBar:
    """A bar on stderr; without a known end it moves back and forth."""

    def __init__(self, console: Console) -> None:
        """Draw a bar on a console, from now on."""
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self.console = console
        self._progress = Progress(
            TextColumn("{task.fields[day]}"),
            BarColumn(),
            TaskProgressColumn(),
            *(TextColumn("{task.fields[" + name + "]}") for name in ("equity", "orders")),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("backtest", total=None, day="backtest", equity="", orders="")
        self._progress.start()

    def show(self, progress: EngineProgress) -> None:
        """Show how far the backtest has come."""
        total = None if progress.fraction is None else 1.0
        self._progress.update(self._task, total=total, completed=progress.fraction or 0.0, **progress_cells(progress))

    def close(self) -> None:
        """Leave the bar as it is."""
        self._progress.stop()


def progress_cells(progress: EngineProgress) -> dict[str, Any]:
    """Return the texts of the bar that are known: ``day``, ``equity`` and ``orders``."""
    values = progress.equity.values
    cells = {
        "day": str(progress.day) if progress.day else None,
        "equity": f"${values[-1]:,.2f}" if values else None,
        "orders": count_text(progress.orders, "order") if progress.orders is not None else None,
    }
    return {name: text for name, text in cells.items() if text is not None}
