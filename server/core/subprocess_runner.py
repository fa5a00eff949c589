"""Runs a program to its end, with a time limit and cancellation.

The program gets an argument list and no shell, no standard input, and its own process group, so that it can be stopped
together with its child processes.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from attrs import field, frozen, validators

from server.core.errors import ToolFailedError, ToolMissingError
from server.core.running_programs import running_program
from server.core.secret import Secret, mask_secrets

POLL_SECONDS = 0.05
"""Interval of the checks for cancellation and the time limit, in seconds."""

INTERRUPT_GRACE = 0.8
TERMINATE_GRACE = 0.3
KILL_GRACE = 0.3
"""Default seconds that a program has to end after SIGINT, SIGTERM and SIGKILL; their sum is below 2."""

DRAIN_SECONDS = 1.0
STOPPED_DRAIN_SECONDS = 0.1
"""Seconds to wait for the rest of the output after the program has ended, or was stopped."""

LINES_KEPT = 2_000
LINE_LENGTH = 1_000
"""The number of last lines of output that are kept, and the characters to which each is cut."""

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


class Cancellable(Protocol):
    """A condition for stopping: a `CancelToken`, or a combination of several."""

    @property
    def cancelled(self) -> bool:
        """Whether to stop."""


def _not_empty(instance: object, attribute: object, value: tuple[str, ...]) -> None:
    if not value or not value[0]:
        raise ValueError("a command needs at least the name of a program")


@frozen(kw_only=True)
class CommandRequest:
    """A program to run.

    Attributes:
        argv: The program and its arguments.
        cwd: The folder it runs in.
        env: Its complete environment.
        time_limit: Seconds after which it is stopped.
        secrets: Values that are masked in its output and in `display`.
        interrupt_grace: Seconds that it has to end after SIGINT when it is stopped.
        terminate_grace: Seconds that it has to end after SIGTERM, which follows.
        send_signal: Sends a signal (``INT``, ``TERM`` or ``KILL``) to a program that runs elsewhere, in a container;
            returns whether that worked. Where it did not, or without one, the program's process group gets the signal.

    Raises:
        ValueError: There is no program, or the time limit is not positive.
    """

    argv: tuple[str, ...] = field(validator=_not_empty)
    cwd: Path
    env: Mapping[str, str]
    time_limit: float = field(validator=validators.gt(0))
    secrets: tuple[Secret, ...] = ()
    interrupt_grace: float = field(factory=lambda: INTERRUPT_GRACE)
    terminate_grace: float = field(factory=lambda: TERMINATE_GRACE)
    send_signal: Callable[[str], bool] | None = None

    @property
    def display(self) -> str:
        """The command as text, secrets masked."""
        return display_command(self.argv, self.secrets)

    def __repr__(self) -> str:
        return f"CommandRequest({self.display!r}, cwd={str(self.cwd)!r}, time_limit={self.time_limit:g})"


@frozen(kw_only=True)
class CommandOutcome:
    """How a program ended; true if it ended by itself with exit code 0.

    Attributes:
        exit_code: Its exit code; negative for the number of the signal that ended it.
        lines: The last lines of its output and errors, secrets masked.
        elapsed: Duration in seconds.
        timed_out: It was stopped because it took longer than the time limit.
        cancelled: It was stopped because the run was cancelled.
    """

    exit_code: int
    lines: tuple[str, ...] = ()
    elapsed: float = 0.0
    timed_out: bool = False
    cancelled: bool = False

    def __bool__(self) -> bool:
        return self.exit_code == 0 and not self.timed_out and not self.cancelled


def display_command(argv: tuple[str, ...], secrets: tuple[Secret, ...] = ()) -> str:
    """Return a command as it is typed in a shell, secrets masked."""
    return shlex.join(mask_secrets(argument, secrets) for argument in argv)


def run_command(
    request: CommandRequest, *, cancel: Cancellable, on_line: Callable[[str], None] | None = None
) -> CommandOutcome:
    """Run a program to its end, to its time limit, or until cancelled.

    When this returns, the program and its process group have ended, and `on_line` is not called again. A cancel takes
    no longer than the request's graces, by default less than 2 seconds, even if the program ignores signals or a child
    process keeps its output open.

    Args:
        request: The program.
        cancel: Checked twenty times a second.
        on_line: Receives each line of output and errors, secrets masked, from another thread. An exception that it
            raises stops the program and is raised here.

    Returns:
        How the program ended, with the end of its output.

    Raises:
        ToolMissingError: The program does not exist.
        ToolFailedError: The program could not be started.
    """
    began = time.monotonic()
    process = _start(request)
    reader = _Reader(process, request.secrets, on_line)
    timed_out = cancelled = stopped = False
    with running_program(lambda: _kill(process, request)):
        try:
            while not _ended(process, POLL_SECONDS):
                cancelled = cancel.cancelled
                timed_out = not cancelled and time.monotonic() - began >= request.time_limit
                if cancelled or timed_out or reader.error:
                    break
            stopped = process.returncode is None
        except BaseException:
            stopped = True
            raise
        finally:
            if stopped:
                _stop(process, request)
            reader.finish(STOPPED_DRAIN_SECONDS if stopped else DRAIN_SECONDS)
    if reader.error:
        raise reader.error
    return CommandOutcome(
        exit_code=_exit_code(process),
        lines=tuple(reader.lines),
        elapsed=time.monotonic() - began,
        timed_out=timed_out,
        cancelled=cancelled,
    )


class _Reader:
    """Reads the output of a program in a thread, so that a program without output can be stopped."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        secrets: tuple[Secret, ...],
        on_line: Callable[[str], None] | None,
    ) -> None:
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.error: Exception | None = None
        self._process = process
        self._secrets = secrets
        self._on_line = on_line
        self._lock = threading.Lock()
        self._open = True
        # A daemon: a process that left the process group may keep the pipe open forever.
        self._thread = threading.Thread(target=self._read, args=(process.stdout,), name="command-output", daemon=True)
        self._thread.start()

    def finish(self, seconds: float) -> None:
        """Read the rest of the output for this many seconds, then kill the process group if it keeps the pipe open."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            _signal(self._process, _KILL)
            self._thread.join(STOPPED_DRAIN_SECONDS)
        with self._lock:
            self._open = False

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            for raw in stream:
                # Progress bars overwrite their line, so a carriage return ends a line, too.
                text = _ESCAPES.sub("", raw.decode("utf-8", "replace")).replace("\r", "\n")
                for line in mask_secrets(text, self._secrets).split("\n"):
                    if line.strip():
                        self._take(line.rstrip())

    def _take(self, line: str) -> None:
        with self._lock:
            if not self._open:
                return
            self.lines.append(line[:LINE_LENGTH])
            if self._on_line and not self.error:
                try:
                    self._on_line(line)
                except Exception as error:
                    self.error = error


def _start(request: CommandRequest) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            request.argv,
            cwd=request.cwd,
            env=dict(request.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=sys.platform != "win32",
            creationflags=_OWN_GROUP,
        )
    except FileNotFoundError as error:
        raise ToolMissingError(
            f"{request.argv[0]} was not found; install it, or correct its path in the settings"
        ) from error
    except OSError as error:
        raise ToolFailedError(f"{request.argv[0]} could not be started: {error.strerror or error}") from error


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def _stop(process: subprocess.Popen[bytes], request: CommandRequest) -> None:
    """Send SIGINT, SIGTERM and SIGKILL in turn until the program has ended, then SIGKILL to the rest of its group."""
    stages = (
        ("INT", _INTERRUPT, request.interrupt_grace),
        ("TERM", _TERMINATE, request.terminate_grace),
        ("KILL", _KILL, KILL_GRACE),
    )
    try:
        for name, number, grace in stages:
            if request.send_signal is None or not request.send_signal(name):
                _signal(process, number)
            if _ended(process, grace):
                break
    finally:  # also where a second Ctrl-C interrupts the wait
        _signal(process, _KILL)


def _kill(process: subprocess.Popen[bytes], request: CommandRequest) -> None:
    """End the program at once."""
    if request.send_signal is not None:
        request.send_signal("KILL")
    _signal(process, _KILL)


def _exit_code(process: subprocess.Popen[bytes]) -> int:
    # A program that SIGKILL does not end, for example one that became root, counts as killed.
    return -9 if process.returncode is None else process.returncode


if sys.platform == "win32":
    _OWN_GROUP = subprocess.CREATE_NEW_PROCESS_GROUP
    _INTERRUPT, _TERMINATE, _KILL = signal.CTRL_BREAK_EVENT, signal.SIGTERM, signal.SIGABRT

    def _signal(process: subprocess.Popen[bytes], number: int) -> None:
        """Send a signal to the program only, since Windows cannot kill process groups."""
        with suppress(OSError, ValueError):
            if number == _INTERRUPT:
                process.send_signal(number)
            else:
                process.kill()
else:
    _OWN_GROUP = 0  # flags exist on Windows only
    _INTERRUPT, _TERMINATE, _KILL = signal.SIGINT, signal.SIGTERM, signal.SIGKILL

    def _signal(process: subprocess.Popen[bytes], number: int) -> None:
        """Send a signal to the program's process group, whose id is the program's, since it began a new session."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
