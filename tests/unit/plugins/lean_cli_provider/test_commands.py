"""The pure parts of the provider lean-cli: ranges, arguments, environment, settings, and what outputs mean."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.errors import BacktestServerError, ToolFailedError, ToolMissingError
from server.core.secret import Secret
from server.core.subprocess_runner import CommandOutcome
from server.data_download.availability import Gap
from server.data_download.errors import AuthenticationError, PlanLimitError
from server.lean.series import Resolution, Series
from server.plugins.lean_cli_provider.commands import JOIN_WITHIN, Run, child_environment, download_argv, plan_runs
from server.plugins.lean_cli_provider.config import LeanCliConfig
from server.plugins.lean_cli_provider.diagnosis import days_error, fatal_error
from server.plugins.lean_cli_provider.plugin import backtest_data_providers
from server.plugins.lean_cli_provider.staging import private_settings

NEW_YORK = ZoneInfo("America/New_York")
KEY = "q7Key/with+signs"

any_day = st.dates(date(1998, 1, 2), date(2035, 12, 31))
any_resolution = st.sampled_from(list(JOIN_WITHIN))


def gap(symbol: str, resolution: Resolution, *days: date) -> Gap:
    """A gap of these days."""
    return Gap(series=Series(symbol, resolution), days=tuple(sorted(set(days))))


def outcome(*lines: str, exit_code: int = 1, timed_out: bool = False) -> CommandOutcome:
    """How a run ended, and what it said."""
    return CommandOutcome(exit_code=exit_code, lines=lines, timed_out=timed_out)


# --- ranges ---


def new_york(day: date, at: time = time()) -> datetime:
    """An instant of a New York day, in UTC."""
    return datetime.combine(day, at, NEW_YORK).astimezone(UTC)


def utc_midnight(day: date) -> datetime:
    """The CLI's meaning of a date."""
    return datetime.combine(day, time(), UTC)


@given(st.lists(any_day, min_size=1, max_size=20), any_resolution)
def test_every_wanted_day_lies_whole_in_its_run(days: list[date], resolution: Resolution) -> None:
    """From 00:00 to 24:00 New York, in any season and on the days when clocks change; the end is exclusive."""
    for run in plan_runs([gap("SPY", resolution, *days)]):
        for day in run.wanted[Series("SPY", resolution)]:
            assert utc_midnight(run.start) <= new_york(day)
            assert new_york(day + timedelta(days=1)) <= utc_midnight(run.end)


@given(any_day)
def test_no_shorter_range_would_do(day: date) -> None:
    """A day later at the start, or a day earlier at the end, would cut the wanted day."""
    [run] = plan_runs([gap("SPY", Resolution.MINUTE, day)])

    assert utc_midnight(run.start + timedelta(days=1)) > new_york(day)
    assert utc_midnight(run.end - timedelta(days=1)) < new_york(day + timedelta(days=1))


@pytest.mark.parametrize(
    ("day", "last_minute_at"),
    [
        (date(2024, 1, 3), datetime(2024, 1, 4, 0, 59, tzinfo=UTC)),
        (date(2024, 7, 3), datetime(2024, 7, 3, 23, 59, tzinfo=UTC)),
    ],
)
def test_the_last_minute_of_a_winter_day_lies_after_utc_midnight(day: date, last_minute_at: datetime) -> None:
    """19:59 New York is 00:59 UTC of the next day in winter: an end one day after the day would lose it."""
    [run] = plan_runs([gap("SPY", Resolution.MINUTE, day)])

    assert last_minute_at == new_york(day, time(19, 59))
    assert last_minute_at < utc_midnight(run.end)
    assert (day, day + timedelta(days=2)) == (run.start, run.end)


