"""The commands coverage and verify."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from server.data_download.ledger import Ledger
from server.lean.series import Resolution, Series
from tests.support.cli_market import DAILY, DAYS, MARKET, MINUTES, Serve, minute_path
from tests.support.command_line import CommandLine
from tests.support.harness import csv_of, lean_files, leftovers
from tests.support.market import Market
from tests.support.polygon_server import PolygonServer


def mixed_folder(command: CommandLine, served: Serve) -> PolygonServer:
    """SPY's eight days: present but for an empty (5th), a provisional (6th), a damaged (12th), a missing one (13th)."""
    days = [day for day in DAYS if day != DAYS[1]]
    server: PolygonServer = served(Market.synthetic(["SPY"], days, bars_per_day=10))
    assert command.run("download", "SPY", *MINUTES).code == 0
    ledger = Ledger(command.data / ".backtest-server" / "ledger.sqlite")
    series, at = Series("SPY", Resolution.MINUTE), datetime(2024, 3, 6, 15, tzinfo=UTC)
    ledger.record_days(series, now=at, provisional=[DAYS[2]])
    ledger.close()
    minute_path(command, DAYS[6]).write_bytes(b"PK")
    minute_path(command, DAYS[7]).unlink()
    server.reset()
    return server


@pytest.mark.damaged_zips
def test_coverage_draws_a_calendar(command: CommandLine, served: Serve) -> None:
    """A column a week; each state has its sign, and those that occur are counted above."""
    server = mixed_folder(command, served)

    answer = command.run("coverage", "SPY", *MINUTES)

    lines = [line.rstrip() for line in answer.out.splitlines()]
    assert lines[-9:] == [
        "SPY minute   ■ 4 present   ◧ 1 provisional   · 1 empty   ! 1 damaged   □ 1 missing",
        "2024  Mar",
        " Mon  ■■",
        " Tue  ·!",
        " Wed  ◧□",
        " Thu  ■",
        " Fri  ■",
        "no factor file; no map file",
        "",
    ]
    assert lines[0].startswith(f"note: {minute_path(command, DAYS[6])} is damaged")
    assert answer.code == 1
    assert answer.errors == ["error: SPY minute: 2 of 8 trading days are not there"]
    assert server.requests == []


@pytest.mark.damaged_zips
def test_coverage_in_json(command: CommandLine, served: Serve) -> None:
    """Each day's state by name, and the counts."""
    mixed_folder(command, served)

    answer = command.run("coverage", "SPY", *MINUTES, "--json")

    found = json.loads(answer.out)["symbols"]["SPY"]
    states = ["present", "empty", "provisional", "present", "present", "present", "damaged", "missing"]
    assert found["days"] == dict(zip(map(str, DAYS), states, strict=True))
    assert found["counts"] == {state: states.count(state) for state in states}


def test_coverage_of_two_years_and_symbols(command: CommandLine, served: Serve) -> None:
    """A block a year for each symbol, months above their first weeks."""
    served()

    answer = command.run(
        "coverage", "SPY", "AAPL", "--resolution", "daily", "--start", "2022-12-15", "--end", "2024-01-31"
    )

    lines = [line.rstrip() for line in answer.out.splitlines()]
    assert [line for line in lines if line[:2] == "20"] == [
        "2022  Dec",
        "2023  Jan Feb Mar  Apr May Jun  Jul Aug Sep  Oct Nov Dec",
        "2024  Jan",
    ] * 2
    # 2022-12-15 to 30: 11 sessions; 2023: 250; January 2024: 21.
    assert lines[0] == "SPY daily   □ 282 missing"
    assert len(answer.errors) == 2
    mondays_2023 = lines[lines.index("2023  Jan Feb Mar  Apr May Jun  Jul Aug Sep  Oct Nov Dec") + 1]
    # Holidays on Mondays: 2 and 16 January, 20 February, 29 May, 19 June, 4 September, 25 December.
    assert mondays_2023 == " Mon   □ □□□□ □□□□□□□□□□□□□ □□ □□□□□□□□□□ □□□□□□□□□□□□□□□"


def test_coverage_that_is_complete_ends_with_0(command: CommandLine, served: Serve) -> None:
    """Empty days count as covered."""
    served(Market.synthetic(["SPY"], DAYS[:6], bars_per_day=5))
    command.run("download", "SPY", *MINUTES)

    answer = command.run("coverage", "SPY", *MINUTES)

    assert (answer.code, answer.err) == (0, "")
    assert "■ 6 present   · 2 empty" in answer.out


def test_verify_names_damaged_files_and_repairs_them(command: CommandLine, served: Serve) -> None:
    """Without --repair it only looks; with it the file is fetched again, whole."""
    server = served()
    command.run("download", "SPY", *MINUTES)
    path = minute_path(command, DAYS[3])
    good = path.read_bytes()
    path.write_bytes(good[:50])
    server.reset()

    looked = command.run("verify", "--resolution", "minute")

    assert looked.code == 1
    assert "8 minute files read, 1 damaged" in looked.out
    (line,) = looked.errors
    assert str(path) in line
    assert "verify --repair fetches it again" in line
    assert server.requests == []
    assert path.read_bytes() == good[:50]

    repaired = command.run("verify", "--resolution", "minute", "--repair", "--json")

    assert repaired.code == 0, repaired.err
    answer = json.loads(repaired.out)
    assert (answer["files"], answer["damaged"]) == (8, [])
    assert answer["repair"]["days_downloaded"] == 1
    assert [request.window for request in server.requests] == [("SPY", "minute", str(DAYS[3]), str(DAYS[3]))]
    assert csv_of(command.data) == lean_files(MARKET, "SPY", DAYS, Resolution.MINUTE)
    assert command.run("verify", "--resolution", "minute").code == 0


def test_verify_repairs_a_daily_zip(command: CommandLine, served: Serve) -> None:
    """All days that it once held come back; the damaged file is kept next to the new one."""
    served()
    command.run("download", "SPY", *DAILY)
    path = command.data / "equity" / "usa" / "daily" / "spy.zip"
    path.write_bytes(b"rubbish")

    answer = command.run("verify", "SPY", "--resolution", "daily", "--repair")

    assert answer.code == 0, answer.err
    assert csv_of(command.data) == lean_files(MARKET, "SPY", DAYS, Resolution.DAILY)
    (aside,) = leftovers(command.data)
    assert aside.read_bytes() == b"rubbish"


@pytest.mark.damaged_zips
def test_verify_looks_only_at_the_symbols_named(command: CommandLine, served: Serve) -> None:
    """Another's damage is not its business."""
    served()
    command.run("download", "SPY", "AAPL", *MINUTES)
    minute_path(command, DAYS[0], "aapl").write_bytes(b"")

    assert command.run("verify", "SPY", "--resolution", "minute").code == 0
    assert command.run("verify", "AAPL", "--resolution", "minute").code == 1


@pytest.mark.damaged_zips
def test_a_repair_that_fails_says_why(command: CommandLine, served: Serve) -> None:
    """Exit 1, and both the file and the cause are named."""
    served()
    command.run("download", "SPY", *MINUTES)
    minute_path(command, DAYS[0]).write_bytes(b"PK")
    command.set(POLYGON_API_KEY="wrong")

    answer = command.run("verify", "--resolution", "minute", "--repair")

    assert answer.code == 1
    assert any("does not accept your API key" in line for line in answer.errors)
    assert any(str(minute_path(command, DAYS[0])) in line for line in answer.errors)
