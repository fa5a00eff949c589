"""The provider lean-cli with a fake `lean` that has the habits, and the failures, of the real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from loguru import logger

from server.core.cancel import CancelToken
from server.core.errors import (
    BacktestServerError,
    ConfigurationError,
    ToolFailedError,
    ToolMissingError,
    WriteFailedError,
)
from server.core.events import Event, EventStream
from server.core.secret import MASK, Secret
from server.data_download.availability import Gap
from server.data_download.data_folder import DataFolder
from server.data_download.downloader import DataDownloader
from server.data_download.errors import AuthenticationError, BadResponseError
from server.data_download.hosted_provider import HostedProvider
from server.data_download.locks import STATE_FOLDER
from server.data_download.provider import ProviderContext
from server.data_download.request import DownloadRequest
from server.lean.bars import Bars
from server.lean.series import Resolution, Series
from server.plugins.lean_cli_provider.config import LeanCliConfig
from server.plugins.lean_cli_provider.provider import LeanCliProvider
from server.plugins.lean_cli_provider.staging import open_workspace
from server.trading_calendar import USEquityTradingCalendar
from tests.support import fake_lean
from tests.support.fake_lean import FakeLean
from tests.support.patience import PATIENCE

KEY = "pQ9secretKEY+of/mine"
TUESDAY, WEDNESDAY, THURSDAY = date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4)
JULY = date(2024, 7, 10)
NOW = datetime(2024, 9, 2, tzinfo=UTC)


@define
class RecordingSink:
    """Keeps what it is given: the text of each file, by symbol, resolution and day."""

    token: CancelToken
    files: dict[tuple[str, Resolution, date | None], str] = field(factory=dict)
    missing: dict[tuple[str, date], BacktestServerError] = field(factory=dict)
    notices: list[str] = field(factory=list)
    refuse: BacktestServerError | None = None

    @property
    def events(self) -> EventStream:
        return EventStream(lambda: NOW, [self.note])

    def note(self, event: Event) -> None:
        assert event.kind == "notice"
        self.notices.append(event.message)

    def bars(self, series: Series, days: Sequence[date], bars: Bars) -> None:
        raise AssertionError("this provider hands over files")

    def lean_file(self, series: Series, day: date | None, path: Path) -> None:
        if self.refuse:
            raise self.refuse
        with zipfile.ZipFile(path) as archive:
            [member] = archive.namelist()
            self.files[series.ticker, series.resolution, day] = archive.read(member).decode()

    def unavailable(self, series: Series, days: Sequence[date], error: BacktestServerError) -> None:
        self.missing.update({(series.ticker, day): error for day in days})

    @property
    def cancelled(self) -> bool:
        return self.token.cancelled


@define
class Setup:
    """A user's folder with lean.json and data, a fake `lean` on PATH, and a provider that uses both."""

    root: Path
    lean: FakeLean
    token: CancelToken = field(factory=CancelToken)

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def state(self) -> Path:
        return self.data / STATE_FOLDER

    @property
    def staging(self) -> Path:
        return self.state / "staging"

    @property
    def left_over(self) -> list[str]:
        """What stands in the staging folder beside the lock."""
        return sorted(path.name for path in self.staging.glob("*") if path.name != "sweep.lock")

    def sink(self, **facts: Any) -> RecordingSink:
        return RecordingSink(self.token, **facts)

    def provider(self, **settings: Any) -> LeanCliProvider:
        context = ProviderContext(
            calendar=USEquityTradingCalendar([], {}, date(2025, 12, 31)),
            data_folder=self.data,
            state_folder=self.state,
            clock=lambda: NOW,
            cancel=self.token,
        )
        environment = {"PATH": self.lean.path, "HOME": str(self.root), "POLYGON_API_KEY": KEY, "HINT": f"key={KEY}"}
        return LeanCliProvider(
            LeanCliConfig(**{"api_key": Secret(KEY), "time_limit": 60.0, **settings}), context, environment=environment
        )

    def fetch(self, *gaps: Gap, sink: RecordingSink | None = None, **settings: Any) -> RecordingSink:
        sink = sink or self.sink()
        self.provider(**settings).fetch(gaps, sink)
        return sink


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    """A LEAN folder as `lean init` leaves it, and the fake installed."""
    (tmp_path / "data").mkdir()
    (tmp_path / "lean.json").write_text(
        '{\n  // the organization\n  "organization-id": "0123abcd",\n  "data-folder": "data",\n'
        '  "ib-password": "hunter2",\n}\n'
    )
    return Setup(tmp_path, fake_lean.install(tmp_path / "bin"))


