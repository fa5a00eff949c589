"""Programs that the runner runs to their end, and programs that do not want to end."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from server.core import subprocess_runner
from server.core.cancel import CancelToken
from server.core.errors import ToolFailedError, ToolMissingError
from server.core.secret import MASK, Secret
from server.core.subprocess_runner import CommandRequest, run_command
from tests.support.patience import PATIENCE

KEY = "aZ9/long+key=of the vendor"


def request(*argv: str, time_limit: float = 60.0, secrets: tuple[Secret, ...] = ()) -> CommandRequest:
    """A request to run in the current folder."""
    return CommandRequest(argv=argv, cwd=Path.cwd(), env=dict(os.environ), time_limit=time_limit, secrets=secrets)


def python(code: str, **facts: float | tuple[Secret, ...]) -> CommandRequest:
    """A request to run this Python code."""
    return request(sys.executable, "-ISc", code, **facts)  # type: ignore[arg-type]


def cancel_on(token: CancelToken, word: str) -> Callable[[str], None]:
    """Cancels once a line holds this word."""
    return lambda line: token.cancel() if word in line else None


# --- running ---


def test_output_and_errors_come_line_by_line_in_order() -> None:
    """Both streams are one, empty lines are left out, and the last line needs no end."""
    lines: list[str] = []
    code = (
        "import sys; print('one', flush=True); print('two', file=sys.stderr, flush=True); print(); print('3', end='')"
    )

    outcome = run_command(python(code), cancel=CancelToken(), on_line=lines.append)

    assert lines == ["one", "two", "3"]
    assert outcome.lines == ("one", "two", "3")
    assert outcome.exit_code == 0
    assert outcome


def test_lines_come_while_the_program_runs() -> None:
    """A line can be acted on before the end: here it cancels a program that would take a minute."""
    token = CancelToken()

    outcome = run_command(
        python("import time; print('ready', flush=True); time.sleep(60)"),
        cancel=token,
        on_line=cancel_on(token, "ready"),
    )

    assert outcome.cancelled
    assert outcome.elapsed < PATIENCE


def test_secrets_are_masked_before_anyone_sees_a_line() -> None:
    """In any case, URL-encoded, and with colours inside the line."""
    lines: list[str] = []
    forms = [KEY, KEY.upper(), quote(KEY, safe=""), f"\x1b[31m{KEY[:5]}\x1b[0m{KEY[5:]}"]

    outcome = run_command(
        python(f"for form in {forms!r}: print('key:', form)", secrets=(Secret(KEY),)),
        cancel=CancelToken(),
        on_line=lines.append,
    )

    assert [f"key: {MASK}"] * 4 == lines
    assert tuple(lines) == outcome.lines


def test_bytes_that_are_no_utf8_do_not_stop_it() -> None:
    """They are replaced, and the rest of the line stays."""
    outcome = run_command(python(r"import os; os.write(1, b'caf\xe9 1\rcaf\xe9 2\n')"), cancel=CancelToken())

    assert outcome.lines == ("caf\ufffd 1", "caf\ufffd 2")


def test_the_exit_code_is_the_programs_own() -> None:
    """Also where it is not 0, and where a signal ended it."""
    assert run_command(python("raise SystemExit(7)"), cancel=CancelToken()).exit_code == 7
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run_command(python(code), cancel=CancelToken()).exit_code == -signal.SIGKILL


def test_standard_input_is_empty() -> None:
    """A program that asks gets no answer instead of waiting for one."""
    outcome = run_command(python("import sys; print(repr(sys.stdin.read()))"), cancel=CancelToken())

    assert outcome.lines == ("''",)


def test_a_missing_program_is_named() -> None:
    """The error says which."""
    with pytest.raises(ToolMissingError, match="no-such-program was not found"):
        run_command(request("/nowhere/no-such-program"), cancel=CancelToken())


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    """A file without the right to execute it is there, but does not run."""
    (tmp_path / "lean").write_text("nothing")

    with pytest.raises(ToolFailedError, match=r"lean could not be started: Permission denied"):
        run_command(request(str(tmp_path / "lean")), cancel=CancelToken())


def test_an_error_of_the_listener_stops_the_program() -> None:
    """It comes out of the call, and the program does not go on without a listener."""

    def refuse(line: str) -> None:
        raise ArithmeticError(line)

    began = time.monotonic()
    with pytest.raises(ArithmeticError, match="ready"):
        run_command(
            python("import time; print('ready', flush=True); time.sleep(60)"), cancel=CancelToken(), on_line=refuse
        )

    assert time.monotonic() - began < PATIENCE


# --- stopping ---


def test_the_first_stage_is_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that cleans up on Ctrl-C may do so, and its last lines are kept."""
    monkeypatch.setattr(subprocess_runner, "INTERRUPT_GRACE", PATIENCE)
    token = CancelToken()
    code = """
import time
try:
    print('ready', flush=True); time.sleep(60)
except KeyboardInterrupt:
    print('cleaned up', flush=True)
"""

    outcome = run_command(python(code), cancel=token, on_line=cancel_on(token, "ready"))

    assert outcome.cancelled
    assert outcome.lines == ("ready", "cleaned up")
    assert outcome.exit_code == 0


