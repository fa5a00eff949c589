"""The command download: reports, JSON and dry runs."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime

import pytest

from server.lean.series import Resolution
from tests.support import faults
from tests.support.cli_market import CONTRACT, DAILY, DAYS, MARKET, MINUTES, OURS, Serve
from tests.support.command_line import CommandLine
from tests.support.harness import csv_of, lean_files, leftovers
from tests.support.market import Market
from tests.support.polygon_server import KEY


def test_download_fetches_and_then_has_it_all(command: CommandLine, served: Serve) -> None:
    """LEAN's files stand in ./data, the report says what was done, and a second run sends nothing."""
    server = served()

    first = command.run("download", "SPY", *MINUTES)
    second = command.run("download", "SPY", *MINUTES)

    assert (first.code, second.code) == (0, 0)
    assert csv_of(command.data) == lean_files(MARKET, "SPY", DAYS, Resolution.MINUTE)
    assert leftovers(command.data) == []
    assert "8: 0 present, 8 downloaded, 0 without bars, 0 failed" in first.out
    assert "480 written" in first.out
    assert "8: 8 present, 0 downloaded, 0 without bars, 0 failed" in second.out
    assert len(server.requests) == 1
    assert first.errors == second.errors == []


def test_the_json_contract(command: CommandLine, served: Serve) -> None:
    """Exactly one object on stdout, with the agreed keys first and in order, and true figures."""
    server = served()

    answer = command.run("download", "spy", "AAPL", "SPY", *MINUTES, "--json")

    report = json.loads(answer.out)
    assert answer.code == 0
    assert tuple(report) == CONTRACT + OURS
    assert (report["provider"], report["resolution"], report["symbols"]) == ("polygon", "minute", ["SPY", "AAPL"])
    assert (report["start"], report["end"]) == ("2024-03-04", "2024-03-13")
    assert [report[f"days_{what}"] for what in ("requested", "present", "downloaded", "empty", "failed")] == [
        *(16, 0, 16, 0, 0)
    ]
    assert report["api_calls"] == len(server.requests)
    assert report["bytes_fetched"] == server.bytes_sent
    assert (report["http_cache_hits"], report["retries"], report["bars"]) == (0, 0, 16 * 60)
    started, finished = (datetime.fromisoformat(report[name]) for name in ("started_at", "finished_at"))
    assert started.utcoffset() == finished.utcoffset() == UTC.utcoffset(None)
    assert 0 < report["duration_s"] < 10
    assert abs((finished - started).total_seconds() - report["duration_s"]) < 0.5
    assert (report["failures"], report["notices"], report["fallback"], report["cancelled"]) == ([], [], None, False)


def test_json_says_which_days_failed_and_why(command: CommandLine, served: Serve) -> None:
    """A plan that does not reach back: exit 1, the failure in the object, one line on stderr."""
    served(plan_start=DAYS[2])

    answer = command.run("download", "SPY", *MINUTES, "--json")

    report = json.loads(answer.out)
    assert answer.code == 1
    (failure,) = report["failures"]
    assert set(failure) == {"symbol", "resolution", "days", "error"}
    assert (failure["symbol"], failure["resolution"]) == ("SPY", "minute")
    assert failure["days"] == ["2024-03-04", "2024-03-05"]
    assert faults.PLAN_TIMEFRAME in failure["error"]
    assert (report["days_downloaded"], report["days_failed"]) == (6, 2)
    (line,) = answer.errors
    assert faults.PLAN_TIMEFRAME in line
    assert line.endswith("[SPY: 2024-03-04 to 2024-03-05, 2 days]")


def test_retries_are_counted_as_requests(command: CommandLine, served: Serve) -> None:
    """Requests really sent, retries included."""
    server = served(faults=[faults.server_error(), faults.connection_reset()])

    report = json.loads(command.run("download", "SPY", *MINUTES, "--json").out)

    assert (report["api_calls"], report["retries"], report["days_downloaded"]) == (3, 2, 8)
    assert len(server.requests) == 3


def test_days_that_failed_for_one_reason_are_one_line(command: CommandLine, served: Serve) -> None:
    """Two symbols, one cause."""
    served(key="another")

    answer = command.run("download", "SPY", "AAPL", *MINUTES)

    assert answer.code == 1
    assert len(answer.errors) <= 2  # the vendor's request id may differ
    assert all("does not accept your API key" in line for line in answer.errors)


