"""Logs: what people see, what the file holds, and that secrets are in neither."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from server.core.errors import ConfigurationError
from server.core.events import Event, EventKind
from server.core.secret import Secret
from server.data_download.report import DownloadReport, Failure
from server.lean.series import Resolution, Series
from server.observability import backtest_logger, configure_logging, log_listener
from server.observability import log_setup as logs
from server.observability.log_file import LogFile
from server.observability.log_setup import Masker

KEY = "aB3+xYz/9 Q&=key"
NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _own_logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has the logger and a set of secrets for itself."""
    monkeypatch.setattr(logs, "_masker", Masker())
    yield
    logger.remove()
    logger.configure(patcher=lambda record: None)


def records(state_folder: Path) -> list[dict[str, Any]]:
    path = state_folder / "logs" / "backtest-server.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def event(kind: EventKind, after: float = 0.0, **facts: Any) -> Event:
    return Event(
        kind=kind, at=NOON + timedelta(seconds=after), provider="polygon", resolution=Resolution.MINUTE, **facts
    )


def report(**facts: Any) -> DownloadReport:
    values: dict[str, Any] = {
        "provider": "polygon",
        "resolution": Resolution.MINUTE,
        "symbols": ("SPY", "AAPL"),
        "start": date(2024, 1, 2),
        "end": date(2024, 1, 5),
        "days_requested": 8,
        "days_present": 2,
        "days_downloaded": 5,
        "days_empty": 1,
        "days_failed": 0,
        "api_calls": 3,
        "http_cache_hits": 1,
        "retries": 2,
        "bytes_fetched": 1_234_567,
        "bars": 1950,
        "started_at": NOON,
        "finished_at": NOON + timedelta(seconds=3),
        "duration_s": 3.0,
    }
    return DownloadReport(**values | facts)