@given(st.lists(st.tuples(st.sampled_from("ABC"), any_resolution, st.lists(any_day, max_size=8)), max_size=8))
def test_runs_want_exactly_the_days_of_the_gaps(parts: list[tuple[str, Resolution, list[date]]]) -> None:
    """None is lost, none is added, none is fetched twice."""
    runs = plan_runs([gap(symbol, resolution, *days) for symbol, resolution, days in parts])

    wanted = [(series, day) for run in runs for series, days in run.wanted.items() for day in days]
    assert sorted(wanted) == sorted({(Series(ticker, size), day) for ticker, size, days in parts for day in days})
    assert all(series.resolution is run.resolution for run in runs for series in run.wanted)


@given(st.lists(any_day, min_size=1, max_size=20), st.sampled_from([Resolution.MINUTE, Resolution.SECOND]))
def test_days_far_apart_are_not_fetched_together(days: list[date], resolution: Resolution) -> None:
    """No run of one symbol spans more than the join distance without a wanted day; neighbours are joined."""
    within = JOIN_WITHIN[resolution]
    runs = plan_runs([gap("SPY", resolution, *days)])

    for run in runs:
        assert all(later - earlier <= within for earlier, later in pairwise(run.wanted[Series("SPY", resolution)]))
    for earlier, later in pairwise(sorted(runs, key=lambda run: run.start)):
        assert later.first_day - earlier.last_day > within


def test_symbols_with_about_the_same_range_share_a_run() -> None:
    """One run for AAPL and MSFT, another for IBM's January ten years before, a third for its January now."""
    january = [date(2024, 1, day) for day in (2, 3, 4)]
    runs = plan_runs(
        [
            gap("AAPL", Resolution.MINUTE, *january),
            gap("MSFT", Resolution.MINUTE, date(2024, 1, 8)),
            gap("IBM", Resolution.MINUTE, date(2014, 1, 8), date(2024, 6, 3)),
        ]
    )

    assert [run.tickers for run in runs] == [["IBM"], ["AAPL", "MSFT"], ["IBM"]]
    assert (date(2024, 1, 2), date(2024, 1, 10)) == (runs[1].start, runs[1].end)


def test_a_symbol_with_one_day_does_not_drag_a_year_along() -> None:
    """One day of MSFT and a year of AAPL are two runs, although the day lies in the year."""
    year = [date(2024, 1, 2) + timedelta(days=number) for number in range(0, 360, 3)]
    runs = plan_runs([gap("AAPL", Resolution.MINUTE, *year), gap("MSFT", Resolution.MINUTE, date(2024, 1, 3))])

    assert [run.tickers for run in runs] == [["AAPL"], ["MSFT"]]


def test_daily_bars_take_one_run_whatever_the_days() -> None:
    """All daily bars there are fit into one of the vendor's answers."""
    runs = plan_runs([gap("AAPL", Resolution.DAILY, date(2004, 1, 2)), gap("SPY", Resolution.DAILY, date(2024, 1, 2))])

    assert [run.tickers for run in runs] == [["AAPL", "SPY"]]


def test_no_gap_no_run() -> None:
    """Nothing missing, nothing to run; a gap without days is ignored."""
    assert plan_runs([]) == []
    assert plan_runs([gap("SPY", Resolution.DAILY)]) == []


# --- arguments and environment ---


def test_the_arguments_are_complete_and_without_the_key() -> None:
    """Each option that the CLI would ask for is there, and ends in the lean.json that holds the key."""
    config = LeanCliConfig(api_key=Secret(KEY), image="quantconnect/lean:16000")
    run = Run(
        wanted={
            Series("AAPL", Resolution.MINUTE): (date(2024, 1, 2),),
            Series("BRK.B", Resolution.MINUTE): (date(2024, 1, 31),),
        }
    )

    argv = download_argv("/usr/bin/lean", config, run, "/private/lean.json")

    expected = (
        "/usr/bin/lean data download --data-provider-historical Polygon --polygon-license-type Individual "
        "--data-type Trade --resolution Minute --security-type Equity --market USA --ticker AAPL,BRK.B "
        "--start 20240102 --end 20240202 --no-update --image quantconnect/lean:16000 --lean-config /private/lean.json"
    )
    assert expected.split() == list(argv)


