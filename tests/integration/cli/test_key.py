"""The API key appears in no output, file or process argument."""

from __future__ import annotations

import signal
from pathlib import Path
from urllib.parse import quote

from tests.support import faults
from tests.support.cli_market import MINUTES, Serve
from tests.support.command_line import (
    CommandLine,
    answer_of,
    wait_until,
)
from tests.support.faults import Fault
from tests.support.polygon_server import KEY


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
