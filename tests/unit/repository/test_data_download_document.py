"""docs/data-download.md: commands, options, JSON, codes, states and files are those of the code."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from server.backtest_server import BacktestRequest, BacktestResult, JobState
from server.cli import BAD_USE, FAILURE, INTERRUPTED, cli
from server.cli.backtest import GAPS, UNTRUSTED
from server.core.errors import BacktestServerError, NotFoundError
from server.core.json import to_json
from server.data_download.availability import DayState
from server.data_download.report import DownloadReport
from server.engines.base import EngineResult
from server.lean.series import Resolution
from server.settings.core import STATE_FOLDER
from tests.support.documents import (
    INLINE,
    ROOT,
    first_column,
    options_of,
    page,
    read,
    rows,
    section,
    source_texts,
)


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_each_command_is_documented(name: str) -> None:
    """A command is in the README's list, and has a heading of its own among the commands."""
    assert f"`backtest-server {name}`" in read(ROOT / "README.md")
    assert f"\n### {name}\n" in section(page("data-download.md"), "## Commands")


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_each_option_is_documented(name: str) -> None:
    """An option is in the command's own section, or among those that all commands share."""
    commands = section(page("data-download.md"), "## Commands")
    shared = commands.partition("\n### ")[0]
    documented = INLINE.findall(shared + section(commands, f"### {name}"))

    assert options_of(cli.commands[name]) - set(documented) == set()


def report() -> DownloadReport:
    instant = datetime(2024, 1, 2, tzinfo=UTC)
    return DownloadReport(
        provider="polygon",
        resolution=Resolution.DAILY,
        symbols=("SPY",),
        start=date(2024, 1, 2),
        end=date(2024, 1, 2),
        **dict.fromkeys(("days_requested", "days_present", "days_downloaded", "days_empty", "days_failed"), 0),
        **dict.fromkeys(("api_calls", "http_cache_hits", "retries", "bytes_fetched", "bars"), 0),
        started_at=instant,
        finished_at=instant,
        duration_s=0.0,
    )


def test_json_of_a_download_is_documented() -> None:
    """The table has each key of `download --json`, and no other."""
    documented = first_column(section(page("data-download.md"), "### download"))

    assert sorted(name for name in documented if not name.startswith("--")) == sorted(to_json(report()))


def test_json_of_a_backtest_is_documented() -> None:
    """The table has each key of `backtest --json`, and no other; the text has the engine's keys and the states."""
    text = section(page("data-download.md"), "### backtest")
    instant = datetime(2024, 1, 2, tzinfo=UTC)
    result = EngineResult(
        engine="smoke",
        summary=(),
        statistics={},
        bars=0,
        days=0,
        started_at=instant,
        finished_at=instant,
        duration_s=0.0,
    )

    documented = [name for name in first_column(text) if not name.startswith("--")]
    assert sorted(documented) == sorted(to_json(BacktestResult.of(BacktestRequest())))
    assert set(to_json(result)) - set(INLINE.findall(text)) == set()
    passing = {JobState.QUEUED, JobState.RUNNING}
    assert {state.value for state in set(JobState) - passing} - set(INLINE.findall(text)) == set()


def test_exit_codes_are_documented() -> None:
    """The table has the codes that a process ends with."""
    table = section(page("data-download.md"), "### Exit codes")

    assert [cells[0] for cells in rows(table) if cells[0].isdigit()] == [
        "0",
        *map(str, (FAILURE, BAD_USE, GAPS, UNTRUSTED, INTERRUPTED)),
    ]


def test_error_codes_are_documented() -> None:
    """The table has the word of each kind of error that a command may end with, and no other; the server has more."""

    def kinds(root: type[BacktestServerError]) -> Iterator[type[BacktestServerError]]:
        yield root
        for kind in root.__subclasses__():
            yield from kinds(kind)

    documented = first_column(section(page("data-download.md"), "### Exit codes"))

    ours = {kind.code for kind in kinds(BacktestServerError) if kind.__module__.startswith("server.")}
    assert sorted(documented) == sorted(ours - {BacktestServerError.code, NotFoundError.code})


def test_states_of_a_day_are_documented() -> None:
    """The table has each state that `coverage` shows, and no other."""
    documented = [cells[0] for cells in rows(section(page("data-download.md"), "## What a day can be"))]

    assert sorted(documented) == sorted(state.value for state in DayState)


def test_files_of_the_state_folder_exist() -> None:
    """What is said to lie in the state folder is named in the code."""
    text = section(page("data-download.md"), "## What is kept where")
    names = [name.partition("*")[0].rstrip("/") for name in first_column(text)]

    assert f"`{STATE_FOLDER}`" in text
    assert len(names) >= 6
    for name in names:
        assert any(name in known for known in source_texts()), name
