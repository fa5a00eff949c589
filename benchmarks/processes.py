"""Starts the processes of a benchmark: this Python, this checkout, and none of the user's settings."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from benchmarks.folders import count_zips, set_aside
from benchmarks.messages import RunMeasurement, RunSpec
from server.core.errors import BacktestServerError
from server.core.secret import Secret, mask_secrets

_SETTINGS = ("BACKTEST_SERVER_", "POLYGON_", "MASSIVE_", "LEAN_", "USE_POLYGON_")
_ROOT = Path(__file__).parents[1]
_CONTENDER = "benchmarks.contender_process"
_POLL_SECONDS = 0.002
_KILL_TRIES = 5
_MAX_MESSAGE = 300


class RunFailedError(BacktestServerError):
    """A contender's run failed."""


def python(module: str) -> list[str]:
    """Return the command that runs a module of this package."""
    return [sys.executable, "-m", module]


def environment() -> dict[str, str]:
    """Return the environment without settings and keys; a run gets its own in a `RunSpec` over stdin."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    paths = [str(_ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(paths)}


def run_contender(spec: RunSpec) -> RunMeasurement:
    """Run a contender in its own process to its end.

    Raises:
        RunFailedError: It failed; the text is the last line of its stderr with the key masked.
    """
    done = subprocess.run(python(_CONTENDER), input=msgspec.json.encode(spec), capture_output=True, env=environment())
    if done.returncode:
        raise _failure(done.stderr, done.returncode, spec)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=RunMeasurement)


def kill_half_way(spec: RunSpec, files: int) -> int:
    """Run a contender and kill it (SIGKILL) once half of its files exist.

    Args:
        spec: The run to start.
        files: The number of files that a complete run writes.

    Returns:
        The number of files that existed after the kill.

    Raises:
        RunFailedError: It failed, or it ended before it could be killed in every attempt.
    """
    for _ in range(_KILL_TRIES):
        set_aside(spec.path)
        spec.path.mkdir()
        process = subprocess.Popen(
            python(_CONTENDER),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        with process:
            assert process.stdin is not None  # noqa: S101 - it is a pipe
            process.stdin.write(msgspec.json.encode(spec))
            process.stdin.close()
            try:
                while process.poll() is None and count_zips(spec.path) < files / 2:
                    time.sleep(_POLL_SECONDS)
            finally:
                process.kill()
            code = process.wait()
            assert process.stderr is not None  # noqa: S101 - it is a pipe
            if code > 0:
                raise _failure(process.stderr.read(), code, spec)
        if code < 0:
            return count_zips(spec.path)
    raise RunFailedError(f"the run ended before it could be killed half way, in each of {_KILL_TRIES} attempts")


def _failure(stderr: bytes, code: int, spec: RunSpec) -> RunFailedError:
    lines = stderr.decode(errors="replace").strip().splitlines() or [f"exit code {code}"]
    return RunFailedError(mask_secrets(lines[-1][:_MAX_MESSAGE], [Secret(spec.key)]))
