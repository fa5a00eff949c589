"""The provider lean-cli with a fake `lean` that has the habits, and the failures, of the real one."""

from __future__ import annotations

import os
import signal
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from server.core.errors import (
    BacktestServerError,
    ConfigurationError,
    ToolFailedError,
    ToolMissingError,
)
from server.core.events import EventStream
from server.core.secret import Secret
from server.data_download.data_folder import DataFolder
from server.data_download.downloader import DataDownloader
from server.data_download.errors import AuthenticationError, BadResponseError
from server.data_download.hosted_provider import HostedProvider
from server.data_download.locks import STATE_FOLDER
from server.data_download.request import DownloadRequest
from server.lean.series import Resolution
from server.plugins.lean_cli_provider.commands import JOIN_WITHIN
from server.trading_calendar import USEquityTradingCalendar
from tests.support import fake_lean
from tests.support.lean_cli_setup import (
    JULY,
    NOW,
    THURSDAY,
    TUESDAY,
    WEDNESDAY,
    Setup,
    gap,
    labels,
    make_setup,
    whole_day,
)
from tests.support.patience import PATIENCE


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    """A LEAN folder as `lean init` leaves it, and the fake installed."""
    return make_setup(tmp_path)


# --- what is handed over ---


@pytest.mark.parametrize("day", [WEDNESDAY, JULY, date(2024, 3, 11), date(2024, 11, 4)], ids=str)
@pytest.mark.parametrize(("resolution", "step"), [(Resolution.MINUTE, 60), (Resolution.SECOND, 30)])
def test_a_wanted_day_is_whole_in_any_season(setup: Setup, day: date, resolution: Resolution, step: int) -> None:
    """In winter, in summer, and on the first session after each change of clocks."""
    sink = setup.fetch(gap("SPY", day, resolution=resolution))

    assert {("SPY", resolution, day)} == set(sink.files)
    assert whole_day(step) == labels(sink.files["SPY", resolution, day])
    assert sink.missing == {}


def test_days_at_the_rim_are_never_handed_over(setup: Setup) -> None:
    """The CLI writes an hour of Tuesday and most of Thursday besides the Wednesday that was asked for."""
    sink = setup.fetch(gap("SPY", WEDNESDAY))

    assert list(sink.files) == [("SPY", Resolution.MINUTE, WEDNESDAY)]
    [call] = setup.lean.calls
    assert call["argv"][-7:-3] == ["--start", "20240103", "--end", "20240105"]


def test_days_between_that_nobody_asked_for_are_not_handed_over(setup: Setup) -> None:
    """One run brings Tuesday to Thursday; only the two wanted days of it are taken."""
    sink = setup.fetch(gap("SPY", TUESDAY, THURSDAY))

    assert {TUESDAY, THURSDAY} == {day for _, _, day in sink.files}
    assert len(setup.lean.calls) == 1


def test_daily_bars_come_as_one_file(setup: Setup) -> None:
    """Also rows of other days, which the host does not take."""
    sink = setup.fetch(gap("SPY", TUESDAY, THURSDAY, resolution=Resolution.DAILY))

    [text] = sink.files.values()
    assert list(sink.files) == [("SPY", Resolution.DAILY, None)]
    assert {"20240102 00:00", "20240104 00:00"} <= set(labels(text))


def test_symbols_of_one_range_share_a_run(setup: Setup) -> None:
    """Also one with a dot, whose files are lower case."""
    sink = setup.fetch(gap("SPY", TUESDAY, WEDNESDAY), gap("BRK.B", WEDNESDAY))

    assert len(sink.files) == 3
    [call] = setup.lean.calls
    assert "SPY,BRK.B" in call["argv"]
    assert sink.notices == ["LEAN CLI, run 1 of 1: SPY, BRK.B, minute, 2024-01-02 to 2024-01-03"]


def test_far_apart_days_and_resolutions_take_a_run_each(setup: Setup) -> None:
    """Six months in between are not fetched, and no run sees the files of another."""
    sink = setup.fetch(gap("SPY", TUESDAY, JULY), gap("SPY", TUESDAY, resolution=Resolution.DAILY))

    assert len(sink.files) == 3
    assert [[word for word in call["argv"] if word in ("Daily", "Minute")] for call in setup.lean.calls] == [
        ["Daily"],
        ["Minute"],
        ["Minute"],
    ]
    assert [call["files"] for call in setup.lean.calls] == [["lean.json"]] * 3


