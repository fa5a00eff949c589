"""Hour bars, and daily bars of the regular session, by the commands: fetched minutes, minutes on disk, resuming."""

from __future__ import annotations

import itertools
import json
import shutil
from datetime import date
from pathlib import Path

import pytest

from server.data_download.daily_kinds import DailyKind
from tests.support import faults
from tests.support.cli_market import Serve
from tests.support.command_line import CommandLine, answer_of, wait_until
from tests.support.derived import daily_rows, hour_rows
from tests.support.faults import Fault
from tests.support.harness import calendar, csv_of, sessions
from tests.support.market import Market
from tests.support.polygon_server import PolygonServer, Request
from tests.support.reference_data import ReferenceData

DAYS = sessions(date(2024, 6, 24), 10)  # the 3rd of July ends at 13:00
EXTENDED = 960
"""Minutes from 04:00 to 20:00: all sessions."""
MARKET = Market.synthetic(["SPY"], DAYS, bars_per_day=EXTENDED, density=0.7, fractional_volume=True) | Market.synthetic(
    ["SPY"], DAYS, "daily"
)
MINUTES = MARKET["SPY", "minute"]


def arguments(resolution: str, days: list[date] = DAYS) -> tuple[str, ...]:
    """The options of a request for days."""
    return ("SPY", "--resolution", resolution, "--start", str(days[0]), "--end", str(days[-1]))


def rows_of(command: CommandLine, resolution: str) -> list[str]:
    """The rows of the symbol's file."""
    return csv_of(command.data)[f"{resolution}/spy.zip"].decode().split("\n")


def timespans(server: PolygonServer) -> list[str]:
    """What each request for bars asked for."""
    return [request.window[1] for request in server.requests if request.window]


@pytest.fixture
def server(served: Serve) -> PolygonServer:
    """A vendor with all minutes and its own daily bars."""
    found: PolygonServer = served(MARKET)
    return found


def test_hours_are_aggregated_from_minutes_that_are_not_stored(command: CommandLine, server: PolygonServer) -> None:
    """Only the hour file is written; the second run, coverage and verify find it and send nothing."""
    first = command.run("download", *arguments("hour"), "--json")
    assert (first.code, first.errors) == (0, [])
    report = json.loads(first.out)
    assert (report["days_downloaded"], report["bars"]) == (10, 67)  # seven hours a day, and four of the half day

    assert rows_of(command, "hour") == hour_rows(MINUTES, DAYS)
    assert [row[9:14] for row in rows_of(command, "hour") if row.startswith("20240703")] == [
        f"{hour:02d}:00" for hour in (9, 10, 11, 12)
    ]
    assert list(csv_of(command.data)) == ["hour/spy.zip"]
    assert set(timespans(server)) == {"minute"}

    server.reset()
    second = command.run("download", *arguments("hour"), "--json")
    assert (second.code, json.loads(second.out)["days_present"]) == (0, 10)
    assert command.run("coverage", *arguments("hour")).code == 0
    assert command.run("verify", "--resolution", "hour").code == 0
    assert server.requests == []


def test_a_dry_run_names_the_requests_for_minutes(command: CommandLine, server: PolygonServer) -> None:
    """As many as are then sent."""
    answer = command.run("download", *arguments("hour"), "--dry-run", "--json")

    lines = json.loads(answer.out)["requests"]
    assert server.requests == []
    assert command.run("download", *arguments("hour")).code == 0
    assert sorted(f"GET {server.url}{request.target}" for request in server.requests) == sorted(lines)


def test_minutes_on_disk_are_used_without_a_request(command: CommandLine, server: PolygonServer) -> None:
    """Those that are missing or damaged are fetched, and the files of the others stay as they are."""
    command.run("download", *arguments("minute", DAYS[:6]))
    damaged = command.data / "equity" / "usa" / "minute" / "spy" / f"{DAYS[2]:%Y%m%d}_trade.zip"
    before = csv_of(command.data)
    server.reset()

    assert command.run("download", *arguments("hour", DAYS[:6])).code == 0
    assert server.requests == []
    assert rows_of(command, "hour") == hour_rows(MINUTES, DAYS[:6])
    assert {path: text for path, text in csv_of(command.data).items() if path != "hour/spy.zip"} == before

    (command.data / "equity" / "usa" / "hour" / "spy.zip").unlink()
    damaged.unlink()
    (command.data / ".backtest-server" / "http-cache.sqlite").unlink()
    assert command.run("download", *arguments("hour")).code == 0
    asked = {request.window[2:] for request in server.requests if request.window}
    assert rows_of(command, "hour") == hour_rows(MINUTES, DAYS)
    assert min(first for first, _ in asked) == str(DAYS[2])
    assert not damaged.exists()


