"""The command demo."""

from __future__ import annotations

from tests.support.command_line import (
    Answer,
    CommandLine,
)


def check_demo(answer: Answer) -> None:
    """The demo as it should be: six days fetched with one request, and none the second time."""
    assert answer.code == 0, answer.err
    assert "1. What is on disk before" in answer.out
    assert "AAPL daily   □ 6 missing" in answer.out
    assert "AAPL daily   ■ 6 present" in answer.out
    assert "5. The same backtest again: nothing is missing, nothing is fetched" in answer.out
    assert "Done. 1 request in total" in answer.out


def test_the_demo_shows_the_whole_way(command: CommandLine) -> None:
    """Exit 0 with no key and no network, and nothing left in the working folder."""
    command.set(POLYGON_API_KEY="")

    answer = command.run("demo")

    check_demo(answer)
    assert command.files() == {}
    # The close of 10 January 2023 was 130.73 after an open of 130.28 on the 3rd.
    assert f"{130.73 / 130.28 - 1:+.2%}" in answer.out


def test_the_demo_does_not_mind_what_the_user_has_set(command: CommandLine) -> None:
    """Neither variables nor a broken lean.json, nor proxies that lead nowhere."""
    command.set(
        POLYGON_API_KEY="the-users-own",
        POLYGON_API_URL="http://127.0.0.1:9",
        BACKTEST_SERVER_ENGINE="nonsense",
        BACKTEST_SERVER_NO_SUCH="setting",
        BACKTEST_SERVER_DATA_PROVIDER="lean-cli",
        BACKTEST_SERVER_REQUESTS_PER_MINUTE="none at all",
        USE_POLYGON_NATIVE_DOWNLOADER="false",
        LEAN_DATA_FOLDER="/dev/null/nowhere",
        HTTP_PROXY="http://127.0.0.1:9",
        http_proxy="http://127.0.0.1:9",
        ALL_PROXY="http://127.0.0.1:9",
    )
    (command.folder / "lean.json").write_text("{oops")

    check_demo(command.run("demo"))
    kept = command.run("demo", "--data-folder", "kept")

    check_demo(kept)
    assert (command.folder / "kept" / "equity" / "usa" / "daily" / "aapl.zip").is_file()
    assert not (command.folder / "kept" / "kept").exists()


def test_the_demo_that_fails_says_so(command: CommandLine) -> None:
    """One line on stderr, exit 1."""
    (command.folder / "file").write_text("")

    answer = command.run("demo", "--data-folder", "file/data")

    assert answer.code == 1
    (line,) = answer.errors
    assert line.startswith("error: the demo failed: ")
