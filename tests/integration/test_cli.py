"""The command line as a user has it: what it prints, how it ends, what it leaves on disk."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs
import pytest

from server.data_download.ledger import Ledger
from server.lean.series import Resolution, Series
from server.plugins import manager
from server.plugins.hookspecs import ProviderSpec, setting
from server.plugins.manager import OfferedProvider
from tests.support import fake_lean_backtest, faults
from tests.support.command_line import (
    ROOT,
    Answer,
    CommandLine,
    answer_of,
    remember_the_calendar,
    wait_until,
    without_escapes,
)
from tests.support.faults import Fault
from tests.support.harness import csv_of, lean_files, leftovers, sessions
from tests.support.market import Market
from tests.support.patience import PATIENCE
from tests.support.polygon_server import KEY, PolygonServer, Request

Serve = Callable[..., PolygonServer]

DAYS = sessions(date(2024, 3, 4), 8)  # Monday the 4th to Wednesday the 13th
MARKET = Market.synthetic(["SPY", "AAPL"], DAYS, bars_per_day=60) | Market.synthetic(["SPY"], DAYS, "daily")
MINUTES = ("--resolution", "minute", "--start", str(DAYS[0]), "--end", str(DAYS[-1]))
DAILY = ("--resolution", "daily", "--start", str(DAYS[0]), "--end", str(DAYS[-1]))

CONTRACT = (
    *("provider", "resolution", "symbols", "start", "end", "days_requested", "days_present", "days_downloaded"),
    *("days_empty", "days_failed", "api_calls", "http_cache_hits", "retries", "bytes_fetched", "bars"),
    *("started_at", "finished_at", "duration_s", "failures"),
)
OURS = ("notices", "fallback", "cancelled", "corporate_actions", "corporate_api_calls")


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line in an empty working folder, with a key."""
    remember_the_calendar(monkeypatch)
    found = CommandLine(tmp_path, capsys, monkeypatch)
    found.set(POLYGON_API_KEY=KEY)
    return found


@pytest.fixture
def served(command: CommandLine, polygon_server: Serve) -> Callable[..., PolygonServer]:
    """``served(market, …)`` starts a server that the command line talks to."""

    def start(market: Market = MARKET, **options: Any) -> PolygonServer:
        server = polygon_server(market, **options)
        command.set(POLYGON_API_URL=server.url)
        return server

    return start


def minute_path(command: CommandLine, day: date, symbol: str = "spy") -> Path:
    """Where a day's minutes lie."""
    return command.data / "equity" / "usa" / "minute" / symbol / f"{day:%Y%m%d}_trade.zip"


# --- download ---


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
    assert line.endswith("[SPY: 2 days, 2024-03-04 to 2024-03-05]")


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
    """By the flag above the environment above lean.json, each relative to where it stands."""
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


# --- dry run ---


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
        assert "SPY minute: missing 8 days, 2024-03-04 to 2024-03-13" in answer.out
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


# --- piped, and on a terminal ---


def test_piped_output_is_plain_lines(command: CommandLine, served: Serve) -> None:
    """No colours, no bar, no line that is written over; and stdout is the report alone."""
    served()

    answer = answer_of(command.start("download", "SPY", *MINUTES))

    assert answer.code == 0, answer.err
    assert not re.search(r"[\x1b\r\x08]", answer.out + answer.err)
    assert answer.out.splitlines()[0] == "SPY minute, 2024-03-04 to 2024-03-13, from polygon"
    assert re.fullmatch(r"\d\d:\d\d:\d\d minute: 8 days missing, 0 present \(polygon\)\n", answer.err)


def test_whoever_reads_may_go_away(command: CommandLine, served: Serve) -> None:
    """`backtest-server coverage … | head -1` ends without a word on stderr about broken pipes."""
    served()
    process = command.start("coverage", "SPY", "--resolution", "minute", "--start", "1999-01-04", "--end", "2023-12-29")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None

    answer = answer_of(process)

    assert "Traceback" not in answer.err
    assert "BrokenPipe" not in answer.err
    assert "Exception ignored" not in answer.err