def test_the_second_stage_is_a_termination(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that ignores SIGINT is sent SIGTERM."""
    monkeypatch.setattr(subprocess_runner, "TERMINATE_GRACE", PATIENCE)
    token = CancelToken()
    code = "import signal, time; signal.signal(2, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"

    outcome = run_command(python(code), cancel=token, on_line=cancel_on(token, "ready"))

    assert outcome.exit_code == -signal.SIGTERM


def test_the_time_limit_ends_a_program_that_hangs() -> None:
    """It differs from a cancel, and what it said is kept."""
    outcome = run_command(
        python("import time; print('ready', flush=True); time.sleep(60)", time_limit=0.5), cancel=CancelToken()
    )

    assert outcome.timed_out
    assert not outcome.cancelled
    assert 0.5 <= outcome.elapsed < PATIENCE


def test_a_cancelled_run_starts_and_ends_at_once() -> None:
    """A token that was cancelled before counts, too."""
    token = CancelToken()
    token.cancel()

    outcome = run_command(python("import time; time.sleep(60)"), cancel=token)

    assert outcome.cancelled
    assert outcome.elapsed < PATIENCE


IGNORE = "import os, signal, subprocess, sys, time; [signal.signal(number, signal.SIG_IGN) for number in (2, 15)]; "
CHILD = "subprocess.Popen([sys.executable, '-ISc', 'import time; time.sleep(60)']{extra}); "


@pytest.fixture
def left_over() -> Iterator[list[int]]:
    """Process ids that the test must not leave behind."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def runs(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def dies(pid: int) -> bool:
    """Wait for the end of a process that was killed."""
    deadline = time.monotonic() + PATIENCE
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not runs(pid)


@pytest.mark.parametrize(
    ("start", "child_dies"),
    [("", None), (CHILD.format(extra=""), True), (CHILD.format(extra=", start_new_session=True"), False)],
    ids=["alone", "with a child that holds the pipe", "with a child that left the group"],
)
def test_a_cancel_ends_the_program(start: str, child_dies: bool | None, left_over: list[int]) -> None:
    """Also where signals are ignored, and where something else keeps the output open."""
    token = CancelToken()
    cancelled_at: list[float] = []

    def on_line(line: str) -> None:
        left_over.extend(int(pid) for pid in line.split()[1:])
        cancelled_at.append(time.monotonic())
        token.cancel()

    child = f"child = {start}" if start else ""
    code = IGNORE + child + f"print('ready', {'child.pid, ' if start else ''}flush=True); time.sleep(60)"
    outcome = run_command(python(code), cancel=token, on_line=on_line)

    assert time.monotonic() - cancelled_at[0] < PATIENCE
    assert outcome.cancelled
    assert outcome.exit_code == -signal.SIGKILL
    if child_dies is not None:
        assert dies(left_over[0]) if child_dies else runs(left_over[0])


def test_what_a_program_leaves_behind_does_not_hold_up_its_end(left_over: list[int]) -> None:
    """A child that keeps the output open after a good end is ended, and the end stays good."""
    code = IGNORE + f"child = {CHILD.format(extra='')}print('ready', child.pid, flush=True)"
    outcome = run_command(
        python(code), cancel=CancelToken(), on_line=lambda line: left_over.append(int(line.split()[1]))
    )

    assert outcome
    assert outcome.elapsed < PATIENCE
    assert dies(left_over[0])
