"""Lines of text and JSON lines of the log."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from server.core.errors import ConfigurationError
from server.lean.series import Resolution
from server.observability import backtest_logger, configure_logging
from tests.support.log_records import records

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)


class TestTextLines:
    def test_stderr(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A line has the time and the text, and its level if that is warning or higher."""
        configure_logging(state_folder=None)
        backtest_logger.info("all {} here", "days")
        backtest_logger.warning("watch out")
        backtest_logger.debug("details")
        out, err = capsys.readouterr()
        assert out == ""
        assert [line.split(" ", 1)[1] for line in err.splitlines()] == ["all days here", "warning: watch out"]

    def test_no_stderr(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Nothing is printed on stderr if that is turned off, not even errors."""
        configure_logging(state_folder=None, stderr=False)
        backtest_logger.error("silent")
        assert capsys.readouterr() == ("", "")

    def test_sink(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A sink receives the lines in place of stderr, without line ends."""
        lines: list[str] = []
        configure_logging(state_folder=None, sink=lines.append)
        backtest_logger.info("hello")
        assert [line[9:] for line in lines] == ["hello"]
        assert capsys.readouterr().err == ""

    def test_sink_level(self, tmp_path: Path) -> None:
        """The level of the sink applies to lines of text only, if it is higher than that of the log."""
        lines: list[str] = []
        configure_logging(state_folder=tmp_path, level="debug", sink=lines.append, sink_level="WARNING")
        backtest_logger.info("details")
        backtest_logger.warning("watch out")
        configure_logging(state_folder=tmp_path, level="ERROR", sink=lines.append, sink_level="WARNING")
        backtest_logger.warning("not logged")
        assert [line[9:] for line in lines] == ["warning: watch out"]
        assert [line["message"] for line in records(tmp_path)] == ["details", "watch out"]

    def test_one_line_each(self) -> None:
        """Text of other origin cannot break a line or move a terminal's cursor."""
        lines: list[str] = []
        configure_logging(state_folder=None, sink=lines.append)
        backtest_logger.info("a\nb\x1b[2Jc {curly}")
        assert [line[9:] for line in lines] == ["a b [2Jc {curly}"]

    def test_no_traceback(self) -> None:
        """Lines of text have no traceback."""
        lines: list[str] = []
        configure_logging(state_folder=None, sink=lines.append)
        try:
            raise ValueError("inner")
        except ValueError:
            backtest_logger.exception("it failed")
        assert [line[9:] for line in lines] == ["error: it failed"]

    def test_level(self) -> None:
        """The level, in any case, is the lowest that is logged."""
        lines: list[str] = []
        configure_logging(state_folder=None, level="debug", sink=lines.append)
        backtest_logger.debug("details")
        assert len(lines) == 1

    def test_unknown_level(self) -> None:
        """A level that does not exist is an error that names the levels."""
        with pytest.raises(ConfigurationError, match=r"BACKTEST_SERVER_LOG_LEVEL.*'LOUD'.*INFO"):
            configure_logging(state_folder=None, level="LOUD")

    def test_configured_again(self) -> None:
        """A second configuration replaces the first."""
        first: list[str] = []
        second: list[str] = []
        configure_logging(state_folder=None, sink=first.append)
        configure_logging(state_folder=None, sink=second.append)
        backtest_logger.info("once")
        assert (len(first), len(second)) == (0, 1)

    def test_closed_stderr(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A closed stderr does not stop the run."""
        with (tmp_path / "closed").open("w") as closed:
            pass
        monkeypatch.setattr("sys.stderr", closed)
        configure_logging(state_folder=None)
        backtest_logger.error("into the void")


class TestJsonLines:
    def test_flat(self, tmp_path: Path) -> None:
        """A line is one flat object: UTC time, level, message, and the bound fields."""
        configure_logging(state_folder=tmp_path, stderr=False)
        backtest_logger.bind(
            symbol="SPY", resolution=Resolution.DAILY, day=date(2024, 1, 2), at=NOON, n=3, s=0.5, none=None
        ).info("hello")
        (line,) = records(tmp_path)
        assert datetime.fromisoformat(line.pop("time")).utcoffset() == timedelta(0)
        assert line == {
            "level": "INFO",
            "message": "hello",
            "component": "backtest-server",
            "symbol": "SPY",
            "resolution": "daily",
            "day": "2024-01-02",
            "at": "2024-01-02T12:00:00.000Z",
            "n": 3,
            "s": 0.5,
            "none": None,
        }

    def test_bound_field_with_a_fixed_name(self, tmp_path: Path) -> None:
        """A bound field with the name of a fixed one is renamed."""
        configure_logging(state_folder=tmp_path, stderr=False)
        backtest_logger.bind(message="mine", time="then").info("text")
        (line,) = records(tmp_path)
        assert (line["message"], line["extra_message"], line["extra_time"]) == ("text", "mine", "then")

    def test_any_value(self, tmp_path: Path) -> None:
        """The line is JSON for bound values of any type."""
        configure_logging(state_folder=tmp_path, stderr=False)
        backtest_logger.bind(a=float("nan"), b={1: {2}}, c=object, d="\ud800\n", e=Path("x")).info("\udfff\n{}")
        (line,) = records(tmp_path)
        assert (line["a"], line["b"], line["e"]) == ("nan", {"1": [2]}, "x")

    def test_exception(self, tmp_path: Path) -> None:
        """The file has the traceback, without the values of variables."""
        configure_logging(state_folder=tmp_path, stderr=False)
        hidden = "value-of-a-variable"
        try:
            assert hidden
            raise ValueError("inner")
        except ValueError:
            backtest_logger.exception("it failed")
        (line,) = records(tmp_path)
        assert line["exception"] == "ValueError: inner"
        assert line["traceback"].startswith("Traceback (most recent call last)")
        assert hidden not in json.dumps(line)

    def test_nothing_before_the_first_line(self, tmp_path: Path) -> None:
        """Configuring the log creates no file."""
        configure_logging(state_folder=tmp_path / "state", stderr=False)
        backtest_logger.debug("not written")
        assert list(tmp_path.iterdir()) == []

    def test_no_data_folder_yet(self, tmp_path: Path) -> None:
        """The log does not create the data folder; lines are buffered until it exists."""
        state = tmp_path / "data" / "state"
        configure_logging(state_folder=state, stderr=False)
        backtest_logger.info("early")
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "data").mkdir()
        backtest_logger.info("late")
        assert [line["message"] for line in records(state)] == ["early", "late"]

    def test_removed_folder(self, tmp_path: Path) -> None:
        """A folder that is removed while the server runs is created again."""
        state = tmp_path / "state"
        configure_logging(state_folder=state, stderr=False)
        backtest_logger.info("one")
        (state / "logs" / "backtest-server.jsonl").unlink()
        (state / "logs").rmdir()
        backtest_logger.info("two")
        assert [line["message"] for line in records(state)] == ["two"]

    def test_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        """A log that cannot be written is one warning, and the run continues."""
        (tmp_path / "state").write_text("a file")
        lines: list[str] = []
        configure_logging(state_folder=tmp_path / "state", sink=lines.append)
        backtest_logger.info("one")
        backtest_logger.info("two")
        assert [line for line in lines if "cannot be written" in line] == [
            f"warning: the log {tmp_path / 'state' / 'logs' / 'backtest-server.jsonl'} cannot be written "
            "(Not a directory); continuing without it"
        ]
        assert [line[9:] for line in lines if "cannot" not in line] == ["one", "two"]


def test_importing_configures_nothing() -> None:
    """Only `configure_logging` changes loguru's logger."""
    code = (
        "from loguru import logger; seen = []; logger.remove(); logger.add(seen.append, format='{message}')\n"
        "import server.observability\n"
        "logger.info('still here'); print(seen)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("['still here\\n']\n", "")
