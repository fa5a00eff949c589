"""What the real engine fed from LEAN's sample files: five shares over 23 years, minutes, seconds and hours."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from server.data_download.feed_files import FolderFiles
from server.lean.feed import read_feed
from server.trading_calendar import USEquityTradingCalendar
from tests.support.lean_feed import Question, lines_of

VARIABLE = "LEAN_RUNS"
NAMES = (
    *("aapl-daily-adjusted", "aapl-daily-raw", "aapl-daily-total-return", "spy-daily-adjusted", "spy-hour-adjusted"),
    *("spy-bac-minute-adjusted", "spy-bac-minute-raw-extended", "spy-second-raw"),
)


@pytest.fixture
def runs() -> Path:
    """The recorded runs."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"set {VARIABLE} to the folder of recorded runs of LEAN's engine, with reading-samples in it")
    return Path(folder)


@pytest.mark.parametrize("name", NAMES)
def test_the_engine_fed_these_lines(name: str, runs: Path, lean_sample_data: Path) -> None:
    """Thousands of bars, splits and dividends, each equal to the last digit."""
    folder = runs / "reading-samples" / name
    parameters = json.loads((folder / "question.json").read_text("utf-8"))["parameters"]
    with gzip.open(folder / "fed.txt.gz", "rt", encoding="utf-8") as file:
        fed = [line for line in file.read().splitlines() if not line.startswith("end ")]
    question = Question(parameters, {}, fed)

    feed = read_feed(
        FolderFiles(lean_sample_data),
        question.symbols,
        question.resolution,
        question.request,
        USEquityTradingCalendar.shipped(),
    )

    assert lines_of(feed.items) == question.lines
