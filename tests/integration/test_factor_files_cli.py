"""`backtest-server factor-files`, and the setting `corporate-actions`, as a user has them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.support import faults
from tests.support.command_line import CommandLine, answer_of, wait_until
from tests.support.harness import calendar
from tests.support.market import Market
from tests.support.polygon_server import KEY, PolygonServer, Request
from tests.support.reference_data import DIVIDENDS, SPLITS, ReferenceData

Serve = Callable[..., PolygonServer]

DAYS = calendar().trading_days(date(2024, 3, 4), date(2024, 3, 13))
MARKET = Market.synthetic(["SPY", "AAPL"], DAYS, "daily")
RANGE = ("--resolution", "daily", "--start", str(DAYS[0]), "--end", str(DAYS[-1]))


def reference() -> ReferenceData:
    """SPY pays on the fifth day; AAPL does nothing."""
    data = ReferenceData()
    data.dividend("SPY", DAYS[4], "1.5")
    data.listed("SPY", exchange="ARCX", since=DAYS[0])
    data.listed("AAPL", since=DAYS[0])
    return data


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line in an empty working folder, with a key and the default settings."""
    monkeypatch.delenv("BACKTEST_SERVER_CORPORATE_ACTIONS")
    found = CommandLine(tmp_path, capsys, monkeypatch)
    found.set(POLYGON_API_KEY=KEY)
    return found


@pytest.fixture
def served(command: CommandLine, polygon_server: Serve) -> Callable[..., PolygonServer]:
    """``served(…)`` starts a server that the command line talks to."""

    def start(**options: Any) -> PolygonServer:
        server = polygon_server(MARKET, **{"reference": reference(), **options})
        command.set(POLYGON_API_URL=server.url)
        return server

    return start


def path(command: CommandLine, kind: str, symbol: str) -> Path:
    """Where a file is."""
    return command.data / "equity" / "usa" / f"{kind}_files" / f"{symbol}.csv"


def test_it_says_what_was_written(command: CommandLine, served: Serve) -> None:
    """A line for each symbol, exit code 0, nothing on stderr but the log's plain lines; the second time it is done."""
    server = served()

    first = command.run("factor-files", "SPY", "aapl", "SPY")

    assert (first.code, first.errors) == (0, [])
    assert first.out.splitlines()[:2] == [
        "SPY: factor file written, map file written (from 2024-03-04; splits: 0, dividends: 1)",
        "AAPL: factor file written, map file written (from 2024-03-04; splits: 0, dividends: 0)",
    ]
    assert "requests  9 (0 retries)" in first.out
    assert path(command, "map", "spy").read_text() == "20240304,spy,P\n20501231,spy,P\n"
    assert path(command, "factor", "aapl").read_text() == "20240304,1,1,1\n20501231,1,1,0"
    assert KEY not in first.out + first.err
    server.reset()

    second = command.run("factor-files", "SPY")
    assert (second.code, server.requests) == (0, [])
    assert "SPY was built today already; --refresh requests everything again" in second.out


def test_the_json_contract(command: CommandLine, served: Serve) -> None:
    """Exactly one object on stdout."""
    server = served()

    answer = command.run("factor-files", "SPY", "--json")

    assert answer.code == 0
    assert json.loads(answer.out) == {
        "provider": "polygon",
        "since": None,
        "symbols": [
            {
                "symbol": "SPY",
                "factor_file": "written",
                "map_file": "written",
                "notices": [],
                "first_day": "2024-03-04",
                "splits": 0,
                "dividends": 1,
                "factor_differences": {"count": 0, "newest": []},
                "map_differences": {"count": 0, "newest": []},
                "other_holders": [],
                "doubts": [],
                "later_events": [],
            }
        ],
        "failures": [],
        "notices": [],
        "api_calls": 5,
        "http_cache_hits": 0,
        "retries": 0,
        "bytes_fetched": server.bytes_sent,
        "cancelled": False,
    }


def test_a_dry_run_sends_and_writes_nothing(command: CommandLine, served: Serve) -> None:
    """What would be asked for, and what would become of each file; also without a key."""
    server = served()
    command.set(POLYGON_API_KEY="")
    foreign = path(command, "factor", "spy")
    foreign.parent.mkdir(parents=True)
    foreign.write_text("20501231,1,1,0")
    before = command.files()

    answer = command.run("factor-files", "SPY", "--dry-run")
    plan = json.loads(command.run("factor-files", "SPY", "--dry-run", "--json").out)

    assert (answer.code, answer.err, server.requests) == (0, "", [])
    assert "would be compared with equity/usa/factor_files/spy.csv, which another program wrote" in answer.out
    assert "would be written to equity/usa/map_files/spy.csv" in answer.out
    assert "  splits of SPY" in answer.out.splitlines()
    assert plan["symbols"][0]["symbol"] == "SPY"
    assert command.files() == before


