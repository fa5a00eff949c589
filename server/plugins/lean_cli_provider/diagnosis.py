"""Maps the CLI's output to an error and advice. Pure.

The CLI exits with 1 for any failure, and with 0 for many failures in the container (unsupported requests, no bars,
failed writes). The exit code therefore does not show whether data was written; output is read only where files are
missing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

from attrs import frozen

from server.core.errors import BacktestServerError, ToolFailedError, ToolMissingError
from server.core.lean_cli import last_error, machine_problem
from server.core.subprocess_runner import CommandOutcome
from server.data_download.errors import AuthenticationError, NotPublishedError, PlanLimitError
from server.lean.series import Series
from server.plugins.lean_cli_provider.config import TIME_LIMIT_VARIABLE

TOOL = "the LEAN CLI"

INSTALL = "install it with `pip install lean` and log in with `lean login`, or set providers.lean-cli.executable"

_QUOTED_LINES = 3
_QUOTED_LENGTH = 400


@frozen
class _Rule:
    pattern: re.Pattern[str]
    error: type[BacktestServerError]
    advice: str


def _rule(pattern: str, error: type[BacktestServerError], advice: str) -> _Rule:
    return _Rule(re.compile(pattern, re.IGNORECASE), error, advice)


_RULES = (
    _rule(
        r"snap version of docker",
        ToolMissingError,
        "does not work with Docker from Snap; install Docker from https://docs.docker.com/engine/install/",
    ),
    _rule(
        r"^sudo: |permission denied.*docker|docker.*permission denied",
        ToolMissingError,
        "may not use Docker; add this user to the group `docker` (`sudo usermod -aG docker $USER`) and log in again",
    ),
    _rule(
        r"make sure docker is installed and running|cannot connect to the docker daemon"
        r"|error while fetching server api version|docker: command not found",
        ToolMissingError,
        "needs Docker, which is not installed or not running; install it from https://docs.docker.com/get-docker/ "
        "or start it (`docker info` must work)",
    ),
    _rule(
        r"`?lean login`?|invalid credentials|not logged in|invalid user id or token",
        ToolFailedError,
        "is not logged in to QuantConnect; run `lean login`",
    ),
    _rule(
        r"no such (?:option|command)|missing option|unexpected extra argument|invalid value for",
        ToolFailedError,
        "does not take our arguments; bring it up to date with `pip install --upgrade lean`",
    ),
    _rule(
        r"\bunknown api key\b",
        AuthenticationError,
        "was refused by Polygon: the key is not known there; correct POLYGON_API_KEY",
    ),
    _rule(
        r"\bnot_authorized\b|not entitled to this data",
        PlanLimitError,
        "was refused by Polygon: the key's plan does not include this data; ask for later days or upgrade the plan",
    ),
    _rule(
        r"old lean cli root folder"
        r"|(?=.*(?:error|exception|denied|invalid|\bnot?\b))(?=.*\b(?:organization|licen[cs]e|subscri(?:ption|bed))\b)",
        ToolFailedError,
        "was refused by QuantConnect: the organization that lean.json names needs a licence for the Polygon module; "
        "see https://www.quantconnect.com/organization or run `lean init` in the folder of your organization",
    ),
    _rule(
        r"^aborted!$",
        ToolFailedError,
        "asked a question on the terminal; run the command once by hand to see it",
    ),
)

_INFORMATIVE = re.compile(r"no data|error|exception|fail|corrupt|unsupported", re.IGNORECASE)


def missing_tool(executable: str) -> ToolMissingError:
    """The error for a CLI that is not installed."""
    return ToolMissingError(f"{TOOL} ({executable}) was not found on PATH; {INSTALL}")


def fatal_error(outcome: CommandOutcome, time_limit: float) -> BacktestServerError | None:
    """The error that ended a run and would end the next one; None if the next run may succeed.

    Args:
        outcome: Of a run that did not fetch all wanted days.
        time_limit: Its time limit, in seconds.
    """
    if outcome.timed_out:
        return ToolFailedError(
            f"{TOOL} was still running after {time_limit:g} s and was stopped; raise providers.lean-cli.time-limit "
            f"in lean.json or {TIME_LIMIT_VARIABLE}, or ask for fewer days at a time{_quoted(outcome.lines)}"
        )
    if outcome.exit_code == 0:
        return None
    if problem := machine_problem(outcome.lines):
        return ToolMissingError(problem)
    for rule in _RULES:
        matching = [line for line in outcome.lines if rule.pattern.search(line)]
        if matching:
            return rule.error(f"{TOOL} {rule.advice}{_quoted(matching)}")
    return None


def days_error(
    outcome: CommandOutcome, series: Series, days: Sequence[date], *, settled: bool = True
) -> ToolFailedError | NotPublishedError:
    """Why days of a series are missing after a run. The CLI does not show whether there were no trades.

    Args:
        outcome: How the run ended.
        series: The series.
        days: The days.
        settled: Whether all trades of the days are published; else a run without an error means that they are not.
    """
    if outcome.exit_code == 0 and not settled:
        return NotPublishedError(
            f"{series}: {TOOL} brought no bars of {_span(days)}, whose session is not over; try later",
            series=series,
            days=days,
        )
    about = re.compile(rf"(?<![\w.]){re.escape(series.ticker)}(?!\w|\.\w)", re.IGNORECASE)
    informative = [line for line in outcome.lines if _INFORMATIVE.search(line)]
    lines = [line for line in informative if about.search(line)] or informative or outcome.lines
    cause = last_error(outcome.lines)
    if outcome.exit_code != 0 and cause:
        lines = [*(line for line in lines if cause not in line), cause]
    if outcome.exit_code == 0:
        how = "ended without an error, which is no proof that nothing was traded, but brought no bars"
    elif outcome.exit_code < 0:
        how = f"was ended by signal {-outcome.exit_code} and brought no bars"
    else:
        how = f"ended with exit code {outcome.exit_code} and brought no bars"
    return ToolFailedError(
        f"{TOOL} {how} of {series.ticker} for {_span(days)}{_quoted(lines)}",
        series=series,
        days=days,
    )


def _span(days: Sequence[date]) -> str:
    if len(days) == 1:
        return str(days[0])
    return f"{len(days)} days between {days[0]} and {days[-1]}"


def _quoted(lines: Sequence[str]) -> str:
    """The last three lines, on one line, or as many of them as are short enough: the cause of a failure comes last."""
    text = ""
    for line in reversed(lines[-_QUOTED_LINES:]):
        one = " ".join(line.split())
        if text and len(one) + len(text) > _QUOTED_LENGTH:
            break
        text = f"{one} / {text}" if text else one if len(one) <= _QUOTED_LENGTH else one[: _QUOTED_LENGTH - 3] + "..."
    return f"; it said: {text}" if text else ""
