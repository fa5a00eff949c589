"""Reports as text, and the causes of failures on stderr."""

from __future__ import annotations

from datetime import date

import pytest
from attrs import evolve

from server.data_download.report import Failure
from server.lean.series import Resolution, Series
from server.terminal.reports import print_failures, print_report
from tests.support.metrics import report

DAYS = (date(2024, 1, 2), date(2024, 1, 3))
REPORT = report(symbols=("A", "B", "C", "D", "E", "F", "G"), start=DAYS[0], end=DAYS[1], days_requested=14)


def failure(symbol: str, code: str = "x", days: tuple[date, ...] = DAYS) -> Failure:
    """A failure of days of a symbol's minute bars."""
    return Failure(series=Series(symbol, Resolution.MINUTE), days=days, error="no response", code=code)


def test_report(capsys: pytest.CaptureFixture[str]) -> None:
    """The report has a line for days, requests and bars; without requests, theirs is left out."""
    print_report(REPORT)
    print_report(
        evolve(REPORT, symbols=("A",), api_calls=2, retries=1, bytes_fetched=1_500, bars=1_170, fallback="lean-cli")
    )

    assert capsys.readouterr().out.splitlines() == [
        "A, B, C, D, E, F and 1 more minute, 2024-01-02 to 2024-01-03, from polygon",
        "  days      14: 0 present, 0 downloaded, 0 without bars, 0 failed",
        "  bars      0 written in 2.00 s",
        "A minute, 2024-01-02 to 2024-01-03, from polygon, then lean-cli",
        "  days      14: 0 present, 0 downloaded, 0 without bars, 0 failed",
        "  requests  2 (1 retries), 1.5 kB; 0 answered from the cache",
        "  bars      1,170 written in 2.00 s",
    ]


def test_failures_of_one_cause_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Symbols and days of one cause are in one line on stderr, and the exit code is 1."""
    failures = tuple(failure(symbol) for symbol in REPORT.symbols)

    assert print_failures(evolve(REPORT, days_failed=14, failures=failures)) == 1
    assert capsys.readouterr().err == (
        "error: no response [A, B, C, D, E and 2 more: 2024-01-02 to 2024-01-03, 2 days]\n"
    )


def test_cancelled_days(capsys: pytest.CaptureFixture[str]) -> None:
    """Days of a cancelled run have their own cause, by the code of the failure, and the exit code is 130."""
    cancelled = evolve(REPORT, days_failed=2, cancelled=True, failures=(failure("A", "cancelled", DAYS[:1]),))

    assert print_failures(cancelled) == 130
    assert capsys.readouterr().err == (
        "error: the run was stopped before this was fetched; run it again to go on [A: 2024-01-02]\n"
    )


def test_complete_report(capsys: pytest.CaptureFixture[str]) -> None:
    """A complete download prints nothing on stderr, and the exit code is 0."""
    assert print_failures(REPORT) == 0
    assert capsys.readouterr().err == ""