def test_rows_of_another_program_stay(command: CommandLine, server: PolygonServer) -> None:
    """Hours are merged by time, and only missing days are fetched."""
    command.run("download", *arguments("hour", DAYS[:3]))
    mine = rows_of(command, "hour")
    server.reset()

    assert command.run("download", *arguments("hour")).code == 0

    assert rows_of(command, "hour") == hour_rows(MINUTES, DAYS)
    assert rows_of(command, "hour")[: len(mine)] == mine
    assert min(request.window[2] for request in server.requests if request.window) == str(DAYS[3])


def test_a_killed_run_is_resumed(command: CommandLine, served: Serve) -> None:
    """Days of complete responses are on disk after kill -9, and are not requested again."""
    days = sessions(date(2023, 1, 3), 150)
    market = Market.synthetic(["SPY"], days, bars_per_day=30)
    count = itertools.count()

    def answer(request: Request, n: int) -> Fault | None:
        return faults.slow(60) if next(count) >= 3 else None

    server = served(market, on_request=answer)
    path = command.data / "equity" / "usa" / "hour" / "spy.zip"
    process = command.start("download", *arguments("hour", days))
    wait_until(lambda: path.exists() and len(rows_of(command, "hour")) >= 20)
    process.kill()
    answer_of(process)

    (command.data / ".backtest-server" / "http-cache.sqlite").unlink()
    have = {row[:8] for row in rows_of(command, "hour")}
    server.reset()
    server.on_request = None
    assert command.run("download", *arguments("hour", days)).code == 0
    assert rows_of(command, "hour") == hour_rows(market["SPY", "minute"], days)
    asked = [request.window[2:] for request in server.requests if request.window]
    wanted = [day for day in days if f"{day:%Y%m%d}" not in have]
    assert 0 < len(have) < len(days)
    assert len(wanted) <= sum(len(calendar().trading_days(*map(date.fromisoformat, one))) for one in asked) < len(days)


def test_minutes_that_the_plan_does_not_include_fail_as_such(command: CommandLine, served: Serve) -> None:
    """The days within the plan are written."""
    served(MARKET, plan_start=DAYS[4])

    answer = command.run("download", *arguments("hour"), "--json")

    report = json.loads(answer.out)
    assert answer.code == 1
    assert (report["days_downloaded"], report["days_failed"]) == (6, 4)
    assert {failure["resolution"] for failure in report["failures"]} == {"hour"}
    assert rows_of(command, "hour") == hour_rows(MINUTES, DAYS[4:])


def test_a_backtest_with_hours(command: CommandLine, server: PolygonServer) -> None:
    """The smoke test reads what LEAN would read."""
    answer = command.run(
        *("backtest", "--symbols", "SPY", "--resolution", "hour", "--start", str(DAYS[0]), "--end", str(DAYS[-1])),
        *("--engine", "smoke"),
    )

    assert answer.code == 0
    assert "67 hour bars of regular trading on 10 days" in answer.out


# --- daily bars ---


def kinds(command: CommandLine) -> list[tuple[str, dict[str, int]]]:
    """The kinds of daily bars that coverage reports."""
    answer = command.run("coverage", *arguments("daily"), "--json")
    return [(one["kind"], one["rows"]) for one in json.loads(answer.out)["symbols"]["SPY"]["daily_bars"]]


def test_daily_bars_of_the_regular_session(command: CommandLine, server: PolygonServer) -> None:
    """They are the aggregate of minutes that are not stored; the vendor's daily bars are not requested."""
    command.set(BACKTEST_SERVER_DAILY_BARS="regular-session")

    assert command.run("download", *arguments("daily")).code == 0

    assert rows_of(command, "daily") == daily_rows(MINUTES, DAYS)
    assert list(csv_of(command.data)) == ["daily/spy.zip"]
    assert set(timespans(server)) == {"minute"}
    assert kinds(command) == [("regular-session", {"regular-session": 10})]
    assert "daily bars: regular-session" in command.run("coverage", *arguments("daily")).out


def test_daily_bars_are_aggregated_from_hours_on_disk(command: CommandLine, server: PolygonServer) -> None:
    """A benchmark needs both; its minutes are fetched once."""
    command.set(BACKTEST_SERVER_DAILY_BARS="regular-session")
    command.run("download", *arguments("hour"))
    server.reset()

    assert command.run("download", *arguments("daily")).code == 0

    assert server.requests == []
    assert rows_of(command, "daily") == daily_rows(MINUTES, DAYS)


