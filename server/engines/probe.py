"""What engines need of this machine: a program is run once for a short answer, and what is missing is described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from attrs import frozen

from server.core.cancel import CancelToken
from server.core.errors import ToolFailedError, ToolMissingError
from server.core.subprocess_runner import CommandRequest, run_command

_T = TypeVar("_T")

_PROBLEM_LENGTH = 200


@frozen
class MissingRequirement:
    """Something that an engine needs and this machine does not have.

    Attributes:
        what: What is missing.
        fix: The command that provides it, or what to do.
    """

    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what} ({self.fix})"


@frozen(kw_only=True)
class Requirement(Generic[_T]):
    """Something that an engine needs, as it was found.

    Attributes:
        value: What was found; None if it cannot be used.
        found: The same as a part of a line of text; empty if nothing was found.
        lacks: What is missing.
    """

    value: _T | None = None
    found: str = ""
    lacks: tuple[MissingRequirement, ...] = ()


@frozen
class ProgramAnswer:
    """What a program answered.

    Attributes:
        lines: The lines of its output and errors.
        problem: Why it gave no answer, in one line; None if it ended with exit code 0.
    """

    lines: tuple[str, ...]
    problem: str | None = None


def ask_program(
    program: Path,
    arguments: Sequence[str],
    *,
    environ: Mapping[str, str],
    seconds: float,
    cancel: CancelToken | None = None,
) -> ProgramAnswer:
    """Run a program for a short answer.

    Args:
        program: The path of the program.
        arguments: Its arguments.
        environ: Its environment.
        seconds: Seconds after which it is stopped.
        cancel: Stops it.

    Returns:
        Its answer; a program that cannot be started, fails or takes too long has a problem instead.
    """
    request = CommandRequest(argv=(str(program), *arguments), cwd=Path(), env=environ, time_limit=seconds)
    try:
        outcome = run_command(request, cancel=cancel or CancelToken())
    except (ToolMissingError, ToolFailedError) as error:
        reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else None
        return ProgramAnswer((), f"{program} cannot be run ({reason or error})")
    if outcome:
        return ProgramAnswer(outcome.lines)
    if outcome.cancelled:
        return ProgramAnswer(outcome.lines, "it was cancelled")
    if outcome.timed_out:
        return ProgramAnswer(outcome.lines, f"no answer within {seconds:g} s")
    last = " ".join(outcome.lines[-1].split())[:_PROBLEM_LENGTH] if outcome.lines else ""
    return ProgramAnswer(outcome.lines, last or f"{program.name} {arguments[0]} ended with code {outcome.exit_code}")
