"""The bar of a running backtest."""

from __future__ import annotations

import io
from datetime import date

import pytest
from rich.console import Console

from server.engines.base import EngineProgress, Equity
from server.terminal.engine_bar import EngineBar, progress_cells

DAYS = (date(2014, 1, 2), date(2014, 1, 3))


@pytest.mark.parametrize(
    ("progress", "cells"),
    [
        (EngineProgress(), {}),
        (
            EngineProgress(equity=Equity(DAYS, (100_000.0, 101_234.5)), orders=1),
            {"day": "2014-01-03", "equity": "$101,234.50", "orders": "1 order"},
        ),
        (EngineProgress(orders=0, day=DAYS[0]), {"day": "2014-01-02", "orders": "0 orders"}),
    ],
)
def test_cells(progress: EngineProgress, cells: dict[str, str]) -> None:
    """What is unknown is left as it was."""
    assert progress_cells(progress) == cells


def test_the_bar_shows_day_share_equity_and_orders() -> None:
    """On the console; without a fraction it has no share."""
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    bar = EngineBar(console)
    bar.show(EngineProgress(fraction=0.25, equity=Equity(DAYS, (100_000.0, 99_000.0)), orders=1234))
    bar.close()

    written = console.file.getvalue()  # type: ignore[attr-defined]
    for text in ("2014-01-03", "25%", "$99,000.00", "1,234 orders"):
        assert text in written
