"""What the engines that run LEAN share: environment, process, live progress, and how a run ended."""

from __future__ import annotations

import importlib.util
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from server.core.cancel import CancelToken
from server.core.errors import (
    BacktestServerError,
    Cancelled,
    ConfigurationError,
    ToolFailedError,
    ToolMissingError,
    WriteFailedError,
)
from server.core.lean_cli import INTERRUPT_GRACE, last_error
from server.core.secret import Secret, mask_secrets, without_secrets
from server.core.subprocess_runner import CommandOutcome, CommandRequest, run_command
from server.engines.base import AlgorithmFailedError, EngineProgress, EngineRequest, LeanInterruptedError
from server.engines.lean_error import error_advice, unhandled_exception
from server.engines.lean_options import LeanOptions
from server.engines.progress import follow_run
from server.engines.results import LeanRun, RunState, read_run
from server.engines.run_folder import STORAGE, RunFolder

NOT_FOR_LEAN_VARIABLES = frozenset({"BACKTEST_SERVER_TOKEN", "POLYGON_API_KEY", "MASSIVE_API_KEY"})
"""Variables that LEAN's environment does not have: the server's token and vendors' keys."""

NATIVE_INTERRUPT_GRACE = 10.0
CONTAINER_INTERRUPT_GRACE = INTERRUPT_GRACE
TERMINATE_GRACE = 5.0
"""Seconds that LEAN has to end after SIGINT, natively and in a container, and after SIGTERM. Python algorithms need
about 5 after their results are written; before its first bar LEAN ignores SIGINT."""

_LINES_READ = 40
_HELP = re.compile(r"\s*(?:See|Run) 'docker")


class StartFailure(NamedTuple):
    """Why LEAN could not be started.

    Attributes:
        signs: Texts that the program prints; one of them is enough.
        kind: The error.
        advice: Its text.
    """

    signs: tuple[str, ...]
    kind: type[BacktestServerError]
    advice: str


DOCKER_FAILURES = (
    StartFailure(
        (
            "Docker is installed and running",
            "Cannot connect to the Docker daemon",
            "docker daemon running",
            "error during connect",
        ),
        ToolMissingError,
        "Docker is not running; start it (docker info must answer), or choose the engine smoke",
    ),
    StartFailure(
        ("permission denied while trying to connect to the Docker", "[sudo]", "sudo:"),
        ToolMissingError,
        "this user may not use Docker; add the user to the group docker, or choose the engine smoke",
    ),
)
"""What both ``docker`` and LEAN's CLI print where Docker cannot be used."""


def lean_environ(environ: Mapping[str, str], secrets: Sequence[Secret]) -> dict[str, str]:
    """Return the environment of the server without vendors' keys and the server's token."""
    kept = without_secrets(environ, secrets)
    return {name: value for name, value in kept.items() if name not in NOT_FOR_LEAN_VARIABLES}


def object_store(options: LeanOptions, run: RunFolder) -> Path:
    """Return the root of the object store, which exists afterwards.

    Args:
        options: Which one, and the workspace.
        run: The run's folder, which has one of its own.

    Raises:
        ConfigurationError: It is to be that of the workspace, and no lean.json was found.
        WriteFailedError: It cannot be made.
    """
    shared = options.workspace / STORAGE if options.workspace else None
    if options.object_store == "workspace":
        if shared is None:
            raise ConfigurationError("lean-object-store is workspace, and there is no lean.json; choose run or auto")
        try:
            shared.mkdir(exist_ok=True)
        except OSError as error:
            raise WriteFailedError(f"the object store {shared} cannot be made: {error.strerror or error}") from error
        return shared.resolve()
    if options.object_store == "auto" and shared is not None and shared.is_dir():
        return shared.resolve()
    return run.storage


def choose_stream_port(options: LeanOptions, *, default: bool) -> int | None:
    """Return a free port of this machine for LEAN's live stream; None where the stream is off.

    Args:
        options: Whether it is on.
        default: Whether the engine has it on where the options leave that to it and pyzmq is installed.

    Raises:
        ConfigurationError: It is on and pyzmq is not installed: LEAN would wait forever for a receiver.
    """
    installed = importlib.util.find_spec("zmq") is not None
    if options.live_stream and not installed:
        raise ConfigurationError(
            "lean-live-stream needs pyzmq, which is not installed; run: pip install 'backtest-server[stream]'"
        )
    if not (default and installed if options.live_stream is None else options.live_stream):
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def run_lean(
    command: CommandRequest,
    folder: Path,
    *,
    stream_port: int | None,
    request: EngineRequest,
    cancel: CancelToken,
    on_line: Callable[[str], None],
    on_progress: Callable[[EngineProgress], None],
) -> CommandOutcome:
    """Run LEAN's process to its end and report its progress meanwhile.

    Args:
        command: The process.
        folder: Where LEAN writes its results.
        stream_port: The port of its live stream; None without one.
        request: The backtest, whose range counts until LEAN has logged its own.
        cancel: Stops it.
        on_line: Receives what it prints.
        on_progress: Receives how far it has come.
    """
    # LEAN with a live stream waits for a receiver, which therefore connects before the process starts.
    with follow_run(
        folder,
        stream_port=stream_port,
        on_progress=on_progress,
        on_line=lambda line: on_line(mask_secrets(line, command.secrets)),
        start=request.start,
        end=request.end,
    ):
        return run_command(command, cancel=cancel, on_line=on_line)


