"""The programs that this process runs."""

from __future__ import annotations

from server.core.running_programs import kill_programs, running_program, wait_for_programs


def test_programs_that_run_are_killed() -> None:
    """Each of them, also where one has ended meanwhile; those that ended are not known any more."""
    killed: list[str] = []

    def fail() -> None:
        raise ProcessLookupError

    with running_program(fail), running_program(lambda: killed.append("LEAN")):
        kill_programs()
    kill_programs()

    assert killed == ["LEAN"]


def test_without_programs_there_is_no_wait() -> None:
    """Nothing was waited for."""
    assert not wait_for_programs()
