"""Bad input: one clear line on stderr, an exit code other than 0, and nothing changed on disk."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support import faults
from tests.support.command_line import Answer, CommandLine, answer_of, remember_the_calendar
from tests.support.harness import csv_of
from tests.support.market import Market
from tests.support.polygon_server import KEY, PolygonServer

Serve = Callable[..., PolygonServer]

DAY = date(2024, 3, 5)
MARKET = Market.synthetic(["SPY"], [DAY], bars_per_day=10) | Market.synthetic(["SPY"], [DAY], "daily")
RANGE = ("--resolution", "minute", "--start", str(DAY), "--end", str(DAY))
DOWNLOAD = ("download", "SPY", *RANGE)
NEXT_YEAR = datetime.now(UTC).year + 1
STATE = ".backtest-server"


@pytest.fixture
def server(polygon_server: Serve) -> PolygonServer:
    """A vendor that has SPY for one day."""
    return polygon_server(MARKET)


@pytest.fixture
def command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, server: PolygonServer
) -> CommandLine:
    """The command line with a key and a vendor, in a folder with an empty data folder and a project."""
    remember_the_calendar(monkeypatch)
    found = CommandLine(tmp_path, capsys, monkeypatch)
    found.set(POLYGON_API_KEY=KEY, POLYGON_API_URL=server.url)
    found.data.mkdir()
    (tmp_path / "project" / "config").mkdir(parents=True)
    (tmp_path / "project" / "main.py").write_text("raise SystemExit('never run')")
    return found


def refused(command: CommandLine, server: PolygonServer, *arguments: str, code: int = 2) -> str:
    """Run a command that is to be refused; gives its one line. Nothing was sent, printed or changed."""
    before = command.files()

    answer = command.run(*arguments)

    assert answer.code == code, answer
    assert answer.out == ""
    (line,) = answer.err.splitlines()
    assert line.startswith("error: ")
    assert command.files() == before
    assert server.requests == []
    return line


# --- symbols, days, resolutions ---


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


@pytest.mark.parametrize("resolution", ["hour", "tick", "", "Minute!", "daily minute"])
def test_an_unknown_resolution(command: CommandLine, server: PolygonServer, resolution: str) -> None:
    """Those that there are are named."""
    line = refused(command, server, "download", "SPY", "--resolution", resolution, *RANGE[2:])

    assert "'daily', 'minute', 'second'" in line


@pytest.mark.parametrize("arguments", [("downlaod",), ("download", "--wat"), ("download",), ("demo", "extra")])
def test_what_is_no_command(command: CommandLine, server: PolygonServer, arguments: tuple[str, ...]) -> None:
    """The line says where help is."""
    assert "--help)" in refused(command, server, *arguments)


# --- providers, engines, settings ---


@pytest.mark.parametrize("name", ["yahoo", "Polygon", "../polygon", "", "none", "a b", "x" * 500])
def test_an_unknown_provider(command: CommandLine, server: PolygonServer, name: str) -> None:
    """Those that are installed are named, or what a name looks like."""
    line = refused(command, server, *DOWNLOAD, "--provider", name)

    assert "polygon" in line
    assert len(line) < 250


@pytest.mark.parametrize("variable", ["BACKTEST_SERVER_DATA_PROVIDER", "BACKTEST_SERVER_FALLBACK_DATA_PROVIDER"])
def test_an_unknown_provider_in_the_environment(command: CommandLine, server: PolygonServer, variable: str) -> None:
    """Also the fallback, before it is needed."""
    command.set(**{variable: "yahoo"})

    assert "there is no data provider 'yahoo'; installed are: lean-cli, polygon" in refused(command, server, *DOWNLOAD)


@pytest.mark.parametrize("engine", ["zipline", "", "LEAN!"])
def test_an_unknown_engine(command: CommandLine, server: PolygonServer, engine: str) -> None:
    """Those that there are are named; nothing is downloaded first."""
    line = refused(command, server, "backtest", "--symbols", "SPY", *RANGE, "--engine", engine)

    assert "auto, lean, smoke" in line


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("BACKTEST_SERVER_ENGIN", "smoke", "did you mean BACKTEST_SERVER_ENGINE?"),
        ("BACKTEST_SERVER_ENGINE", "zipline", "it must be one of auto, lean, smoke"),
        ("BACKTEST_SERVER_MAX_CONCURRENT_REQUESTS", "6", "max-concurrent-requests"),
        ("BACKTEST_SERVER_MAX_CONCURRENT_REQUESTS", "five", "it must be a whole number"),
        ("BACKTEST_SERVER_REQUESTS_PER_MINUTE", "0", "requests-per-minute"),
        ("BACKTEST_SERVER_RETRY_SECONDS", "nan", "it must be a number"),
        ("BACKTEST_SERVER_LOG_LEVEL", "loud", "it must be one of TRACE, DEBUG, INFO"),
        ("USE_POLYGON_NATIVE_DOWNLOADER", "perhaps", "it must be true or false"),
        ("POLYGON_API_URL", "http://api.polygon.io", "must be an https address"),
        ("POLYGON_API_URL", "https://user:password@api.polygon.io", "api-url"),
        ("POLYGON_API_URL", "api.polygon.io", "must be an https address"),
    ],
)
def test_a_variable_that_does_not_fit(
    command: CommandLine, server: PolygonServer, variable: str, value: str, words: str
) -> None:
    """It is named, with what would fit."""
    command.set(**{variable: value})

    line = refused(command, server, *DOWNLOAD)

    assert words in line
    assert variable in line
    assert "password" not in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{\n  "data-folder": "data",\n  oops oops\n}', "lean.json, line 3, column 8: "),
        ('{\n  // a comment\n  "data-folder": "data"\n', "lean.json, line "),
        ("", "lean.json, line 1, column 1: the file is empty"),
        ("[1, 2]", "is not a JSON object"),
        ('{"backtest-server": {"engin": "smoke"}}', "'engin' under backtest-server is not a setting"),
        ('{"backtest-server": {"engine": "zipline"}}', "it must be one of auto, lean, smoke"),
        ('{"backtest-server": {"providers": {"polygn": {}}}}', "did you mean polygon?"),
        ('{"backtest-server": {"providers": {"polygon": {"speed": 1}}}}', "'speed' under backtest-server.providers"),
        ('{"backtest-server": {"use-polygon-native-downloader": "yes"}}', "it must be true or false"),
        ('{"data-folder": 5}', "data-folder is 5"),
        ('{"data-folder": "a", "data-folder": "b"}', "data-folder is set more than once"),
    ],
)
@pytest.mark.parametrize("by_flag", [True, False])
def test_a_lean_json_that_does_not_fit(
    command: CommandLine, server: PolygonServer, text: str, words: str, by_flag: bool
) -> None:
    """Where it does not parse, line and column; else the setting and where it stands. Found upward or named."""
    (command.folder / "lean.json").write_text(text)
    flags = ("--lean-config", "lean.json") if by_flag else ()

    line = refused(command, server, *DOWNLOAD, *flags)

    assert words in line
    assert str(command.folder / "lean.json") in line


def test_a_lean_json_that_is_no_text(command: CommandLine, server: PolygonServer) -> None:
    """It is named, and the line."""
    (command.folder / "lean.json").write_bytes(b'{\n"data-folder": "\xff\xfe"}')

    assert "lean.json, line 2: not UTF-8" in refused(command, server, *DOWNLOAD)


@pytest.mark.parametrize("path", ["nowhere.json", "project", "", "project/main.py/lean.json", "a\0b"])
def test_a_lean_json_that_cannot_be_read(command: CommandLine, server: PolygonServer, path: str) -> None:
    """One that was named must be there."""
    refused(command, server, *DOWNLOAD, "--lean-config", path)


def test_a_malformed_lean_json_shows_nothing_of_its_values(command: CommandLine, server: PolygonServer) -> None:
    """The key may stand on the very line."""
    (command.folder / "lean.json").write_text('{"polygon-api-key": "hidden-key-4711 "oops"}')

    assert "4711" not in refused(command, server, *DOWNLOAD)


# --- the vendor ---


def only_state(command: CommandLine, before: dict[str, Any]) -> bool:
    """Whether nothing but the server's own state was added."""
    after = command.files()
    added = {path for path in after if path not in before}
    return all(after[path] == before[path] for path in before) and all(
        path == "data" or path.startswith(f"data/{STATE}") for path in added
    )