class Terminal:
    """A command on a pseudo-terminal of its own."""

    def __init__(self, command: CommandLine, *arguments: str, columns: int = 100) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
        environment.pop("COLUMNS", None)
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(command.folder)
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
                os.execve(sys.executable, [sys.executable, "-m", "server", *arguments], environment)
            finally:
                os._exit(99)
        self.shown = ""

    def read_until(self, words: str | None, within: float = 20) -> None:
        """Read what is shown until these words were, or (None) until the end."""
        deadline = time.monotonic() + within
        while words is None or words not in without_escapes(self.shown):
            assert time.monotonic() < deadline, f"not shown: {words}; but {self.shown}"
            if not select.select([self._file], [], [], 0.1)[0]:
                continue
            try:
                piece = os.read(self._file, 65_536)
            except OSError:
                piece = b""
            if not piece:
                assert words is None, f"it ended without showing {words}, but {self.shown}"
                return
            self.shown += piece.decode("utf-8", "replace")

    def press(self, key: bytes) -> None:
        """Type."""
        os.write(self._file, key)

    def end(self) -> int:
        """Read to the end; gives the exit code."""
        self.read_until(None)
        os.close(self._file)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_shows_a_bar(command: CommandLine, served: Serve, columns: int) -> None:
    """With days, bars, bytes, requests and time left, drawn while the download runs; the report comes below."""
    served(latency=0.5)

    terminal = Terminal(command, "download", "SPY", "AAPL", *MINUTES, columns=columns)
    terminal.read_until("0/16")
    shown = without_escapes(terminal.shown)
    assert "━" in shown
    assert "-:--:--" in shown
    assert terminal.end() == 0

    shown = without_escapes(terminal.shown)
    bar = max((line for line in re.split(r"[\r\n]+", shown) if "16/16" in line), key=len)
    for part in ("days ━", "16/16", "960 bars", " kB", "2 requests", "0:00:0"):
        assert part in bar
    assert len(bar.rstrip()) <= columns
    assert shown.rstrip().splitlines()[-1].strip().startswith("bars      960 written")
    assert all(len(line.rstrip()) <= columns for line in re.split(r"[\r\n]+", shown))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_ctrl_c_on_a_terminal(command: CommandLine, served: Serve) -> None:
    """The key itself, as a user presses it while the vendor hangs: the command does not wait for the answer."""
    server = served(faults=[faults.slow(60)])
    terminal = Terminal(command, "download", "SPY", *MINUTES)
    terminal.read_until("0/8")
    wait_until(lambda: server.requests)

    began = time.monotonic()
    terminal.press(b"\x03")
    code = terminal.end()

    assert time.monotonic() - began < PATIENCE
    assert code == 130
    assert "Traceback" not in terminal.shown
    assert "run it again to go on" in without_escapes(terminal.shown)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_terminal_shows_for_how_long_a_run_waits(command: CommandLine, served: Serve) -> None:
    """With a budget of one request a minute the second symbol waits, and the bar counts the seconds down."""
    served()
    command.set(BACKTEST_SERVER_REQUESTS_PER_MINUTE="1")

    terminal = Terminal(command, "download", "SPY", "AAPL", *MINUTES, columns=80)
    terminal.read_until("waiting")
    terminal.read_until(" s ")
    terminal.press(b"\x03")
    assert terminal.end() == 130

    shown = without_escapes(terminal.shown)
    seconds = [int(found) for found in re.findall(r"waiting (\d+) s", shown)]
    assert seconds
    assert 30 <= max(seconds) <= 61
    assert shown.count("error:") == 1  # one cause, however many symbols were left


# --- stopping ---


def second_symbol_hangs(served: Serve) -> PolygonServer:
    """A vendor that answers about SPY and then says nothing about AAPL, the first time."""
    first = itertools.count()

    def answer(request: Request, n: int) -> Fault | None:
        return faults.slow(60) if "/AAPL/" in request.path and next(first) == 0 else None

    server: PolygonServer = served(on_request=answer)
    return server


