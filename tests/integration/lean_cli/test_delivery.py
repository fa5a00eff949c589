"""What the provider lean-cli hands over, and the days that do not come."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from server.core.errors import (
    ToolFailedError,
)
from server.core.secret import Secret
from server.data_download.errors import BadResponseError
from server.data_download.locks import STATE_FOLDER
from server.lean.series import Resolution
from server.plugins.lean_cli_provider.commands import JOIN_WITHIN
from tests.support.lean_cli_setup import (
    JULY,
    THURSDAY,
    TUESDAY,
    WEDNESDAY,
    Setup,
    gap,
    labels,
    whole_day,
)


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


def test_days_between_that_were_not_requested_are_not_handed_over(setup: Setup) -> None:
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