def test_no_key(command: CommandLine, server: PolygonServer) -> None:
    """Nothing is sent and nothing written, not even a lock or a log; the data folder is not made."""
    command.set(POLYGON_API_KEY="")
    for folder in ("data", "not-there"):
        before = command.files()

        answer = command.run(*DOWNLOAD, "--data-folder", folder)

        assert answer.code == 1
        (line,) = answer.err.splitlines()
        assert "there is no Polygon API key" in line
        assert "POLYGON_API_KEY" in line
        assert command.files() == before
    assert server.requests == []


def test_no_key_in_a_backtest(command: CommandLine, server: PolygonServer) -> None:
    """The same."""
    command.set(POLYGON_API_KEY="")
    before = command.files()

    answer = command.run("backtest", "--symbols", "SPY", *RANGE)

    assert answer.code == 1
    (line,) = answer.errors
    assert "there is no Polygon API key" in line
    assert command.files() == before


def test_a_wrong_key(command: CommandLine, server: PolygonServer) -> None:
    """One request, the vendor's words, no file of LEAN's."""
    command.set(POLYGON_API_KEY="wrong-key-0815")
    before = command.files()

    answer = command.run(*DOWNLOAD)

    assert answer.code == 1
    (line,) = answer.errors
    assert faults.UNKNOWN_KEY in line
    assert "wrong-key-0815" not in answer.out + answer.err
    assert len(server.requests) == 1
    assert command.files() == before


