"""LEAN's log: two forms of time, messages of several lines, and what is read from them."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engines.lean_log import LogMessage, data_points_in, logged_dates, parse_log
from tests.support.lean_runs import CANCELLED, ENGINE_START, lean_runs, log_text

TIMES = ("2026-11-27T13:31:39.6481413Z", "20261127 13:31:39.648", "20240201 12:00:00.000", "2026-11-27 13:31:39Z")

# The lines of a message: not empty at first, and none that begins like a message itself.
TEXTS = st.lists(st.from_regex(r"[ A-Za-z(][^\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]{0,30}", fullmatch=True), min_size=1)


@given(
    st.lists(st.tuples(st.sampled_from(TIMES), st.sampled_from(["TRACE", "ERROR", "DEBUG"]), TEXTS), max_size=6),
)
def test_messages_are_read_in_both_forms(messages: list[tuple[str, str, list[str]]]) -> None:
    """A message has all its lines, whatever the form of its time."""
    text = "\n".join(f"{time} {level}:: " + "\n".join(lines) for time, level, lines in messages)

    found = parse_log(text).messages

    assert found == tuple(LogMessage(level, "\n".join(lines)) for _, level, lines in messages)


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    """A text that is no log has no messages, and is no error."""
    assert parse_log(text).cancelled is False


def test_lines_before_the_first_message_are_left_out() -> None:
    """The end of a long log begins in the middle of a line."""
    log = parse_log("rest of a line\nCashBook Total\n" + log_text("Engine.Run(): Exiting"))

    assert [message.text for message in log.messages] == ["Engine.Run(): Exiting"]


def test_only_the_last_run_counts() -> None:
    """LEAN appends to a log.txt that exists: an earlier run's interruption is not this one's."""
    first, second = log_text(ENGINE_START, CANCELLED), log_text(ENGINE_START, "Engine.Main(): Started 13:53")

    assert parse_log(first).cancelled
    assert not parse_log(first + second).cancelled
    assert parse_log(second + first).cancelled


@pytest.mark.parametrize(
    ("message", "cancelled"),
    [
        (CANCELLED, True),
        ("Lean instance has been cancelled", True),
        ("ERROR:: AlgorithmManager.Run(): Algorithm state changed to Stopped at 10/07/2013 14:01:00", False),
        ("Log: 2013-10-07 10:00:00 Algorithm Stopped", False),
        ("Log: 2013-10-07 10:00:00 Lean instance has been cancelled", False),
        ("Debug: 2013-10-07 10:00:00 Program.ExitKeyPress(): Lean instance has been cancelled", False),
    ],
)
def test_interruption(message: str, cancelled: bool) -> None:
    """LEAN's own line decides; ``Quit()`` also logs Stopped, and an algorithm may log any words."""
    assert parse_log(log_text(ENGINE_START, message)).cancelled is cancelled


def test_files_that_lean_names() -> None:
    """Files that were not found, corrupt zips, and a folder of map files that does not exist."""
    log = parse_log(
        log_text(
            "ERROR:: SubscriptionDataSourceReader.InvalidSource(): File not found: /d/equity/usa/hour/spy.zip",
            "ERROR:: ZipDataCacheProvider.Fetch(): Corrupt zip file/entry: /d/equity/usa/minute/spy/20131008_trade.zip"
            "# Error: Ionic.Zip.ZipException: Cannot read that as a ZipFile\n   at Ionic.Zip.SharedUtilities",
            "ERROR:: LocalDiskMapFileProvider.GetMapFileResolver(usa): The specified directory does not exist: "
            "/d/equity/usa/map_files",
            "Log: 2013-10-07 File not found: /d/equity/usa/hour/qqq.zip",
        )
    )

    assert log.not_found == ("/d/equity/usa/hour/spy.zip",)
    assert log.corrupt == ("/d/equity/usa/minute/spy/20131008_trade.zip",)
    assert log.absent_folders == ("/d/equity/usa/map_files",)


def test_counts_and_benchmark() -> None:
    """The data monitor's counts, the data points, and the series that was added for the benchmark."""
    log = parse_log(
        log_text(
            "UniverseSelection.AddPendingInternalDataFeeds(): Adding internal benchmark data feed IBM,#0,IBM,Hour",
            "Debug: 2014-12-31 Algorithm Id:(x) completed in 0.65 seconds at 3k data points per second. "
            "Processing total of 2,021 data points.",
            "DataMonitor.GenerateReport():\nDATA USAGE:: Total data requests 10\nDATA USAGE:: Failed data requests 6\n"
            "DATA USAGE:: Failed data requests percentage 60%",
        )
    )

    assert (log.benchmark, log.data_points) == ("IBM", 2021)
    assert log.data_usage == {"Total data requests": 10, "Failed data requests": 6}
    assert data_points_in("") is None


@pytest.mark.parametrize("name", ["completed", "live-stream", "python-completed", "completed-with-trades"])
def test_the_log_has_the_dates_of_the_algorithm(name: str) -> None:
    """Those of the result."""
    folder = lean_runs(os.environ) / name / "results"
    configuration = json.loads((folder / f"{name}.json").read_text("utf-8"))["algorithmConfiguration"]

    found = logged_dates((folder / "log.txt").read_text("utf-8"))

    assert found is not None
    assert [day.isoformat() for day in found] == [configuration[key][:10] for key in ("startDate", "endDate")]


@pytest.mark.parametrize("log", ["", "Dates: Start: 13/45/2014 End: 12/31/2014 Cash", "Dates: Start: soon"])
def test_a_log_without_dates(log: str) -> None:
    """They are unknown."""
    assert logged_dates(log) is None
