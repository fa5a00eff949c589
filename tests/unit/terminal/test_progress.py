"""The progress of a command without a bar: which lines it shows."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from attrs import evolve

from server.core.events import Event
from server.engines.base import EngineProgress, Equity
from server.lean.series import Resolution
from server.observability import backtest_logger, configure_logging
from server.terminal.progress import ProgressDisplay
from tests.support.metrics import report

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
STARTED = Event(kind="started", at=NOON, provider="polygon", resolution=Resolution.MINUTE, days=1)
FINISHED = evolve(STARTED, kind="finished", days=0, report=report(start=date(2024, 1, 2), end=date(2024, 1, 2)))


@pytest.mark.parametrize(
    ("every_line", "shown"), [(True, ["hello", "warning: watch out"]), (False, ["warning: watch out"])]
)
def test_lines(capsys: pytest.CaptureFixture[str], every_line: bool, shown: list[str]) -> None:
    """A display shows every line of the log, or only warnings, by their level and not by their text."""
    display = ProgressDisplay(bar=False, every_line=every_line)
    configure_logging(state_folder=None, sink=display.show, sink_level=display.level)
    backtest_logger.info("hello")
    backtest_logger.warning("watch out")

    assert [line[9:] for line in capsys.readouterr().err.splitlines()] == shown


def test_the_end_of_a_download_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The summary of a download is in the log file only; the command prints the report."""
    display = ProgressDisplay(bar=False, every_line=True)
    configure_logging(state_folder=None, sink=display.show, sink_level=display.level)
    display(STARTED)
    display(FINISHED)

    assert [line[9:] for line in capsys.readouterr().err.splitlines()] == ["minute: 1 day missing, 0 present (polygon)"]


def test_the_bar_of_an_engine(capsys: pytest.CaptureFixture[str]) -> None:
    """It follows that of the download, and lines of the log are printed above it."""
    display = ProgressDisplay(bar=True, every_line=True)
    display(STARTED)
    display(FINISHED)
    for day, fraction in ((3, 0.25), (4, 0.5)):
        curve = Equity((date(2024, 1, day),), (100_000.0 + day,))
        progress = EngineProgress(fraction=fraction, equity=curve, orders=day)
        display(Event(kind="engine_progress", phase="engine", progress=progress))
    display.show("a line")
    display.close()

    written = capsys.readouterr().err
    assert "a line" in written
    last = written.splitlines()[-1]
    assert all(text in last for text in ("2024-01-04", "50%", "$100,004.00", "4 orders"))
