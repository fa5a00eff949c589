"""Output of commands in a pipe and on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

import pytest

from tests.support import faults
from tests.support.cli_market import MINUTES, Serve
from tests.support.command_line import (
    ROOT,
    CommandLine,
    answer_of,
    wait_until,
    without_escapes,
)
from tests.support.patience import PATIENCE


def test_piped_output_is_plain_lines(command: CommandLine, served: Serve) -> None:
    """No colours, no bar, no line that is written over; and stdout is the report alone."""
    served()

    answer = answer_of(command.start("download", "SPY", *MINUTES))

    assert answer.code == 0, answer.err
    assert not re.search(r"[\x1b\r\x08]", answer.out + answer.err)
    assert answer.out.splitlines()[:2] == [
        f"data folder: {command.data}",
        "SPY minute, 2024-03-04 to 2024-03-13, from polygon",
    ]
    assert re.fullmatch(r"\d\d:\d\d:\d\d minute: 8 days missing, 0 present \(polygon\)\n", answer.err)


def test_a_reader_of_the_output_may_end_early(command: CommandLine, served: Serve) -> None:
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
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", shown) if not line.startswith("data folder: ")]
    assert all(len(line) <= columns for line in lines), lines


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