class TestPeoplesLines:
    def test_stderr(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A line has the time and the text, and its level where that is worth a word."""
        configure_logging(state_folder=None)
        backtest_logger.info("all {} here", "days")
        backtest_logger.warning("look")
        backtest_logger.debug("details")
        out, err = capsys.readouterr()
        assert out == ""
        assert [line.split(" ", 1)[1] for line in err.splitlines()] == ["all days here", "warning: look"]

    def test_no_stderr(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Nothing goes to stderr where it is not wanted, not even errors."""
        configure_logging(state_folder=None, stderr=False)
        backtest_logger.error("silent")
        assert capsys.readouterr() == ("", "")

    def test_sink(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A sink takes the lines in place of stderr, without line ends."""
        lines: list[str] = []
        configure_logging(state_folder=None, sink=lines.append)
        backtest_logger.info("hello")
        assert [line[9:] for line in lines] == ["hello"]
        assert capsys.readouterr().err == ""

    def test_one_line_each(self) -> None:
        """What comes from elsewhere cannot break a line or move a terminal's cursor."""
        lines: list[str] = []
        configure_logging(state_folder=None, sink=lines.append)
        backtest_logger.info("a\nb\x1b[2Jc {curly}")
        assert [line[9:] for line in lines] == ["a b [2Jc {curly}"]

    def test_no_traceback(self) -> None:
        """People are spared tracebacks."""
        lines: list[str] = []
        configure_logging(state_folder=None, sink=lines.append)
        try:
            raise ValueError("inner")
        except ValueError:
            backtest_logger.exception("it failed")
        assert [line[9:] for line in lines] == ["error: it failed"]

    def test_level(self) -> None:
        """The level says what is written, in any case."""
        lines: list[str] = []
        configure_logging(state_folder=None, level="debug", sink=lines.append)
        backtest_logger.debug("details")
        assert len(lines) == 1

    def test_unknown_level(self) -> None:
        """A level that does not exist is refused with those that do."""
        with pytest.raises(ConfigurationError, match=r"BACKTEST_SERVER_LOG_LEVEL.*'LOUD'.*INFO"):
            configure_logging(state_folder=None, level="LOUD")

    def test_configured_again(self) -> None:
        """Setting up again replaces what was set up before."""
        first: list[str] = []
        second: list[str] = []
        configure_logging(state_folder=None, sink=first.append)
        configure_logging(state_folder=None, sink=second.append)
        backtest_logger.info("once")
        assert (len(first), len(second)) == (0, 1)

    def test_closed_stderr(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A stderr that nobody reads any more does not stop the run."""
        with (tmp_path / "closed").open("w") as closed:
            pass
        monkeypatch.setattr("sys.stderr", closed)
        configure_logging(state_folder=None)
        backtest_logger.error("into the void")


class TestJsonLines:
    def test_flat(self, tmp_path: Path) -> None:
        """A line is one flat object: UTC time, level, message, and everything bound."""
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

    def test_nothing_is_lost_to_a_name(self, tmp_path: Path) -> None:
        """A bound name that the line has already is kept under another."""
        configure_logging(state_folder=tmp_path, stderr=False)
        backtest_logger.bind(message="mine", time="then").info("text")
        (line,) = records(tmp_path)
        assert (line["message"], line["extra_message"], line["extra_time"]) == ("text", "mine", "then")

    def test_any_value(self, tmp_path: Path) -> None:
        """Whatever is bound, the line is JSON."""
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
        """Setting up the log changes nothing on disk."""
        configure_logging(state_folder=tmp_path / "state", stderr=False)
        backtest_logger.debug("not written")
        assert list(tmp_path.iterdir()) == []

    def test_no_data_folder_yet(self, tmp_path: Path) -> None:
        """The log does not make the data folder; its lines wait until that is there."""
        state = tmp_path / "data" / "state"
        configure_logging(state_folder=state, stderr=False)
        backtest_logger.info("early")
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "data").mkdir()
        backtest_logger.info("late")
        assert [line["message"] for line in records(state)] == ["early", "late"]

    def test_removed_folder(self, tmp_path: Path) -> None:
        """A folder that is removed while the server runs is made again."""
        state = tmp_path / "state"
        configure_logging(state_folder=state, stderr=False)
        backtest_logger.info("one")
        (state / "logs" / "backtest-server.jsonl").unlink()
        (state / "logs").rmdir()
        backtest_logger.info("two")
        assert [line["message"] for line in records(state)] == ["two"]

    def test_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        """People are told once that there is no log, and the run goes on."""
        (tmp_path / "state").write_text("a file")
        lines: list[str] = []
        configure_logging(state_folder=tmp_path / "state", sink=lines.append)
        backtest_logger.info("one")
        backtest_logger.info("two")
        assert [line for line in lines if "cannot be written" in line] == [
            f"warning: the log {tmp_path / 'state' / 'logs' / 'backtest-server.jsonl'} cannot be written "
            "(Not a directory); going on without it"
        ]
        assert [line[9:] for line in lines if "cannot" not in line] == ["one", "two"]


class TestLogFile:
    def test_rotation(self, tmp_path: Path) -> None:
        """A full file is set aside, and the oldest of those is dropped."""
        file = LogFile(tmp_path / "x.jsonl", maximum_bytes=10, kept=2)
        for number in range(7):
            file.write(f"line {number}")
        assert (tmp_path / "x.jsonl").read_text() == "line 6\n"
        assert (tmp_path / "x.jsonl.1").read_text() == "line 4\nline 5\n"
        assert (tmp_path / "x.jsonl.2").read_text() == "line 2\nline 3\n"
        assert not (tmp_path / "x.jsonl.3").exists()

    def test_several_processes(self, tmp_path: Path) -> None:
        """Lines of several processes never mix, also while the file is set aside."""
        path = tmp_path / "x.jsonl"
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=write_lines, args=(path, letter)) for letter in "ab"]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        written = [line for one in tmp_path.glob("x.jsonl*") for line in one.read_text().splitlines()]
        assert sorted(written) == sorted(f"{letter * 200} {number}" for letter in "ab" for number in range(100))


def write_lines(path: Path, letter: str) -> None:
    file = LogFile(path, maximum_bytes=10_000, kept=50)
    for number in range(100):
        file.write(f"{letter * 200} {number}")


def spellings(key: str) -> list[str]:
    encoded = [key, quote(key, safe=""), quote_plus(key)]
    return [*encoded, *(one.upper() for one in encoded), *(one.lower() for one in encoded)]


class TestSecrets:
    def test_everywhere(self, tmp_path: Path) -> None:
        """A secret is in no message, bound value, exception or chained cause, however it is spelt."""
        lines: list[str] = []
        configure_logging(state_folder=tmp_path, sink=lines.append, secrets=[Secret(KEY)])
        for spelling in spellings(KEY):
            log = backtest_logger.bind(
                url=f"https://x/?apiKey={spelling}", deep={"a": [spelling]}, error=OSError(spelling)
            )
            try:
                try:
                    raise ValueError(f"cause {spelling}")
                except ValueError as cause:
                    raise RuntimeError(f"bad {spelling}") from cause
            except RuntimeError:
                log.opt(exception=True).error("failed at {}", spelling)
            log.info(spelling)
        text = (tmp_path / "logs" / "backtest-server.jsonl").read_text() + "\n".join(lines)
        for spelling in spellings(KEY):
            assert spelling.lower() not in text.lower()
        assert "RuntimeError: bad **********" in text
        assert "ValueError: cause **********" in text

    def test_other_sinks(self) -> None:
        """A sink that somebody else adds to the logger gets masked records too, exceptions included."""
        configure_logging(state_folder=None, stderr=False, secrets=[Secret(KEY)])
        texts: list[str] = []
        logger.add(texts.append, diagnose=True, backtrace=True)
        try:
            raise ValueError(KEY)
        except ValueError:
            logger.exception(f"x {KEY}")
        assert "x **********" in texts[0]
        assert KEY not in texts[0]

    def test_added_later(self) -> None:
        """A secret that becomes known later is masked from then on, in the log and in texts for people."""
        lines: list[str] = []
        configure_logging(state_folder=None, sink=lines.append)
        logs.add_secret(Secret(KEY))
        logs.add_secret(Secret(""))
        backtest_logger.info(f"key {KEY}")
        assert lines[0].endswith("key **********")
        assert logs.mask(f"wrong key {KEY.upper()}") == "wrong key **********"

    def test_known_before(self) -> None:
        """A secret that was known before the log is set up stays known."""
        logs.add_secret(Secret(KEY))
        lines: list[str] = []
        configure_logging(state_folder=None, sink=lines.append)
        backtest_logger.info(KEY)
        assert lines[0].endswith(" **********")

    def test_secret_within_a_secret(self) -> None:
        """Of two secrets of which one is part of the other nothing is left over."""
        masker = Masker()
        masker.add(Secret("abcd"))
        masker.add(Secret("abcdefgh"))
        assert masker.text("abcdefgh abcd") == "********** **********"

    @given(
        key=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=4),
        before=st.text(st.sampled_from("{}<>\u00e9 ")),
        after=st.text(st.sampled_from("{}<>\u00e9 ")),
    )
    def test_any_key(self, key: str, before: str, after: str) -> None:
        """Whatever the key, none of its spellings survives between other texts."""
        if set(key) <= set(before + after + "*"):
            return
        masker = Masker()
        masker.add(Secret(key))
        for spelling in spellings(key):
            masked = masker.value({"url": [before + spelling + after]})["url"][0]
            assert spelling.lower() not in masked.lower()


class TestDownloadLog:
    @pytest.mark.parametrize(
        ("one", "level", "text"),
        [
            (event("started", days=6, days_present=2), "INFO", "minute: 6 days missing, 2 present (polygon)"),
            (event("symbol", symbol="SPY", days=1), "DEBUG", "SPY minute: 1 day missing"),
            (
                event("days", symbol="SPY", days=3, bars=1170, outcome="downloaded"),
                "DEBUG",
                "SPY minute: 3 days downloaded, 1,170 bars",
            ),
            (
                event("request", symbol="SPY", api_calls=1, bytes=2500, status=200),
                "DEBUG",
                "SPY minute: 1 request, 2.5 kB, 0 from the cache",
            ),
            (
                event("retry", symbol="SPY", retries=1, wait_seconds=2, status=502, message="the vendor answered 502"),
                "WARNING",
                "SPY minute: the vendor answered 502; trying again in 2.0 s",
            ),
            (
                event("wait", wait_seconds=12.5, message="5 requests a minute"),
                "INFO",
                "waiting 12.5 s: 5 requests a minute",
            ),
            (event("notice", message="the range ends today"), "WARNING", "the range ends today"),
            (event("finished"), "DEBUG", "minute: finished"),
            (Event(kind="phase", at=NOON, phase="engine"), "DEBUG", "phase engine"),
        ],
    )
    def test_events(self, tmp_path: Path, one: Event, level: str, text: str) -> None:
        """Each event becomes a line with its level, its sentence and its facts."""
        configure_logging(state_folder=tmp_path, level="DEBUG", stderr=False)
        log_listener()(one)
        (line,) = records(tmp_path)
        assert (line["level"], line["message"]) == (level, text)
        assert (line["event"], line["phase"]) == (one.kind, one.phase)
        for name in ("symbol", "status", "wait_seconds", "days", "bars", "bytes", "api_calls", "retries"):
            assert line.get(name) == (getattr(one, name) or None)
        assert line.get("resolution") == (one.resolution and one.resolution.value)

    def test_symbols_and_whole(self, tmp_path: Path) -> None:
        """At the end there is a line for each symbol with its own counts, and one for the whole."""
        configure_logging(state_folder=tmp_path, stderr=False)
        listen = log_listener()
        for one in [
            event("started", days=6, days_present=2),
            event("symbol", 0, symbol="SPY", days=4),
            event("symbol", 1, symbol="AAPL", days=2),
            event("request", 1.5, symbol="SPY", api_calls=2, bytes=1000, retries=1),
            event("request", 1.6, symbol="SPY", cache_hits=1),
            event("days", 2, symbol="SPY", days=3, bars=1170, outcome="downloaded"),
            event("days", 2.5, symbol="SPY", days=1, outcome="provisional", bars=10),
            event("request", 2.6, symbol="AAPL", api_calls=1, bytes=500),
            event("days", 3, symbol="AAPL", days=1, outcome="empty"),
            event("finished", 3),
        ]:
            listen(one)
        listen.log_report(report())
        spy, aapl, whole = records(tmp_path)[1:]
        common = {"phase": "data_download", "provider": "polygon", "resolution": "minute"}
        assert spy.items() >= (common | {"event": "symbol_finished", "symbol": "SPY"}).items()
        assert (
            spy.items()
            >= {
                "started_at": "2024-01-02T12:00:00.000Z",
                "finished_at": "2024-01-02T12:00:02.500Z",
                "duration_s": 2.5,
                "bytes": 1000,
                "bars": 1180,
                "api_calls": 2,
                "cache_hits": 1,
                "retries": 1,
                "days_downloaded": 4,
                "days_empty": 0,
                "days_failed": 0,
            }.items()
        )
        assert (aapl["symbol"], aapl["days_empty"], aapl["bytes"], aapl["duration_s"]) == ("AAPL", 1, 500, 2.0)
        assert whole.items() >= (common | {"event": "download_finished", "level": "INFO"}).items()
        assert (
            whole.items()
            >= {
                "started_at": "2024-01-02T12:00:00.000Z",
                "finished_at": "2024-01-02T12:00:03.000Z",
                "duration_s": 3.0,
                "bytes": 1_234_567,
                "api_calls": 3,
                "cache_hits": 1,
                "retries": 2,
                "days_requested": 8,
                "symbols": 2,
            }.items()
        )
        assert whole["message"] == (
            "download finished (polygon): 2 present, 5 downloaded, 1 empty, 0 failed of 8 days; "
            "3 requests, 1.2 MB, 3.00 s"
        )

    def test_failures(self, tmp_path: Path) -> None:
        """Failed days are warnings with their cause, and so is the line for the whole."""
        configure_logging(state_folder=tmp_path, stderr=False)
        days = (date(2024, 1, 2), date(2024, 1, 4))
        failure = Failure(series=Series("SPY", Resolution.MINUTE), days=days, error="no answer", code="x")
        log_listener().log_report(report(days_downloaded=3, days_failed=2, failures=(failure,)))
        one, whole = records(tmp_path)
        assert one["message"] == "SPY minute: 2 days failed: no answer"
        assert (one["level"], one["code"], one["first_day"], one["last_day"]) == (
            "WARNING",
            "x",
            "2024-01-02",
            "2024-01-04",
        )
        assert (whole["level"], whole["days_failed"]) == ("WARNING", 2)

    def test_next_download(self, tmp_path: Path) -> None:
        """A listener that is used again starts from nothing."""
        configure_logging(state_folder=tmp_path, stderr=False)
        listen = log_listener()
        for _ in range(2):
            listen(event("days", symbol="SPY", days=3, outcome="downloaded"))
            listen.log_report(report())
        assert [line["days_downloaded"] for line in records(tmp_path) if line.get("symbol")] == [3, 3]


def test_importing_sets_nothing_up() -> None:
    """Only `configure_logging` changes loguru's logger."""
    code = (
        "from loguru import logger; seen = []; logger.remove(); logger.add(seen.append, format='{message}')\n"
        "import server.observability\n"
        "logger.info('still here'); print(seen)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("['still here\\n']\n", "")