def test_changing_the_setting_fetches_nothing_and_a_refresh_does(command: CommandLine, server: PolygonServer) -> None:
    """A file that is extended in the other kind is mixed, and everything that reads it says so."""
    command.run("download", *arguments("daily", DAYS[:6]))
    command.set(BACKTEST_SERVER_DAILY_BARS="regular-session")
    server.reset()
    assert command.run("download", *arguments("daily", DAYS[:6])).code == 0
    assert server.requests == []
    assert kinds(command) == [("vendor", {"vendor": 6})]

    extended = command.run("download", *arguments("daily"), "--json")

    assert any(
        "is mixed" in notice and "6 vendor, 4 regular-session" in notice
        for notice in json.loads(extended.out)["notices"]
    )
    assert kinds(command) == [("mixed", {"vendor": 6, "regular-session": 4})]
    assert "daily bars: mixed (6 vendor, 4 regular-session)" in command.run("coverage", *arguments("daily")).out
    verified = command.run("verify", "--resolution", "daily")
    assert (verified.code, "daily bars by kind: 1 mixed" in verified.out) == (0, True)
    assert "is mixed" in verified.out
    checked = json.loads(command.run("verify", "--resolution", "daily", "--json").out)
    assert [one["kind"] for one in checked["daily_bars"]] == [DailyKind.MIXED]

    assert command.run("download", *arguments("daily"), "--refresh").code == 0
    assert rows_of(command, "daily") == daily_rows(MINUTES, DAYS)
    assert kinds(command) == [("regular-session", {"regular-session": 10})]


def test_factor_files_leave_daily_bars_of_the_session_alone(command: CommandLine, served: Serve) -> None:
    """Their closes come from the vendor's daily bars in one request, and are kept in the state folder."""
    days = sessions(date(2024, 6, 3), 25)
    market = Market.synthetic(["SPY"], days, bars_per_day=60) | Market.synthetic(["SPY"], days, "daily")
    reference = ReferenceData()
    reference.listed("SPY", exchange="ARCX", since=days[0])
    reference.dividend("SPY", days[3], "0.50")
    server = served(market, reference=reference)
    command.set(BACKTEST_SERVER_DAILY_BARS="regular-session", BACKTEST_SERVER_CORPORATE_ACTIONS="auto")

    answer = command.run("download", *arguments("daily", days[:8]), "--json")

    assert answer.code == 0
    assert rows_of(command, "daily") == daily_rows(market["SPY", "minute"], days[:8])
    assert set(timespans(server)) == {"minute", "day"}
    assert (command.data / "equity" / "usa" / "factor_files" / "spy.csv").exists()
    assert kinds(command) == [("regular-session", {"regular-session": 8})]
    assert "day" in timespans(server)
    assert (command.data / ".backtest-server" / "closes" / "equity" / "usa" / "daily" / "spy.zip").exists()


def test_kinds_without_the_state_folder(command: CommandLine, server: PolygonServer) -> None:
    """Rows that equal the aggregate of hours on disk are of the session, others of unknown kind."""
    command.run("download", *arguments("daily", DAYS[:6]))
    state = command.data / ".backtest-server"
    shutil.rmtree(state)
    assert kinds(command) == [("unknown", {"unknown": 6})]

    command.run("download", *arguments("daily"))
    assert kinds(command) == [("mixed", {"vendor": 4, "unknown": 6})]

    command.set(BACKTEST_SERVER_DAILY_BARS="regular-session")
    command.run("download", *arguments("hour"))
    command.run("download", *arguments("daily"), "--refresh")
    shutil.rmtree(state)
    assert kinds(command) == [("regular-session", {"regular-session": 10})]


def test_the_sample_of_lean_that_is_extended_with_vendor_bars_is_mixed(
    command: CommandLine, server: PolygonServer, lean_sample_data: Path
) -> None:
    """Its rows equal the aggregate of the sample's hours, and stay; without the hours their kind is unknown."""
    for name in ("daily", "hour"):
        path = command.data / "equity" / "usa" / name / "spy.zip"
        path.parent.mkdir(parents=True)
        shutil.copyfile(lean_sample_data / "equity" / "usa" / name / "spy.zip", path)
    assert kinds(command) == [("regular-session", {"regular-session": 5849})]
    before = rows_of(command, "daily")

    answer = command.run("download", *arguments("daily"))

    assert answer.code == 0
    assert "is mixed" in answer.err
    assert rows_of(command, "daily")[: len(before)] == before
    assert kinds(command) == [("mixed", {"vendor": 10, "regular-session": 5849})]
    (command.data / "equity" / "usa" / "hour" / "spy.zip").unlink()
    assert kinds(command) == [("mixed", {"vendor": 10, "unknown": 5849})]
