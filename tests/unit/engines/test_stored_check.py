"""The data check of a backtest in its results folder."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from server.core.errors import WriteFailedError
from server.engines.missing_data import ENDS_EARLY, DataSeries, MissingFile
from server.engines.results import read_run
from server.engines.stored_check import CHECK_FILE, StoredCheck, read_check, write_check
from tests.support.lean_runs import ENGINE_START, log_text, result_of, write_run

NOW = datetime(2026, 11, 28, tzinfo=UTC)
EARLY = MissingFile(
    path="equity/usa/daily/ibm.zip",
    series=DataSeries(ticker="IBM", resolution="daily", data_type="trade"),
    days=(date(2013, 10, 10), date(2013, 10, 11)),
    kind="trade",
    reason=ENDS_EARLY,
)


def completed(folder: Path) -> Path:
    """A run that got all its files."""
    return write_run(folder, result=result_of(), log=log_text(ENGINE_START), failed=[], succeeded=[])


def test_a_check_is_read_as_it_was_written(tmp_path: Path) -> None:
    """With the files that end early, and nothing else in the folder."""
    check = StoredCheck(untrusted=("rows were lost",), missing=(EARLY,), notices=("rates end early",))

    write_check(tmp_path, check)

    assert read_check(tmp_path) == check
    assert [path.name for path in tmp_path.iterdir()] == [CHECK_FILE]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"missing": 1}', b'{"untrusted": [1]}'])
def test_a_damaged_check_is_none(tmp_path: Path, content: bytes) -> None:
    """The folder is then judged by what LEAN wrote."""
    (tmp_path / CHECK_FILE).write_bytes(content)

    assert read_check(tmp_path) is None


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(WriteFailedError, match=r"data-check\.json cannot be written"):
        write_check(tmp_path / "gone", StoredCheck())


@pytest.mark.parametrize(
    ("check", "word", "rest"),
    [
        (None, "complete", "the data itself was not checked"),
        (StoredCheck(), "complete", "LEAN got every file that it requested and that counts"),
        (StoredCheck(missing=(EARLY,)), "gaps", "1 file missing (equity/usa/daily/ibm.zip)"),
        (StoredCheck(untrusted=("a row was lost",), missing=(EARLY,)), "untrusted", "a row was lost; 1 file missing"),
    ],
)
def test_the_verdict_of_a_folder_with_a_check(tmp_path: Path, check: StoredCheck | None, word: str, rest: str) -> None:
    """It has the check's reasons; without one it says that the data was not checked."""
    folder = completed(tmp_path / "run")
    if check is not None:
        write_check(folder, check)

    run = read_run(folder, NOW)

    assert run.verdict is not None
    assert run.verdict.startswith(f"{word}: ")
    assert rest in run.verdict
    assert ("not checked" in run.verdict) is (check is None)
    assert run.missing == (check.missing if check else ())


def test_the_benchmark_is_named_once(tmp_path: Path) -> None:
    """Where the check has a reason about it, LEAN's failed request adds none."""
    failed = ["/equity/usa/hour/spy.zip"]
    folder = write_run(tmp_path, result=result_of(), log=log_text(ENGINE_START), failed=failed, succeeded=[])
    write_check(folder, StoredCheck(untrusted=("the benchmark SPY lacks hour bars of 5 days, so Beta is wrong",)))

    run = read_run(folder, NOW)

    assert run.verdict is not None
    assert run.verdict.count("the benchmark SPY") == 1