def finished_run(
    outcome: CommandOutcome,
    folder: Path,
    now: datetime,
    *,
    time_limit: float,
    start_failure: Callable[[CommandOutcome], BacktestServerError],
) -> LeanRun:
    """Return a run that completed; success depends on its results and log, not on the exit code alone.

    Args:
        outcome: How LEAN's process ended.
        folder: Where it wrote its results.
        now: The current instant in UTC.
        time_limit: Seconds after which it was stopped.
        start_failure: Makes the error of a process that ended without starting LEAN.

    Raises:
        Cancelled: It was cancelled.
        ToolFailedError: It has no whole result of a backtest; the text says why.
        ToolMissingError: LEAN could not be started, because something is not installed or not running.
    """
    if outcome.cancelled:
        raise Cancelled("the LEAN backtest was cancelled")
    if outcome.timed_out:
        where = f"; what it wrote until then is in {folder}" if (folder / "log.txt").is_file() else ""
        raise ToolFailedError(f"the LEAN backtest was stopped: it had not ended after {time_limit:,.0f} s{where}")
    run = _read(folder, now, outcome)
    if run and run.state is RunState.COMPLETED:
        return run
    if run and run.state is RunState.FAILED:
        raise AlgorithmFailedError(_failure_text(run, folder), run)
    if run and run.id:
        raise LeanInterruptedError(
            f"LEAN was interrupted{_ending(outcome)} before the algorithm's last day, so this is no result of a "
            f"backtest; what it wrote until then is in {folder}"
        )
    if run and _ending(outcome):
        raise LeanInterruptedError(
            f"LEAN was interrupted{_ending(outcome)} and left no results; see {folder / 'log.txt'}"
        )
    if outcome.exit_code == 0:
        raise ToolFailedError(f"LEAN left no results in {folder}; see log.txt there for why")
    raise start_failure(outcome)


def start_error(
    outcome: CommandOutcome, known: Sequence[StartFailure], program: str, hint: str = ""
) -> BacktestServerError:
    """Return the error of a program that ended without starting LEAN.

    Args:
        outcome: How it ended, and what it printed.
        known: Failures that are recognized by what it prints.
        program: What the text calls it.
        hint: A likely cause, at the end of the text of any other failure.
    """
    printed = "\n".join(outcome.lines[-_LINES_READ:]).lower()
    for failure in known:
        if any(sign.lower() in printed for sign in failure.signs):
            return failure.kind(failure.advice)
    lines = [line.strip() for line in outcome.lines if not _HELP.match(line)]
    printed_last = last_error(outcome.lines) or (lines[-1] if lines else "it printed nothing")
    last = unhandled_exception("\n".join(outcome.lines)) or printed_last
    return ToolFailedError(f"{program} ended with exit code {outcome.exit_code}: {last}{hint}")


def no_market_hours(data_folder: Path) -> str:
    """Return the end of an error's text where the data folder lacks LEAN's market hours; else an empty text."""
    if (data_folder / "market-hours" / "market-hours-database.json").is_file():
        return ""
    return f"; {data_folder} has no market-hours database, which LEAN needs: run lean init to get one"


def _failure_text(run: LeanRun, folder: Path) -> str:
    advice = error_advice(run.error)
    reason = f"{run.error or 'LEAN names no reason'}{f'; {advice}' if advice else ''}"
    log = folder / "log.txt"
    if not log.is_file():
        return f"LEAN failed: {reason}"
    message = (run.error or "").partition(" (")[0]
    # An abort of .NET is printed, and not logged.
    logged = message in log.read_text("utf-8", "replace")
    return f"the algorithm failed: {reason}{f' (all of it in {log})' if logged else ''}"


def _ending(outcome: CommandOutcome) -> str:
    """The signal that ended the process; a shell and Docker report it as an exit code above 128."""
    number = -outcome.exit_code if outcome.exit_code < 0 else outcome.exit_code - 128
    if number not in range(1, 65):
        return ""
    return f" by signal {number}" + (" (perhaps for lack of memory)" if number == 9 else "")


def _read(folder: Path, now: datetime, outcome: CommandOutcome) -> LeanRun | None:
    try:
        return read_run(folder, now, ended=True, console=outcome.lines)
    except ConfigurationError:  # LEAN wrote nothing
        return None