def test_without_an_image_the_cli_takes_its_own() -> None:
    """The option is left out, not given empty."""
    run = Run(wanted={Series("SPY", Resolution.DAILY): (date(2024, 1, 2),)})

    assert "--image" not in download_argv("lean", LeanCliConfig(), run, "lean.json")


def test_the_environment_is_the_users_without_the_key() -> None:
    """Neither under its own names, nor within another variable, in whatever form."""
    environment = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "POLYGON_API_KEY": "another key",
        "MASSIVE_API_KEY": KEY,
        "HINT": f"?apiKey={KEY.upper()}",
        "ENCODED": "q7Key%2Fwith%2Bsigns",
        "TMPDIR": "/tmp",
    }

    made = child_environment(environment, [Secret(KEY)], "/private/tmp")

    assert {"PATH", "HOME", "TMPDIR", "TMP", "TEMP", "COLUMNS", "PYTHONUNBUFFERED", "PYTHONIOENCODING"} == set(made)
    assert made["TMPDIR"] == "/private/tmp"
    assert made["HOME"] == "/home/me"


def test_the_private_lean_json_takes_over_what_is_needed_and_no_more(tmp_path: Path) -> None:
    """The organization, Polygon's settings, the key; no other secret of the user's."""
    user = {
        "organization-id": "abc",
        "job-organization-id": "def",
        "polygon-api-url": "https://api.massive.com",
        "polygon-api-key": "an old one",
        "data-folder": "/home/me/data",
        "ib-password": "hunter2",
    }

    assert private_settings(user, Secret(KEY), "Business", tmp_path) == {
        "organization-id": "abc",
        "job-organization-id": "def",
        "polygon-api-url": "https://api.massive.com",
        "polygon-api-key": KEY,
        "polygon-license-type": "Business",
        "data-folder": "data",
    }


# --- settings and discovery ---


def test_the_config_does_not_show_the_key() -> None:
    """Its repr leaves the field out."""
    assert KEY not in repr(LeanCliConfig(api_key=Secret(KEY)))


@pytest.mark.parametrize("wrong", [{"time_limit": 0.0}, {"executable": ""}, {"license_type": ""}])
def test_a_setting_that_does_not_fit_is_refused(wrong: dict[str, object]) -> None:
    """The error names the setting."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LeanCliConfig(**wrong)  # type: ignore[arg-type]


def test_the_plugin_offers_one_provider_and_reads_nothing() -> None:
    """Its record names the provider, and its settings have defaults for all."""
    [spec] = backtest_data_providers()

    assert spec.name == "lean-cli"
    assert spec.config_class() == LeanCliConfig(
        executable="lean",
        time_limit=3600.0,
        image=None,
        api_key=Secret(""),
        license_type="Individual",
        lean_config=None,
    )


def test_the_lean_json_setting_is_a_path() -> None:
    """It is taken as given."""
    assert LeanCliConfig(lean_config=Path("/lean.json")).lean_config == Path("/lean.json")


# --- what outputs mean ---


@pytest.mark.parametrize(
    ("line", "error", "advice"),
    [
        ("Error: Please make sure Docker is installed and running", ToolMissingError, "docker info"),
        ("ERROR: Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", ToolMissingError, "start it"),
        ("Error: Error while fetching server API version: ('Connection aborted.')", ToolMissingError, "needs Docker"),
        ("sudo: a terminal is required to read the password", ToolMissingError, "usermod -aG docker"),
        (
            "Error: The Lean CLI does not work with the Snap version of Docker, please re-install Docker",
            ToolMissingError,
            "Snap",
        ),
        ("Error: Invalid credentials, please log in using `lean login`", ToolFailedError, "run `lean login`"),
        ("Error: No such option: --market", ToolFailedError, "pip install --upgrade lean"),
        ("Error: Your organization does not have a subscription", ToolFailedError, "licence for the Polygon module"),
        ("ERROR:: ... System.ArgumentException: Invalid organization subscription", ToolFailedError, "licence"),
        ("This is an old Lean CLI root folder. Please create a new folder", ToolFailedError, "lean init"),
        ("Aborted!", ToolFailedError, "asked a question"),
        ('ERROR:: {"status":"ERROR","error":"Unknown API Key"}', AuthenticationError, "POLYGON_API_KEY"),
        ('ERROR:: {"status":"NOT_AUTHORIZED","message":"upgrade"}', PlanLimitError, "upgrade the plan"),
    ],
)
def test_a_failure_that_would_come_again_says_what_to_do(
    line: str, error: type[BacktestServerError], advice: str
) -> None:
    """It is an error of its own kind, with the advice and the tool's own words."""
    found = fatal_error(outcome("Checking modules", line, "see https://www.lean.io/docs"), 60)

    assert type(found) is error
    assert advice in str(found)
    assert line in str(found)
    assert "\n" not in str(found)


