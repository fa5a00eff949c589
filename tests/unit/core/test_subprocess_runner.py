"""The request and outcome objects of the runner."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from server.core.secret import MASK, Secret
from server.core.subprocess_runner import CommandOutcome, CommandRequest

KEY = "aZ9/long+key=of the vendor"


def request(*argv: str, time_limit: float = 20.0) -> CommandRequest:
    """A request to run in the current folder."""
    return CommandRequest(argv=argv, cwd=Path.cwd(), env={}, time_limit=time_limit)


@pytest.mark.parametrize("argv", [(), ("",)])
def test_a_request_without_a_program_is_refused(argv: tuple[str, ...]) -> None:
    """There is nothing to run, so there is no request."""
    with pytest.raises(ValueError, match="name of a program"):
        request(*argv)


def test_a_request_without_time_is_refused() -> None:
    """A time limit is a number of seconds above zero."""
    with pytest.raises(ValueError, match="time_limit"):
        request("lean", time_limit=0)


def test_neither_repr_nor_display_show_a_secret() -> None:
    """Arguments are shown with the secret masked, in its plain and its URL-encoded form; the environment is not."""
    made = CommandRequest(
        argv=("lean", "--key", KEY, f"--url=https://x/?k={quote(KEY, safe='')}"),
        cwd=Path("/"),
        env={"POLYGON_API_KEY": KEY},
        time_limit=1,
        secrets=(Secret(KEY),),
    )

    for text in (repr(made), str(made), made.display):
        assert KEY not in text
        assert quote(KEY, safe="") not in text
        assert MASK in text
    assert "POLYGON_API_KEY" not in repr(made)


def test_display_is_what_one_would_type() -> None:
    """Arguments that a shell would cut are quoted."""
    assert request("lean", "data", "a b").display == "lean data 'a b'"


@pytest.mark.parametrize(
    ("outcome", "good"),
    [
        (CommandOutcome(exit_code=0), True),
        (CommandOutcome(exit_code=1), False),
        (CommandOutcome(exit_code=0, timed_out=True), False),
        (CommandOutcome(exit_code=0, cancelled=True), False),
    ],
)
def test_an_outcome_is_true_only_for_an_undisturbed_zero(outcome: CommandOutcome, good: bool) -> None:
    """A program that was stopped did not succeed, whatever its exit code."""
    assert good is bool(outcome)
