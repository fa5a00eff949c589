"""Signals, kills, and two processes in one data folder."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import threading
import time

import pytest

from server.lean.series import Resolution
from tests.support import faults
from tests.support.cli_market import DAYS, MARKET, MINUTES, Serve
from tests.support.command_line import (
    CommandLine,
    answer_of,
    wait_until,
)
from tests.support.faults import Fault
from tests.support.harness import csv_of, lean_files, leftovers
from tests.support.patience import PATIENCE
from tests.support.polygon_server import PolygonServer, Request


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
