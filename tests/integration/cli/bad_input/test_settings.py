"""Bad providers, engines and settings: one line on stderr, and nothing changed on disk."""

from __future__ import annotations

import pytest

from tests.support.bad_input import DOWNLOAD, RANGE, refused
from tests.support.command_line import CommandLine
from tests.support.polygon_server import PolygonServer


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

    assert "auto, lean, lean-native, lean-docker, lean-cli, smoke" in line


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("BACKTEST_SERVER_ENGIN", "smoke", "did you mean BACKTEST_SERVER_ENGINE?"),
        (
            "BACKTEST_SERVER_ENGINE",
            "zipline",
            "it must be one of auto, lean, lean-native, lean-docker, lean-cli, smoke",
        ),
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
        (
            '{"backtest-server": {"engine": "zipline"}}',
            "it must be one of auto, lean, lean-native, lean-docker, lean-cli, smoke",
        ),
        ('{"backtest-server": {"providers": {"polygn": {}}}}', "did you mean polygon?"),
        ('{"backtest-server": {"providers": {"polygon": {"speed": 1}}}}', "'speed' under backtest-server.providers"),
        ('{"backtest-server": {"use-polygon-native-downloader": "yes"}}', "it must be true or false"),
        ('{"data-folder": 5}', "data-folder is 5"),
        ('{"data-folder": "C:\\\\Lean\\\\data"}', "it is a path of Windows"),
        ('{"data-folder": "$NOT_SET/data"}', "the variable $NOT_SET in it is not set"),
        ('{"data-folder": "~no-such-user/data"}', "there is no user no-such-user"),
        ('{"data-folder": "a", "data-folder": "b"}', "data-folder is set more than once"),
    ],
)
@pytest.mark.parametrize("by_flag", [True, False])
def test_a_lean_json_that_does_not_fit(
    command: CommandLine, server: PolygonServer, text: str, words: str, by_flag: bool
) -> None:
    """Where it does not parse, line and column; else the setting and where it is. Found upward or named."""
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


@pytest.mark.parametrize("option", ["--lean-config", "--data-folder"])
@pytest.mark.parametrize("value", ["$NOT_SET/x", "~no-such-user/x", "C:\\x", "C:/x"])
def test_paths_in_options(command: CommandLine, server: PolygonServer, option: str, value: str) -> None:
    """A text that the shell left alone is not the name of a folder."""
    line = refused(command, server, *DOWNLOAD, option, value)

    assert option.strip("-") in line
    assert repr(value) in line


def test_a_home_in_lean_json(command: CommandLine, server: PolygonServer) -> None:
    """The data is stored below the home folder, and no folder has the name of the variable."""
    command.set(HOME=str(command.folder / "home"))
    (command.folder / "lean.json").write_text('{"data-folder": "$HOME/data"}')

    assert command.run(*DOWNLOAD).code == 0
    assert (command.folder / "home/data/equity/usa/minute/spy/20240305_trade.zip").is_file()
    assert not (command.folder / "$HOME").exists()