def started_and_half_done(command: CommandLine, server: PolygonServer, *more: str) -> subprocess.Popen[str]:
    """A download of SPY and AAPL of which SPY is on disk and AAPL hangs."""
    process = command.start("download", "SPY", "AAPL", *MINUTES, *more)
    wait_until(lambda: len(csv_of(command.data)) == len(DAYS) and any("/AAPL/" in r.path for r in server.requests))
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("json_", [(), ("--json",)])
def test_a_signal_stops_cleanly_and_keeps_what_is_done(
    command: CommandLine, served: Serve, number: signal.Signals, json_: tuple[str, ...]
) -> None:
    """Exit 130, no traceback; the next run fetches only the rest."""
    server = second_symbol_hangs(served)
    process = started_and_half_done(command, server, *json_)

    began = time.monotonic()
    process.send_signal(number)
    answer = answer_of(process)
    took = time.monotonic() - began

    assert answer.code == 130
    assert took < PATIENCE
    assert "Traceback" not in answer.err
    (line,) = answer.errors
    assert "run it again to go on" in line
    assert "AAPL" in line
    if json_:
        report = json.loads(answer.out)
        assert (report["cancelled"], report["days_downloaded"], report["days_failed"]) == (True, 8, 8)
    assert csv_of(command.data) == lean_files(MARKET, "SPY", DAYS, Resolution.MINUTE)
    assert leftovers(command.data) == []

    server.reset()
    assert command.run("download", "SPY", "AAPL", *MINUTES).code == 0
    assert {request.window[0] for request in server.requests if request.window} == {"AAPL"}


def test_a_signal_ends_a_long_wait(command: CommandLine, served: Serve) -> None:
    """Also while the vendor has asked to be left alone for a minute."""
    server = served(faults=[faults.too_many_requests(retry_after=60)])
    process = command.start("download", "SPY", *MINUTES)
    wait_until(lambda: any(request.status == 429 for request in server.requests))
    time.sleep(0.2)

    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    answer = answer_of(process)

    assert time.monotonic() - began < PATIENCE
    assert answer.code == 130
    assert "Traceback" not in answer.err


def test_a_signal_before_there_is_anything_to_stop(command: CommandLine, served: Serve) -> None:
    """While it is still starting up, a download ends as quietly."""
    served(latency=5)
    for delay in (0.25, 0.4, 0.6):
        process = command.start("download", "SPY", *MINUTES)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        answer = answer_of(process)
        # Before our first line of code is reached, Python itself answers.
        assert answer.code in (130, -signal.SIGINT), answer.err


def test_a_run_that_is_killed_leaves_nothing_half(command: CommandLine, served: Serve) -> None:
    """kill -9: whole files or none, and the next run goes on where it was."""
    server = second_symbol_hangs(served)
    process = started_and_half_done(command, server)

    process.kill()
    assert answer_of(process).code == -signal.SIGKILL

    assert csv_of(command.data) == lean_files(MARKET, "SPY", DAYS, Resolution.MINUTE)
    server.reset()
    answer = command.run("download", "SPY", "AAPL", *MINUTES, "--json")
    report = json.loads(answer.out)
    assert answer.code == 0
    assert (report["days_present"], report["days_downloaded"]) == (8, 8)
    assert csv_of(command.data) == lean_files(MARKET, "SPY", DAYS, Resolution.MINUTE) | lean_files(
        MARKET, "AAPL", DAYS, Resolution.MINUTE
    )
    assert leftovers(command.data) == []