@pytest.fixture
def log() -> Iterator[list[str]]:
    """The messages that are logged."""
    lines: list[str] = []
    handler = logger.add(lambda message: lines.append(message.record["message"]), level="DEBUG", diagnose=False)
    yield lines
    logger.remove(handler)


def gap(symbol: str, *days: date, resolution: Resolution = Resolution.MINUTE) -> Gap:
    """A gap of these days."""
    return Gap(series=Series(symbol, resolution), days=days)


def labels(text: str) -> list[str]:
    """The first field of each row."""
    return [line.partition(",")[0] for line in text.split("\n")]


def whole_day(step: int) -> list[str]:
    """First fields of a day from 04:00 to 20:00, a row each so many seconds, in milliseconds since midnight."""
    return [str(second * 1000) for second in range(4 * 3600, 20 * 3600, step)]


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


# --- the key, and the private folder ---


def test_the_key_stands_in_the_private_lean_json_alone(setup: Setup) -> None:
    """Not in an argument, not in the environment; mode 0600 in a folder of mode 0700; gone afterwards."""
    setup.fetch(gap("SPY", WEDNESDAY))

    [call] = setup.lean.calls
    assert call["config"]["polygon-api-key"] == KEY
    assert KEY not in str(call["argv"]) + str(call["environment"])
    assert (call["config_mode"], call["folder_mode"]) == (0o600, 0o700)
    assert {"organization-id", "data-folder", "polygon-api-key", "polygon-license-type"} == set(call["config"])
    assert call["environment"]["TMPDIR"].startswith(call["cwd"])
    assert setup.left_over == []


def test_a_key_in_the_output_is_masked(setup: Setup, log: list[str]) -> None:
    """Whichever stream it stands in and whatever its case; the output goes to the log as it comes."""
    setup.lean.behave("leak")

    setup.fetch(gap("SPY", WEDNESDAY))

    assert f"config: {MASK}" in log
    assert f"GET https://api.polygon.io/v2/aggs?apiKey={MASK}" in log
    assert any("All downloads completed" in line for line in log)
    assert KEY.lower() not in "\n".join(log).lower()


@pytest.mark.parametrize("mode", ["crash", "docker"])
def test_the_private_folder_is_removed_after_a_failure(setup: Setup, mode: str) -> None:
    """With the key in it."""
    setup.lean.behave(mode)

    with suppress(ToolMissingError):
        setup.fetch(gap("SPY", WEDNESDAY))

    assert len(setup.lean.calls) == 1
    assert setup.left_over == []


def test_the_private_folder_is_removed_when_the_host_cannot_write(setup: Setup) -> None:
    """The host's error comes through."""
    sink = setup.sink(refuse=WriteFailedError("the disk is full"))

    with pytest.raises(WriteFailedError, match="disk is full"):
        setup.fetch(gap("SPY", WEDNESDAY), sink=sink)

    assert setup.left_over == []


def test_what_a_killed_run_left_is_swept_and_what_a_live_one_uses_is_not(setup: Setup) -> None:
    """A process killed with SIGKILL leaves a folder; the next run removes it, but not that of a run that lives."""
    code = (
        "import sys, time; from pathlib import Path;"
        "from server.plugins.lean_cli_provider.staging import open_workspace\n"
        "with open_workspace(Path(sys.argv[1]), {'polygon-api-key': 'x'}):\n"
        "    print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, setup.staging], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.kill()
    [dead] = [name for name in setup.left_over if not name.endswith(".lock")]

    with open_workspace(setup.staging, {}) as living:
        assert dead not in setup.left_over
        setup.fetch(gap("SPY", WEDNESDAY))
        assert living.lean_config.exists()
    assert setup.left_over == []


def test_a_state_folder_that_cannot_be_made_is_a_clear_error(setup: Setup) -> None:
    """Here a file stands in its place."""
    setup.state.write_text("")

    with pytest.raises(WriteFailedError, match=r"private folder for the LEAN CLI cannot be made in .*staging"):
        setup.fetch(gap("SPY", WEDNESDAY))


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


@pytest.mark.parametrize("resolution", list(Resolution))
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