def test_differences_of_a_foreign_file_are_shown(command: CommandLine, served: Serve) -> None:
    """Ours and theirs, and the file stays."""
    served()
    foreign = path(command, "factor", "aapl")
    foreign.parent.mkdir(parents=True)
    foreign.write_text("20240304,1,0.5,1\n20240306,1,0.5,10\n20501231,1,1,0")

    answer = command.run("factor-files", "AAPL")

    assert answer.code == 0
    assert "the existing factor file differs in 2 rows" in answer.out
    assert "2024-03-06: only theirs has this row (price factor 1, split factor 0.5, close 10)" in answer.out
    assert foreign.read_text().startswith("20240304,1,0.5,1\n20240306")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("NOPE",), 1, "nothing is known about NOPE, and it has no bars; no files are built for it [NOPE]"),
        (("SPY", "--provider", "lean-cli"), 2, "the provider lean-cli has no splits and dividends"),
        (("SPY", "--since", "2090-01-01"), 2, "the last session whose close is known"),
        (("SPY", "--since", "yesterday"), 2, "is not a day"),
        (("../x",), 2, "is not a US equity symbol"),
    ],
)
def test_what_cannot_be_is_one_line(
    command: CommandLine, served: Serve, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """On stderr, with the exit code of its kind."""
    served()

    answer = command.run("factor-files", *arguments)

    assert answer.code == code
    (line,) = answer.errors
    assert words in line


def test_a_close_that_is_missing_is_one_line(command: CommandLine, served: Serve) -> None:
    """The day, why, and what could be done."""
    data = reference()
    data.dividend("AAPL", DAYS[3], "9999999")
    served(reference=data)

    answer = command.run("factor-files", "AAPL", "SPY")

    assert answer.code == 1
    (line,) = answer.errors
    assert "on 2024-03-06 the dividend of 2024-03-07" in line
    assert "--since" in line
    assert "SPY: factor file written" in answer.out
    assert not path(command, "map", "aapl").exists()


@pytest.mark.parametrize("key", ["", "another-key"])
def test_without_a_good_key_nothing_is_left(command: CommandLine, served: Serve, key: str) -> None:
    """One line, exit code 1, and no trace on disk."""
    served()
    command.set(POLYGON_API_KEY=key)

    answer = command.run("factor-files", "SPY")

    assert (answer.code, len(answer.errors)) == (1, 1)
    assert command.files() == {}


def test_a_download_makes_them_and_says_so(command: CommandLine, served: Serve) -> None:
    """By default; the plain lines name what was written, the object too."""
    served()

    answer = command.run("download", "SPY", *RANGE, "--json")

    report = json.loads(answer.out)
    assert answer.code == 0
    assert report["corporate_actions"] == [
        {"symbol": "SPY", "factor_file": "written", "map_file": "written", "notices": []}
    ]
    assert (report["api_calls"], report["corporate_api_calls"]) == (1, 4)
    assert "SPY: wrote its factor file and its map file" in answer.err


def test_a_backtest_has_them_before_its_engine_runs(command: CommandLine, served: Serve) -> None:
    """The data phase makes them."""
    served()

    answer = command.run("backtest", "--symbols", "SPY", *RANGE, "--engine", "smoke", "--json")

    result = json.loads(answer.out)
    assert answer.code == 0, answer.err
    assert result["download"]["corporate_actions"][0]["factor_file"] == "written"
    assert path(command, "factor", "spy").exists()


def test_a_download_that_lacks_them_warns_and_ends_well(command: CommandLine, served: Serve) -> None:
    """The plan has no dividends: exit code 0, and one warning."""
    data = reference()
    data.refused |= {DIVIDENDS: faults.not_entitled(), "/v3/reference/dividends": faults.not_entitled()}
    served(reference=data)

    answer = command.run("download", "SPY", *RANGE)

    assert answer.code == 0
    (line,) = [line for line in answer.err.splitlines() if "warning" in line]
    assert "SPY has no factor file, so LEAN does not adjust its prices" in line


def test_off_in_lean_json(command: CommandLine, served: Serve) -> None:
    """Bars alone."""
    server = served()
    (command.folder / "lean.json").write_text('{"backtest-server": {"corporate-actions": "off"}}')

    assert command.run("download", "SPY", *RANGE).code == 0
    assert len(server.requests) == 1


def test_two_processes_ask_once(command: CommandLine, served: Serve) -> None:
    """The second waits for the first, whose answers it then has: each list is asked for once, each file is whole."""
    gate = threading.Event()

    def hold(request: Request, n: int) -> None:
        assert gate.wait(30)

    server = served(on_request=hold)

    first = command.start("factor-files", "SPY")
    wait_until(lambda: server.requests)
    second = command.start("factor-files", "SPY")
    wait_until(lambda: (command.data / ".backtest-server" / "locks").exists())
    gate.set()
    answers = [answer_of(first), answer_of(second)]

    assert [answer.code for answer in answers] == [0, 0], [answer.err for answer in answers]
    assert [request.path for request in server.requests].count(SPLITS) == 1
    assert path(command, "map", "spy").read_text() == "20240304,spy,P\n20501231,spy,P\n"


def test_a_killed_process_leaves_nothing_that_the_next_one_minds(command: CommandLine, served: Serve) -> None:
    """Killed during the request for dividends: no file, and the next run makes both."""
    held = threading.Event()

    def hold(request: Request, n: int) -> None:
        if request.path == DIVIDENDS and not held.is_set():
            held.set()
            process.kill()

    server = served(on_request=hold)
    process = command.start("factor-files", "SPY")
    process.wait(30)
    process.communicate()
    assert held.is_set()
    assert not path(command, "factor", "spy").exists()
    server.reset()

    answer = command.run("factor-files", "SPY")

    assert answer.code == 0
    assert path(command, "factor", "spy").exists()