def test_two_processes_that_want_the_same_days_fetch_them_once(command: CommandLine, served: Serve) -> None:
    """The second waits, says so, and then finds them."""
    gate = threading.Event()

    def wait(request: Request, n: int) -> None:
        gate.wait(20)

    server = served(on_request=wait)
    first = command.start("download", "SPY", *MINUTES)
    wait_until(lambda: server.requests)
    second = command.start("download", "SPY", *MINUTES, "--json")
    assert second.stderr is not None
    while "another run is fetching SPY; waiting for it" not in (line := second.stderr.readline()):
        assert line, "the second did not say that it waits"
    gate.set()

    assert answer_of(first).code == 0
    answer = answer_of(second)
    assert answer.code == 0
    assert json.loads(answer.out)["api_calls"] == 0
    assert len(server.requests) == 1


# --- the key ---


def test_the_key_appears_nowhere(command: CommandLine, served: Serve) -> None:
    """Not on stdout or stderr, even with --debug and where the vendor says it back, nor in any file."""
    key = "sEcReT+key/with=odd&signs%41"
    echo = {"status": "ERROR", "error": f"Unknown API Key {key} / {quote(key, safe='')} / {key.upper()}"}
    server = served(key=key, faults=[Fault(500, error=echo), Fault(401, error=echo)])
    command.set(POLYGON_API_KEY=key)
    printed = []
    for arguments in (
        ("download", "SPY", *MINUTES, "--debug"),
        ("download", "SPY", *MINUTES, "--json"),
        ("providers",),
        ("providers", "--json"),
        ("backtest", "--symbols", "SPY", *MINUTES, "--engine", "smoke", "--json"),
        ("download", "SPY", *MINUTES, "--dry-run", "--debug"),
    ):
        answer = command.run(*arguments)
        printed.append(answer.out + answer.err)
    assert [request.status for request in server.requests] == [500, 401, 200]

    stored = [content for content in command.files().values() if content is not None]
    assert len(stored) > 10
    for form in {key, quote(key, safe=""), key.upper(), key[:12]}:
        for text in printed:
            assert form.lower() not in text.lower()
        for content in stored:
            assert form.lower().encode() not in content.lower()
    assert not any(key[:6] in request.target for request in server.requests)


def test_the_key_is_in_no_process_argument(command: CommandLine, served: Serve) -> None:
    """While a download runs."""
    server = served(faults=[faults.slow(60)])
    process = command.start("download", "SPY", *MINUTES)
    wait_until(lambda: server.requests)
    arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    process.send_signal(signal.SIGINT)
    answer_of(process)

    assert b"download" in arguments
    assert KEY.encode() not in arguments


# --- coverage ---


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


# --- verify ---


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
    assert "8 minute files opened, 1 damaged" in looked.out
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
    """All days that it once held come back; the damaged one is kept beside it."""
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


# --- providers ---


@pytest.mark.parametrize(
    ("variables", "flags", "chosen", "why"),
    [
        ({}, (), "polygon", "it is the default"),
        (
            {"BACKTEST_SERVER_DATA_PROVIDER": "lean-cli"},
            (),
            "lean-cli",
            "data-provider is lean-cli (environment variable BACKTEST_SERVER_DATA_PROVIDER)",
        ),
        (
            {"BACKTEST_SERVER_DATA_PROVIDER": "lean-cli"},
            ("--provider", "polygon"),
            "polygon",
            "data-provider is polygon (flag --provider)",
        ),
        (
            {"USE_POLYGON_NATIVE_DOWNLOADER": "false"},
            (),
            "lean-cli",
            "lean-cli replaces polygon: use-polygon-native-downloader is false "
            "(environment variable USE_POLYGON_NATIVE_DOWNLOADER)",
        ),
    ],
)
def test_providers_says_which_is_chosen_and_why(
    command: CommandLine, variables: dict[str, str], flags: tuple[str, ...], chosen: str, why: str
) -> None:
    """A star before it, the reason below, in words and in JSON."""
    command.set(**variables)

    words, found = command.run("providers", *flags), json.loads(command.run("providers", *flags, "--json").out)

    assert words.code == 0
    assert next(line for line in words.out.splitlines() if line.startswith("* ")).split()[1] == chosen
    assert words.out.splitlines()[-1] == f"chosen: {chosen}, since {why}; no fallback"
    assert (found["chosen"], found["why"], found["fallback"]) == (chosen, why, None)
    assert [provider["name"] for provider in found["providers"]] == ["lean-cli", "polygon"]
    settings = {row["setting"]: row for row in found["providers"][1]["settings"]}
    assert settings["api-key"] == {
        "setting": "api-key",
        "value": "set",
        "source": "environment variable POLYGON_API_KEY",
    }
    assert settings["max-concurrent-requests"]["value"] == "5"
    assert command.files() == {}


