"""Runs the command line for tests: in this process, where it is fast, or as a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Answer:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines on stderr that say what went wrong."""
        return [line for line in self.err.splitlines() if line.startswith("error:")]


class CommandLine:
    """Commands in a working folder, with an environment of the test's own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._capsys = capsys
        self._patch = patch
        patch.chdir(folder)

    def set(self, **variables: str) -> None:
        """Set environment variables."""
        for name, value in variables.items():
            self._patch.setenv(name, value)

    def run(self, *arguments: str, main: Callable[[Sequence[str]], None] | None = None) -> Answer:
        """Run a command in this process; another program than `backtest-server` has its own `main`."""
        if main is None:
            from server.cli import main as server_main

            main = server_main
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = self._capsys.readouterr()
        return Answer(int(ended.value.code or 0), printed.out, printed.err)

    def start(self, *arguments: str, module: str = "server") -> subprocess.Popen[str]:
        """Start a command as a process of its own, with its output piped."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def files(self) -> dict[str, bytes | None]:
        """Everything in the working folder, by its path; None for a folder."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes() if path.is_file() else None
            for path in sorted(self.folder.rglob("*"))
        }


def answer_of(process: subprocess.Popen[str], timeout: float = 30) -> Answer:
    """Wait for a process."""
    out, err = process.communicate(timeout=timeout)
    return Answer(process.returncode, out, err)


def wait_until(condition: Callable[[], object], within: float = PATIENCE) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def without_escapes(text: str) -> str:
    """What a terminal shows, without its colours and cursor movements."""
    return _ESCAPES.sub("", text)