def test_a_hanging_tool_names_the_limit_and_the_setting() -> None:
    """Both ways to set it, and what it said last."""
    found = fatal_error(outcome("Pulling quantconnect/lean:latest...", exit_code=-9, timed_out=True), 90)

    assert isinstance(found, ToolFailedError)
    assert "after 90 s" in str(found)
    assert "BACKTEST_SERVER_LEAN_TIME_LIMIT" in str(found)
    assert "providers.lean-cli.time-limit" in str(found)
    assert "Pulling quantconnect/lean:latest" in str(found)


@pytest.mark.parametrize(
    "lines",
    [
        ("TRACE:: All downloads completed in 1 seconds.",),
        ("Error: Something went wrong while running the downloader data provider, see the logs above",),
        ("The organization page has news",),
        ("TRACE:: --polygon-license-type Individual",),
        (),
    ],
)
def test_other_failures_let_the_next_run_try(lines: tuple[str, ...]) -> None:
    """They say nothing about what another range would bring."""
    assert fatal_error(outcome(*lines), 60) is None


def test_an_end_without_an_error_is_never_fatal() -> None:
    """With exit code 0 no word in the log is taken for a failure of the whole."""
    assert fatal_error(outcome("TRACE:: no licence? Docker is not logged in", exit_code=0), 60) is None


def test_missing_days_quote_the_line_about_their_symbol() -> None:
    """Not the one about another symbol whose name begins alike, and not the last line of all."""
    lines = (
        "TRACE:: DownloaderDataProvider.Main(): No data found for SPY between 1 and 2",
        "TRACE:: DownloaderDataProvider.Main(): No data found for SPYG between 3 and 4",
        "TRACE:: All downloads completed in 1 seconds.",
    )
    days = (date(2024, 1, 2), date(2024, 1, 3))

    error = days_error(outcome(*lines, exit_code=0), Series("SPY", Resolution.MINUTE), days)

    assert "No data found for SPY between 1 and 2" in str(error)
    assert "SPYG" not in str(error)
    assert "2 days between 2024-01-02 and 2024-01-03" in str(error)
    assert "no proof that nothing was traded" in str(error)
    assert (error.series, error.days) == (Series("SPY", Resolution.MINUTE), days)


@pytest.mark.parametrize(("exit_code", "words"), [(1, "exit code 1"), (-9, "signal 9")])
def test_missing_days_say_how_the_run_ended(exit_code: int, words: str) -> None:
    """A crash, or a signal such as that of the kernel short of memory."""
    series, day = Series("SPY", Resolution.DAILY), date(2024, 1, 2)
    error = days_error(outcome("ERROR:: boom", exit_code=exit_code), series, (day,))

    assert words in str(error)
    assert "ERROR:: boom" in str(error)
    assert "for 2024-01-02" in str(error)


@given(st.lists(st.text(), max_size=30), st.integers(-15, 255))
def test_an_explanation_is_one_short_line(lines: list[str], exit_code: int) -> None:
    """Whatever the tool printed."""
    printed = outcome(*lines, exit_code=exit_code)
    error = fatal_error(printed, 60) or days_error(printed, Series("SPY", Resolution.DAILY), (date(2024, 1, 2),))

    assert len(str(error).splitlines()) == 1
    assert len(str(error)) < 1000