def test_days_without_bars_are_no_failure(command: CommandLine, served: Serve) -> None:
    """Exit 0 when every day is present or known to be empty."""
    served(Market.synthetic(["SPY"], DAYS[:5], bars_per_day=10))

    answer = command.run("download", "SPY", *MINUTES, "--json")

    report = json.loads(answer.out)
    assert answer.code == 0
    assert (report["days_downloaded"], report["days_empty"]) == (5, 3)


def test_the_data_folder_may_be_named(command: CommandLine, served: Serve) -> None:
    """By the flag above the environment above lean.json, each relative to where it is given."""
    served()
    nested = command.folder / "work" / "deep"
    nested.mkdir(parents=True)
    (command.folder / "work" / "lean.json").write_text('{"data-folder": "from-lean", // LEAN writes comments\n}')
    os.chdir(nested)
    try:
        for variable, flag, expected in (
            ("", (), "work/from-lean"),
            ("from-env", (), "work/deep/from-env"),
            ("from-env", ("--data-folder", "../from-flag"), "work/from-flag"),
        ):
            command.set(LEAN_DATA_FOLDER=variable)
            assert command.run("download", "SPY", *DAILY, *flag).code == 0
            assert (command.folder / expected / "equity" / "usa" / "daily" / "spy.zip").is_file()
    finally:
        os.chdir(command.folder)


def test_another_provider_may_be_named(command: CommandLine, served: Serve) -> None:
    """`--provider lean-cli` where LEAN's CLI is not installed: one line that says what to do, no request."""
    server = served()
    command.set(PATH=str(command.folder))

    answer = command.run("download", "SPY", *MINUTES, "--provider", "lean-cli")

    assert answer.code == 1
    (line,) = answer.errors
    assert "pip install lean" in line
    assert server.requests == []


@pytest.mark.parametrize("json_", [(), ("--json",)])
def test_a_dry_run_sends_nothing_and_writes_nothing(
    command: CommandLine, served: Serve, json_: tuple[str, ...]
) -> None:
    """It prints gaps and requests; without a data folder none is made, and one that is there stays as it is."""
    server = served()

    answer = command.run("download", "SPY", "AAPL", *MINUTES, "--dry-run", *json_)

    assert answer.code == 0
    assert server.requests == []
    assert command.files() == {}
    if json_:
        plan = json.loads(answer.out)
        assert [gap["symbol"] for gap in plan["gaps"]] == ["SPY", "AAPL"]
        assert plan["gaps"][0]["days"] == [str(day) for day in DAYS]
        lines = plan["requests"]
    else:
        assert "SPY minute: missing 2024-03-04 to 2024-03-13, 8 days" in answer.out
        lines = re.findall(r"GET \S+", answer.out)
        assert f"{len(lines)} request" in answer.out
    assert KEY not in answer.out + answer.err

    command.run("download", "SPY", "AAPL", *MINUTES)
    assert sorted(f"GET {server.url}{request.target}" for request in server.requests) == sorted(lines)
    (command.data / "equity" / "usa" / "minute" / "spy" / "20240304_trade.zip").unlink()
    server.reset()
    before = command.files()
    answer = command.run("download", "SPY", "AAPL", *MINUTES, "--dry-run", *json_)
    assert answer.code == 0
    assert "2024-03-04" in answer.out
    assert server.requests == []
    assert command.files() == before


def test_a_dry_run_with_an_existing_empty_folder(command: CommandLine, served: Serve) -> None:
    """Not even the server's own state appears in it."""
    served()
    command.data.mkdir()

    assert command.run("download", "SPY", *MINUTES, "--dry-run").code == 0
    assert command.run("coverage", "SPY", *MINUTES).code == 1
    assert command.run("providers").code == 0
    assert command.run("verify", "--resolution", "minute").code == 0
    assert command.files() == {"data": None}


def test_a_dry_run_needs_no_key(command: CommandLine, served: Serve) -> None:
    """The plan is the same."""
    served()
    command.set(POLYGON_API_KEY="")

    assert "would be sent to polygon" in command.run("download", "SPY", *MINUTES, "--dry-run").out


def test_a_dry_run_where_nothing_is_missing(command: CommandLine, served: Serve) -> None:
    """It says so."""
    served()
    command.run("download", "SPY", *MINUTES)

    assert "nothing is missing" in command.run("download", "SPY", *MINUTES, "--dry-run").out