@pytest.mark.parametrize("key", ["t2o words", "l1ne\n3nd", "schlüssel"])
def test_a_key_that_no_header_can_carry(command: CommandLine, server: PolygonServer, key: str) -> None:
    """It is refused without being shown."""
    command.set(POLYGON_API_KEY=key)

    line = refused(command, server, *DOWNLOAD)

    assert "api-key" in line
    assert not any(part in line for part in key.split())


def test_a_dead_host(command: CommandLine) -> None:
    """It is tried a few times and given up, with the address and what to check."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    command.set(POLYGON_API_URL=f"http://127.0.0.1:{port}")
    before = command.files()

    answer = command.run(*DOWNLOAD)

    assert answer.code == 1
    (line,) = answer.errors
    assert f"http://127.0.0.1:{port}" in line
    assert "no connection; check the network and polygon-api-url" in line
    assert command.files() == before


def test_a_dead_host_and_no_data_folder(command: CommandLine) -> None:
    """It is not made for a run that came to nothing."""
    command.set(POLYGON_API_URL="http://127.0.0.1:9")
    before = command.files()

    assert command.run(*DOWNLOAD, "--data-folder", "not/there").code == 1

    assert {path for path in command.files() if path not in before} <= {"not"}


def test_a_first_run_that_was_answered_keeps_its_state(command: CommandLine, server: PolygonServer) -> None:
    """What was asked counts for the budget, and what was kept is not asked again."""
    server.faults.append(faults.not_entitled())

    assert command.run(*DOWNLOAD).code == 1

    assert (command.data / STATE / "http-cache.sqlite").exists()


# --- the data folder ---


def test_a_data_folder_below_a_file(command: CommandLine, server: PolygonServer) -> None:
    """Nothing is sent for what could not be kept."""
    (command.folder / "file").write_text("mine")
    for folder in ("file", "file/data"):
        before = command.files()

        answer = command.run(*DOWNLOAD, "--data-folder", folder)

        assert answer.code == 1
        (line,) = answer.errors
        assert str(command.folder / folder) in line
        assert "a file is in the place of a folder" in line
        assert command.files() == before
    assert server.requests == []


@pytest.mark.parametrize("stands_at", ["equity", "equity/usa/minute", "equity/usa/minute/spy", STATE])
def test_a_file_where_a_folder_is_needed(command: CommandLine, server: PolygonServer, stands_at: str) -> None:
    """It is named and stays as it is."""
    path = command.data / stands_at
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    before = command.files()

    answer = command.run(*DOWNLOAD)

    assert answer.code == 1
    assert len(answer.errors) == 1
    assert "a file is in the place of a folder" in answer.errors[0]
    assert only_state(command, before)


@pytest.mark.damaged_zips
def test_a_folder_where_a_file_is_to_stand(command: CommandLine, server: PolygonServer) -> None:
    """As above."""
    path = command.data / "equity" / "usa" / "daily" / "spy.zip"
    path.mkdir(parents=True)
    (path / "mine").write_text("mine")
    before = command.files()

    answer = command.run("download", "SPY", "--resolution", "daily", *RANGE[2:])

    assert answer.code == 1
    assert len(answer.errors) == 1
    assert "a folder is in the place of a file" in answer.errors[0]
    assert only_state(command, before)


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_a_data_folder_that_is_no_path(command: CommandLine, server: PolygonServer, path: str) -> None:
    """An unset shell variable does not make the working folder one."""
    assert "it names no file or folder" in refused(command, server, *DOWNLOAD, "--data-folder", path)


# --- projects ---


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
        ("symbols = ['SPY']\nresolution = 'hour'\nstart = end = '2024-03-05'", "is not a resolution"),
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


# --- not so bad ---


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