def test_a_provider_that_lacks_a_setting_is_no_trouble_to_the_others(
    command: CommandLine, served: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is listed with what it lacks, and chosen it is an error that says what to set."""

    @attrs.frozen
    class Config:
        account: str = setting(env=("ACME_ACCOUNT",))

    spec = ProviderSpec(
        name="acme", summary="needs an account", config_class=Config, create=lambda config, context: None
    )
    found = manager.build_plugin_manager()
    offered = OfferedProvider(spec=spec, plugin="acme", distribution="acme-plugin")
    plugins = attrs.evolve(found, providers={**found.providers, "acme": offered})
    monkeypatch.setattr(manager, "build_plugin_manager", lambda: plugins)
    served()

    assert command.run("download", "SPY", *MINUTES).code == 0
    listed = command.run("providers")
    assert listed.code == 0
    assert "cannot be used: acme's account is not set; set ACME_ACCOUNT" in listed.out
    answer = command.run("download", "SPY", *MINUTES, "--provider", "acme")
    assert answer.code == 2
    assert answer.errors[0].startswith("error: acme's account is not set; set ACME_ACCOUNT")


# --- backtest ---


def test_backtest_fetches_and_runs_and_says_so(command: CommandLine, served: Serve) -> None:
    """Download, engine and why, figures and a curve; with --json one object."""
    served()

    answer = command.run("backtest", "--symbols", "SPY,aapl", *MINUTES)
    again = command.run("backtest", "--symbols", "SPY,aapl", *MINUTES, "--engine", "smoke", "--json")

    assert answer.code == again.code == 0
    for part in ("16 downloaded", "engine: the smoke test, since LEAN cannot run here", "Total Return", "└─", "note: "):
        assert part in answer.out
    result = json.loads(again.out)
    assert result["state"] == "completed"
    assert [phase["name"] for phase in result["phases"]] == ["data_download", "engine"]
    assert tuple(result["download"]) == CONTRACT + OURS
    assert (result["download"]["days_present"], result["download"]["api_calls"]) == (16, 0)
    assert (result["engine"]["engine"], result["engine"]["bars"]) == ("smoke", 16 * 60)
    assert result["engine_choice"] == "the smoke test, as asked for"


def test_backtest_runs_the_example_project(command: CommandLine, served: Serve) -> None:
    """`backtest-server backtest examples/ZacQC` needs nothing else."""
    days = sessions(date(2023, 1, 3), 6)
    served(Market.synthetic(["AAPL"], days, "daily"))

    answer = command.run("backtest", str(ROOT / "examples" / "ZacQC"), "--engine", "smoke")

    assert answer.code == 0, answer.err
    assert "AAPL daily, 2023-01-03 to 2023-01-10, from polygon" in answer.out


def test_backtest_without_its_data_is_not_run(command: CommandLine, served: Serve) -> None:
    """Exit 1 with the cause, and no figures that mean nothing."""
    served(plan_start=DAYS[4])

    answer = command.run("backtest", "--symbols", "SPY", *MINUTES)

    assert answer.code == 1
    assert faults.PLAN_TIMEFRAME in answer.errors[0]
    assert "Total Return" not in answer.out


def test_backtest_stops_on_ctrl_c(command: CommandLine, served: Serve) -> None:
    """While its data is fetched: exit 130."""
    server = served(faults=[faults.slow(60)])
    process = command.start("backtest", "--symbols", "SPY", *MINUTES)
    wait_until(lambda: server.requests)

    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    answer = answer_of(process)

    assert time.monotonic() - began < PATIENCE
    assert answer.code == 130
    assert "Traceback" not in answer.err


@pytest.fixture
def lean_project(command: CommandLine) -> str:
    """A LEAN project for the days of the market below a lean.json, and on the PATH a LEAN and a Docker."""
    programs = command.folder / "bin"
    programs.mkdir()
    for name, text in (
        ("lean", f'exec {sys.executable} {fake_lean_backtest.__file__} "$@"'),
        ("docker", "echo 27.0.1"),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    command.set(PATH=f"{programs}:/usr/bin:/bin", FAKE_LEAN_SEEN=str(command.folder / "seen.json"), FAKE_LEAN="ok")
    (command.folder / "lean.json").write_text('{"data-folder": "data", "organization-id": "0123456789"}')
    config = command.folder / "Strategy" / "config"
    config.mkdir(parents=True)
    (config / "parameters.py").write_text(f"symbols = ['SPY']\nstart = '{DAYS[0]}'\nend = '{DAYS[-1]}'\n")
    (config.parent / "main.py").write_text("from AlgorithmImports import *\n")
    return "Strategy"


def test_backtest_runs_lean_where_it_can(command: CommandLine, served: Serve, lean_project: str) -> None:
    """`auto` takes LEAN, says why, and shows LEAN's own statistics, its equity and where its results are."""
    served()

    answer = command.run("backtest", lean_project)
    again = json.loads(command.run("backtest", lean_project, "--json").out)

    assert answer.code == 0, answer.err
    assert "engine: LEAN: its CLI, a running Docker and lean.json are there" in answer.out
    for part in ("8 downloaded", "Sharpe Ratio", "1.25", "equity in dollars (lean)", "results: "):
        assert part in answer.out
    assert (again["engine"]["engine"], again["engine"]["statistics"]["Sharpe Ratio"]) == ("lean", "1.25")
    assert again["download"]["api_calls"] == 0


def test_backtest_says_what_went_wrong_in_lean(command: CommandLine, served: Serve, lean_project: str) -> None:
    """One line, exit 1."""
    served()
    command.set(FAKE_LEAN="runtime-error")

    answer = command.run("backtest", lean_project)

    assert answer.code == 1
    (line,) = answer.errors
    assert "'NoneType' object" in line


def test_ctrl_c_while_lean_runs(command: CommandLine, served: Serve, lean_project: str) -> None:
    """LEAN is stopped with it, and the data is kept."""
    served()
    command.set(FAKE_LEAN="hang")
    process = command.start("backtest", lean_project)
    wait_until((command.folder / "seen.json").exists)

    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    answer = answer_of(process)

    assert time.monotonic() - began < PATIENCE
    assert answer.code == 130
    assert len(answer.errors) == 1
    assert "\nTraceback" not in answer.err  # LEAN's own lines are shown with the time before them
    assert csv_of(command.data) == lean_files(MARKET, "SPY", DAYS, Resolution.MINUTE)
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [line for line in commands if str(command.folder).encode() in line]


# --- demo ---


def check_demo(answer: Answer) -> None:
    """The demo as it should be: six days fetched with one request, and none the second time."""
    assert answer.code == 0, answer.err
    assert "1. What is on disk before" in answer.out
    assert "AAPL daily   □ 6 missing" in answer.out
    assert "AAPL daily   ■ 6 present" in answer.out
    assert "5. The same backtest again: nothing is missing, nothing is fetched" in answer.out
    assert "Done. 1 request in all" in answer.out


def test_the_demo_shows_the_whole_way(command: CommandLine) -> None:
    """Exit 0 with no key and no network, and nothing left in the working folder."""
    command.set(POLYGON_API_KEY="")

    answer = command.run("demo")

    check_demo(answer)
    assert command.files() == {}
    # The close of 10 January 2023 was 130.73 after an open of 130.28 on the 3rd.
    assert f"{130.73 / 130.28 - 1:+.2%}" in answer.out


def test_the_demo_does_not_mind_what_the_user_has_set(command: CommandLine) -> None:
    """Neither variables nor a broken lean.json, nor proxies that lead nowhere."""
    command.set(
        POLYGON_API_KEY="the-users-own",
        POLYGON_API_URL="http://127.0.0.1:9",
        BACKTEST_SERVER_ENGINE="nonsense",
        BACKTEST_SERVER_NO_SUCH="setting",
        BACKTEST_SERVER_DATA_PROVIDER="lean-cli",
        BACKTEST_SERVER_REQUESTS_PER_MINUTE="none at all",
        USE_POLYGON_NATIVE_DOWNLOADER="false",
        LEAN_DATA_FOLDER="/dev/null/nowhere",
        HTTP_PROXY="http://127.0.0.1:9",
        http_proxy="http://127.0.0.1:9",
        ALL_PROXY="http://127.0.0.1:9",
    )
    (command.folder / "lean.json").write_text("{oops")

    check_demo(command.run("demo"))
    kept = command.run("demo", "--data-folder", "kept")

    check_demo(kept)
    assert (command.folder / "kept" / "equity" / "usa" / "daily" / "aapl.zip").is_file()
    assert not (command.folder / "kept" / "kept").exists()


def test_the_demo_that_fails_says_so(command: CommandLine) -> None:
    """One line on stderr, exit 1."""
    (command.folder / "file").write_text("")

    answer = command.run("demo", "--data-folder", "file/data")

    assert answer.code == 1
    (line,) = answer.errors
    assert line.startswith("error: the demo failed: ")


# --- all of it ---


def test_help_and_version(command: CommandLine) -> None:
    """Every command is listed and explains itself; no command at all is bad use."""
    answer = command.run("--help")

    assert answer.code == 0
    for name in ("download", "backtest", "coverage", "verify", "providers", "demo"):
        assert re.search(rf"^  {name} ", answer.out, re.MULTILINE)
        assert command.run(name, "--help").code == 0
    assert re.fullmatch(r"backtest-server, version \d+\.\d+\.\d+\n", command.run("--version").out)
    nothing = command.run()
    assert (nothing.code, nothing.out) == (2, "")
    assert "Usage: backtest-server" in nothing.err


def test_an_encoding_that_lacks_our_signs_is_no_trouble(command: CommandLine) -> None:
    """A terminal or pipe in plain ASCII shows question marks in place of pictures."""
    command.set(PYTHONIOENCODING="ascii")

    answer = answer_of(command.start("coverage", "SPY", *MINUTES))

    assert answer.code == 1
    assert answer.out.startswith("SPY minute   ? 8 missing")
    assert answer.errors == ["error: SPY minute: 8 of 8 trading days are not there"]


def test_a_plugin_that_was_left_out_is_named(
    command: CommandLine, served: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line of warning; the command does its work."""
    served()
    found = manager.build_plugin_manager()
    problem = manager.PluginProblem(plugin="acme", reason="it cannot be loaded: ImportError: no\nsuch thing")
    monkeypatch.setattr(manager, "build_plugin_manager", lambda: attrs.evolve(found, problems=(problem,)))

    answer = command.run("download", "SPY", *MINUTES)

    assert answer.code == 0
    assert "warning: the plugin acme was left out: it cannot be loaded: ImportError: no such thing\n" in answer.err


def test_a_fault_of_our_own_is_one_line_too(
    command: CommandLine, served: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never a traceback, unless --debug asks for it; the key is masked even there."""
    served()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"a bug with {KEY}\nin two lines")

    monkeypatch.setattr("server.data_download.downloader.DataDownloader.download", broken)

    short, long = command.run("download", "SPY", *MINUTES), command.run("download", "SPY", *MINUTES, "--debug")

    assert (short.code, long.code) == (1, 1)
    assert short.errors == long.errors
    assert short.errors[0].startswith("error: unexpected: RuntimeError: a bug with **********")
    assert "Traceback" not in short.err
    assert "Traceback" in long.err
    assert KEY not in short.err + long.err
