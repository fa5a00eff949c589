"""What the output of LEAN's CLI means, for the engine and for the provider."""

from __future__ import annotations

from datetime import datetime

import pytest

from server.core.lean_cli import FRESH_DATABASES, last_error, machine_problem
from tests.support.stand_in_lean import cli_habits

NOISE = "HTTPSConnectionPool(host='raw.githubusercontent.com', port=443): Max retries exceeded with url: /x"


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (["Error: first", "text", "Error: last", "Visit https://www.lean.io for more information"], "last"),
        (["Usage: lean backtest PROJECT", "Error: Invalid value for '--output'"], "Invalid value for '--output'"),
        (["20240110 12:00:00.000 ERROR:: of LEAN", "an Error: inside a line"], None),
        ([], None),
    ],
)
def test_the_cause_is_the_last_error_line(lines: list[str], error: str | None) -> None:
    """Whatever is printed before or after it."""
    assert last_error(lines) == error


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([f"Error: {cli_habits.no_image('my/lean:7')}"], "run: docker pull my/lean:7"),
        (["Traceback", cli_habits.NO_MODULES], "(HTTPSConnectionPool(host='cdn.quantconnect.com', port=443): Max"),
        (
            ["FileNotFoundError: Modules json not found in the given path /a/modules-1.14.json"],
            "fetch it; run any lean",
        ),
        ([f"Error: {cli_habits.NO_NETWORK}", cli_habits.OFFLINE], "could not reach www.quantconnect.com (HTTPS"),
    ],
)
def test_what_the_machine_lacks_is_named(lines: list[str], words: str) -> None:
    """With what to do next."""
    assert words in str(machine_problem(lines))


def test_a_request_that_the_cli_goes_on_without_is_no_cause() -> None:
    """Offline it cannot fetch announcements, and fails for another reason."""
    assert machine_problem([NOISE, "Error: Invalid credentials, please log in using `lean login`"]) is None


def test_the_databases_count_as_fresh_for_good() -> None:
    """Also with an update interval of a second, and years from now."""
    [last] = FRESH_DATABASES.values()

    assert cli_habits.fresh(last, datetime(2126, 1, 1))
    assert datetime.strptime(last, "%m/%d/%Y %H:%M:%S") > datetime(2126, 1, 1)
    assert not cli_habits.fresh("", datetime(2026, 1, 1))