def test_the_databases_of_the_user_are_at_hand(setup: Setup) -> None:
    """LEAN's downloader cannot start without them; nothing else of the data folder is copied."""
    for name in ("market-hours/market-hours-database.json", "symbol-properties/symbol-properties-database.csv", "x/y"):
        (setup.data / name).parent.mkdir()
        (setup.data / name).write_text("{}")

    setup.fetch(gap("SPY", WEDNESDAY))

    assert setup.lean.calls[0]["files"] == [
        "data/market-hours/market-hours-database.json",
        "data/symbol-properties/symbol-properties-database.csv",
        "lean.json",
    ]


def test_the_users_data_folder_is_not_touched(setup: Setup) -> None:
    """Neither the day before nor any other; handing over is all that happens."""
    setup.fetch(gap("SPY", WEDNESDAY))

    assert [path.name for path in setup.data.iterdir()] == [STATE_FOLDER]


def test_nothing_missing_runs_nothing(setup: Setup) -> None:
    """Not even a look for the tool or the key."""
    setup.fetch(api_key=Secret(""), executable="no-such-lean")

    assert setup.lean.calls == []


def test_the_plan_is_the_commands_that_run(setup: Setup) -> None:
    """But for the full path of the tool and of the private lean.json; it needs no tool and no key."""
    gaps = [gap("SPY", TUESDAY, JULY)]
    plan = setup.provider(api_key=Secret("")).plan(gaps)

    assert len(plan) == 2
    assert plan[0].startswith("lean data download --data-provider-historical Polygon ")
    assert setup.lean.calls == []
    setup.fetch(*gaps)
    assert [line.split()[1:-1] for line in plan] == [call["argv"][:-1] for call in setup.lean.calls]


# --- days that do not come ---


@pytest.mark.parametrize(
    ("facts", "words"),
    [({"no_data": ["SPY"]}, "No data found for SPY between"), ({"unsupported": ["SPY"]}, "No data returned for SPY")],
)
def test_no_data_is_unavailable_and_never_empty(setup: Setup, facts: dict[str, Any], words: str) -> None:
    """The CLI ends with 0 for it as for a failure; the days carry its own line about their symbol."""
    setup.lean.behave(**facts)

    sink = setup.fetch(gap("AAPL", WEDNESDAY), gap("SPY", WEDNESDAY, THURSDAY))

    assert list(sink.files) == [("AAPL", Resolution.MINUTE, WEDNESDAY)]
    assert {("SPY", WEDNESDAY), ("SPY", THURSDAY)} == set(sink.missing)
    error = sink.missing["SPY", WEDNESDAY]
    assert isinstance(error, ToolFailedError)
    assert words in str(error)
    assert error.days == (WEDNESDAY, THURSDAY)


@pytest.mark.parametrize("resolution", JOIN_WITHIN)
def test_one_day_without_a_file_is_unavailable_and_the_others_come(setup: Setup, resolution: Resolution) -> None:
    """For daily bars: a day without a row."""
    setup.lean.behave(nothing_on=["2024-01-03"])

    sink = setup.fetch(gap("SPY", TUESDAY, WEDNESDAY, THURSDAY, resolution=resolution))

    assert list(sink.missing) == [("SPY", WEDNESDAY)]
    assert "no proof that nothing was traded" in str(sink.missing["SPY", WEDNESDAY])
    assert len(sink.files) == (1 if resolution is Resolution.DAILY else 2)


def test_a_crash_keeps_the_symbols_that_were_done(setup: Setup) -> None:
    """LEAN goes from symbol to symbol; what it brought before it died is handed over, the rest says why not."""
    setup.lean.behave("crash-after-first")

    sink = setup.fetch(gap("AAPL", WEDNESDAY), gap("SPY", WEDNESDAY))

    assert list(sink.files) == [("AAPL", Resolution.MINUTE, WEDNESDAY)]
    assert list(sink.missing) == [("SPY", WEDNESDAY)]
    assert "exit code 1" in str(sink.missing["SPY", WEDNESDAY])
    assert "TooManyRequests (429) after 10 attempts" in str(sink.missing["SPY", WEDNESDAY])


