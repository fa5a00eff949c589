"""Bad arguments: one line on stderr, an exit code other than 0, and nothing changed on disk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.bad_input import NEXT_YEAR, RANGE, refused
from tests.support.command_line import Answer, CommandLine, answer_of
from tests.support.harness import csv_of
from tests.support.polygon_server import PolygonServer


@pytest.mark.parametrize(
    "symbol",
    [
        *(
            "../../x",
            "",
            "SPY\n",
            "S\nPY",
            "A" * 60,
            "%2e%2e",
            "..",
            ".",
            "/etc/passwd",
            "ÄÖ",
            "\uff33\uff30\uff39",
            "S PY",
        ),
        *("SPY\0", "\u0421", "-", "SPY/../..", "a\\b", "1SPY", "$(id)", "SPY;", "BRK.", "CON:", "\x1b[31mSPY", "💥"),
    ],
)
@pytest.mark.parametrize("name", ["download", "coverage", "backtest", "verify"])
def test_a_text_that_is_no_symbol(command: CommandLine, server: PolygonServer, symbol: str, name: str) -> None:
    """It is quoted in the error, cut short where it is long, and control characters are shown as such."""
    arguments = {
        "download": ("download", "--", symbol),
        "coverage": ("coverage", "--", symbol),
        "backtest": ("backtest", f"--symbols={symbol}"),
        "verify": ("verify", "--resolution", "minute", "--", symbol),
    }[name]
    if name in ("download", "coverage"):
        arguments = (name, *RANGE, *arguments[1:])
    elif name == "backtest":
        arguments = (*arguments, *RANGE)

    line = refused(command, server, *arguments)

    assert "is not a US equity symbol; write it as LEAN does, for example SPY or BRK.B" in line
    assert line.isprintable()
    assert len(line) < 250


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--start", "2024-02-30", "--end", "2024-03-05"), "'2024-02-30' is not a day; write it as YYYY-MM-DD"),
        (("--start", "yesterday", "--end", "2024-03-05"), "'yesterday' is not a day"),
        (("--start", "20240305", "--end", "2024-03-05"), "'20240305' is not a day"),
        (("--start", "2024-W10-2", "--end", "2024-03-05"), "'2024-W10-2' is not a day"),
        (("--start", "", "--end", "2024-03-05"), "'' is not a day"),
        (("--start", "2024-03-05\n", "--end", "2024-03-05"), "is not a day"),
        (("--start", "٢٠٢٤-٠٣-٠٥", "--end", "2024-03-05"), "is not a day"),  # noqa: RUF001
        (("--start", "9" * 500, "--end", "2024-03-05"), "is not a day"),
        (("--start", "2024-03-05"), "Missing option '--end'"),
        (("--start", "2024-03-06", "--end", "2024-03-05"), "the end 2024-03-05 lies before the start 2024-03-06"),
        (
            ("--start", f"{NEXT_YEAR}-01-02", "--end", f"{NEXT_YEAR}-02-02"),
            f"the range {NEXT_YEAR}-01-02 to {NEXT_YEAR}-02-02 lies wholly in the future: the last session so far is",
        ),
        (("--start", "9999-12-31", "--end", "9999-12-31"), "lies wholly in the future"),
        (("--start", "1997-12-31", "--end", "2024-03-05"), "1997-12-31 lies before 1998-01-02"),
        (("--start", "0001-01-01", "--end", "0001-01-01"), "0001-01-01 lies before 1998-01-02"),
    ],
)
@pytest.mark.parametrize("name", ["download", "coverage"])
def test_days_that_make_no_range(
    command: CommandLine, server: PolygonServer, name: str, arguments: tuple[str, ...], words: str
) -> None:
    """What is wrong, and how a day is written."""
    line = refused(command, server, name, "SPY", "--resolution", "minute", *arguments)

    assert words in line
    assert len(line) < 250


def test_a_backtest_in_the_future(command: CommandLine, server: PolygonServer) -> None:
    """As for a download."""
    days = ("--start", f"{NEXT_YEAR}-01-02", "--end", f"{NEXT_YEAR}-02-02")

    assert "lies wholly in the future" in refused(command, server, "backtest", "--symbols", "SPY", *days)


@pytest.mark.parametrize("resolution", ["week", "tick", "", "Minute!", "daily minute"])
def test_an_unknown_resolution(command: CommandLine, server: PolygonServer, resolution: str) -> None:
    """Those that there are are named."""
    line = refused(command, server, "download", "SPY", "--resolution", resolution, *RANGE[2:])

    assert "'daily', 'hour', 'minute', 'second'" in line


@pytest.mark.parametrize("arguments", [("downlaod",), ("download", "--wat"), ("download",), ("demo", "extra")])
def test_what_is_no_command(command: CommandLine, server: PolygonServer, arguments: tuple[str, ...]) -> None:
    """The line says where help is."""
    assert "--help)" in refused(command, server, *arguments)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (None, "has no config/parameters.py"),
        ("", "gives no symbols and no start and no end"),
        ("symbols = ['SPY']\nstart = '2024-03-05'", "gives no end; add it there or give --end"),
        ("symbols = ['../x']\nstart = end = '2024-03-05'", "'../x' is not a US equity symbol"),
        ("symbols = open('x').read()\nstart = end = '2024-03-05'", "cannot be known without running the file"),
        ("symbols = [", "not valid Python"),
        ("symbols = ['SPY']\nstart = '2024-03-05'\nend = '2024-03-04'", "lies before the start"),
        ("symbols = ['SPY']\nresolution = 'week'\nstart = end = '2024-03-05'", "is not a resolution"),
    ],
)
def test_a_project_without_its_parameters(
    command: CommandLine, server: PolygonServer, parameters: str | None, words: str
) -> None:
    """The file is named, and what to write there."""
    if parameters is not None:
        (command.folder / "project" / "config" / "parameters.py").write_text(parameters)

    assert words in refused(command, server, "backtest", "project")


@pytest.mark.parametrize("path", ["nowhere", "", "a\0b", "project/main.py/x"])
def test_a_project_that_is_not_there(command: CommandLine, server: PolygonServer, path: str) -> None:
    """It is named."""
    refused(command, server, "backtest", path)


def test_a_backtest_of_nothing(command: CommandLine, server: PolygonServer) -> None:
    """Neither project nor symbols."""
    assert "needs --symbols, --start, --end; or name a LEAN project" in refused(command, server, "backtest")


def test_a_range_that_reaches_into_the_future_is_cut_with_a_notice(command: CommandLine, server: PolygonServer) -> None:
    """What is past is served."""
    end = datetime.now(UTC).date() + timedelta(days=400)

    answer = command.run("coverage", "SPY", "--resolution", "daily", "--start", "2024-03-05", "--end", str(end))

    assert "note: the range is cut at " in answer.out


def test_a_weekend_is_a_range_without_trading_days(command: CommandLine, server: PolygonServer) -> None:
    """Nothing is missing, nothing is sent and nothing written."""
    command.data.rmdir()
    before = command.files()

    answer = command.run("download", "SPY", "--resolution", "minute", "--start", "2024-03-09", "--end", "2024-03-10")

    assert answer.code == 0
    assert "there is no trading day from 2024-03-09 to 2024-03-10" in answer.out + answer.err
    assert command.files() == before


def test_bad_input_to_a_process(command: CommandLine, server: PolygonServer) -> None:
    """The same from the outside: one line, exit code 2."""
    answer: Answer = answer_of(command.start("download", "../../x", *RANGE))

    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("\n") == 1
    assert answer.err.startswith("error: ")
    assert csv_of(command.data) == {}


@pytest.mark.parametrize("option", ["--projects", "--benchmarks", "--baseline", "--data-folder", "--lean-config"])
def test_a_place_of_the_server_that_is_an_empty_text(command: CommandLine, server: PolygonServer, option: str) -> None:
    """An unset variable in a script does not mean the working directory."""
    assert "it names no file or folder" in refused(command, server, "serve", option, "")