def test_after_a_crash_the_next_run_is_tried(setup: Setup) -> None:
    """Another range may fare better."""
    setup.lean.behave("crash")

    sink = setup.fetch(gap("SPY", WEDNESDAY, JULY))

    assert len(setup.lean.calls) == 2
    assert {("SPY", WEDNESDAY), ("SPY", JULY)} == set(sink.missing)


def test_a_file_that_the_host_refuses_makes_its_day_unavailable(setup: Setup) -> None:
    """With the host's own error; the other days go on."""
    sink = setup.sink(refuse=BadResponseError("not LEAN's"))
    setup.fetch(gap("SPY", TUESDAY, WEDNESDAY), sink=sink)

    assert {("SPY", TUESDAY): sink.refuse, ("SPY", WEDNESDAY): sink.refuse} == sink.missing


# --- tools that are not there, not ready, or do not end ---


def test_a_missing_tool_says_how_to_install_it(setup: Setup) -> None:
    """Before anything is made on disk."""
    with pytest.raises(ToolMissingError, match=r"no-such-lean.*pip install lean.*lean login"):
        setup.fetch(gap("SPY", WEDNESDAY), executable="no-such-lean")

    assert not setup.staging.exists()


@pytest.mark.parametrize(
    ("mode", "error", "words"),
    [
        ("docker", ToolMissingError, "needs Docker, which is not installed or not running"),
        ("login", ToolFailedError, "run `lean login`"),
        ("licence", ToolFailedError, "licence for the Polygon module"),
    ],
)
def test_a_tool_that_is_not_ready_says_what_to_do(
    setup: Setup, mode: str, error: type[BacktestServerError], words: str
) -> None:
    """It stands for all days, and another run would not fare better: there is none."""
    setup.lean.behave(mode)

    with pytest.raises(error, match=words):
        setup.fetch(gap("SPY", WEDNESDAY, JULY))

    assert len(setup.lean.calls) == 1


def test_a_hanging_tool_is_stopped_at_the_time_limit(setup: Setup) -> None:
    """The error names the limit and the setting."""
    setup.lean.behave("hang")

    with pytest.raises(ToolFailedError, match=r"after 0\.6 s .*BACKTEST_SERVER_LEAN_TIME_LIMIT"):
        setup.fetch(gap("SPY", WEDNESDAY), time_limit=0.6)

    assert setup.left_over == []


def test_without_a_key_nothing_is_run(setup: Setup) -> None:
    """The error says where to put it."""
    with pytest.raises(AuthenticationError, match=r"POLYGON_API_KEY.*polygon-api-key in lean\.json"):
        setup.fetch(gap("SPY", WEDNESDAY), api_key=Secret(""))

    assert setup.lean.calls == []


@pytest.mark.parametrize("text", ["{}", None], ids=["no organization", "no lean.json"])
def test_without_an_organization_nothing_is_run(
    setup: Setup, text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CLI would ask a question; the error says what to do instead."""
    monkeypatch.chdir(setup.root)
    if text is None:
        (setup.root / "lean.json").unlink()
    else:
        (setup.root / "lean.json").write_text(text)

    with pytest.raises(ConfigurationError, match=r"organization.*lean init.*BACKTEST_SERVER_LEAN_CONFIG"):
        setup.fetch(gap("SPY", WEDNESDAY))

    assert setup.lean.calls == []


def test_the_lean_json_of_the_settings_is_the_one_that_counts(setup: Setup, tmp_path: Path) -> None:
    """Not the one above the data folder."""
    mine = tmp_path / "mine.json"
    mine.write_text('{"job-organization-id": "mine"}')

    setup.fetch(gap("SPY", WEDNESDAY), lean_config=mine)

    config = setup.lean.calls[0]["config"]
    assert config["job-organization-id"] == "mine"
    assert "organization-id" not in config


@pytest.mark.parametrize("mode", ["hang", "stubborn", "hanging-grandchild", "escaped-grandchild"])
def test_a_cancel_ends_the_run(setup: Setup, mode: str) -> None:
    """Whatever the tool does about it; nothing is handed over, and nothing is left behind."""
    setup.lean.behave(mode)
    cancelled_at: list[float] = []

    def cancel_once_it_runs() -> None:
        word = "grandchild.pid" if "grandchild" in mode else fake_lean.CALLS
        while not (setup.lean.folder / word).exists():
            time.sleep(0.02)
        time.sleep(0.4)
        cancelled_at.append(time.monotonic())
        setup.token.cancel()

    thread = threading.Thread(target=cancel_once_it_runs)
    thread.start()
    try:
        sink = setup.fetch(gap("SPY", WEDNESDAY, JULY))
        took = time.monotonic() - cancelled_at[0]
    finally:
        thread.join()
        with suppress(OSError):
            os.kill(int((setup.lean.folder / "grandchild.pid").read_text()), signal.SIGKILL)

    assert took < PATIENCE
    assert sink.files == {}
    assert sink.missing == {}
    assert len(setup.lean.calls) == 1
    assert setup.left_over == []


def test_a_grandchild_does_not_hold_up_a_good_end(setup: Setup) -> None:
    """The tool has ended with 0 and its files are there: they are taken."""
    setup.lean.behave("grandchild")

    sink = setup.fetch(gap("SPY", WEDNESDAY))

    assert list(sink.files) == [("SPY", Resolution.MINUTE, WEDNESDAY)]


# --- through the host ---


@pytest.fixture
def host(setup: Setup) -> Iterator[DataDownloader]:
    """The real downloader over the user's data folder."""
    sessions = [date(2024, 1, 1) + timedelta(days=number) for number in range(1, 12)]
    calendar = USEquityTradingCalendar([day for day in sessions if day.weekday() < 5], {}, date(2025, 12, 31))
    folder = DataFolder.open(setup.data, calendar, setup.state)
    yield DataDownloader(
        folder=folder,
        calendar=calendar,
        clock=lambda: NOW,
        provider=HostedProvider("lean-cli", lambda cancel: setup.provider()),
        events=EventStream(lambda: NOW),
    )
    folder.close()


@pytest.mark.parametrize("resolution", [Resolution.MINUTE, Resolution.DAILY])
def test_a_download_fills_the_gap_and_leaves_whole_days_alone(
    setup: Setup, host: DataDownloader, resolution: Resolution
) -> None:
    """Tuesday was there before, and Wednesday's run would have overwritten it; a third run has nothing to do."""
    first = host.download(DownloadRequest(symbols=("SPY",), resolution=resolution, start=TUESDAY, end=TUESDAY))
    before = {path: path.read_bytes() for path in setup.data.rglob("20240102_trade.zip")}
    second = host.download(DownloadRequest(symbols=("SPY",), resolution=resolution, start=TUESDAY, end=THURSDAY))
    third = host.download(DownloadRequest(symbols=("SPY",), resolution=resolution, start=TUESDAY, end=THURSDAY))

    assert (first.days_downloaded, second.days_downloaded, third.days_downloaded) == (1, 2, 0)
    assert (first.days_present, second.days_present, third.days_present) == (0, 1, 3)
    assert len(setup.lean.calls) == 2
    assert before == {path: path.read_bytes() for path in before}
    if resolution is Resolution.DAILY:
        with zipfile.ZipFile(setup.data / "equity/usa/daily/spy.zip") as archive:
            assert labels(archive.read("spy.csv").decode()) == ["20240102 00:00", "20240103 00:00", "20240104 00:00"]


def test_days_that_did_not_come_are_failed_and_asked_for_again(setup: Setup, host: DataDownloader) -> None:
    """Nothing is remembered as empty."""
    setup.lean.behave(nothing_on=["2024-01-03"])
    request = DownloadRequest(symbols=("SPY",), resolution=Resolution.MINUTE, start=TUESDAY, end=THURSDAY)

    first = host.download(request)
    setup.lean.behave()
    second = host.download(request)

    assert (first.days_downloaded, first.days_failed, first.days_empty) == (2, 1, 0)
    assert (second.days_downloaded, second.days_failed) == (1, 0)


@pytest.mark.damaged_zips
def test_a_garbled_file_is_refused_by_the_host(setup: Setup, host: DataDownloader) -> None:
    """Its day fails with a reason, and no file of it is written."""
    setup.lean.behave(garbled_on=["2024-01-03"])

    report = host.download(
        DownloadRequest(symbols=("SPY",), resolution=Resolution.MINUTE, start=WEDNESDAY, end=THURSDAY)
    )

    assert (report.days_downloaded, report.days_failed) == (1, 1)
    assert "not a file of LEAN's" in report.failures[0].error
    assert [f"{THURSDAY:%Y%m%d}_trade.zip"] == [path.name for path in setup.data.glob("equity/usa/minute/spy/*")]
