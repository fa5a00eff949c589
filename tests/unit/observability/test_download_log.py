"""The log of a download: events, symbols, failures and the whole."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from server.core.events import Event, EventKind
from server.data_download.report import DownloadReport, Failure
from server.engines.base import EngineProgress, Equity
from server.lean.series import Resolution, Series
from server.observability import configure_logging, log_listener
from tests.support.log_records import records

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
PROGRESS = EngineProgress(fraction=0.25, equity=Equity((date(2024, 1, 3),), (101_234.5,)), orders=12)


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
            (
                Event(kind="round", at=NOON, phase="engine", message="run 1 of LEAN lacked 1 file"),
                "INFO",
                "run 1 of LEAN lacked 1 file",
            ),
            (event("finished"), "DEBUG", "minute: finished"),
            (Event(kind="phase", at=NOON, phase="engine"), "DEBUG", "phase engine"),
            (
                Event(kind="engine_progress", at=NOON, phase="engine", progress=PROGRESS),
                "INFO",
                "backtest at 2024-01-03: 25%, equity $101,234.50, 12 orders",
            ),
            (
                Event(kind="engine_progress", at=NOON, phase="engine", progress=EngineProgress()),
                "INFO",
                "backtest at its start",
            ),
        ],
    )
    def test_events(self, tmp_path: Path, one: Event, level: str, text: str) -> None:
        """Each event becomes a line with its level, text and fields."""
        configure_logging(state_folder=tmp_path, level="DEBUG", stderr=False)
        log_listener()(one)
        (line,) = records(tmp_path)
        assert (line["level"], line["message"]) == (level, text)
        assert (line["event"], line["phase"]) == (one.kind, one.phase)
        for name in ("symbol", "status", "wait_seconds", "days", "bars", "bytes", "api_calls", "retries"):
            assert line.get(name) == (getattr(one, name) or None)
        assert line.get("resolution") == (one.resolution and one.resolution.value)

    def test_symbols_and_whole(self, tmp_path: Path) -> None:
        """The report becomes a line for each symbol with its counts, and one for the whole download."""
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
        """Failed days are warnings with their cause, and so is the line for the whole download."""
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

    def test_progress_of_a_backtest(self, tmp_path: Path) -> None:
        """A line now and then, with fields for Grafana."""
        configure_logging(state_folder=tmp_path, stderr=False)
        listen = log_listener()
        for after in (0, 1, 29, 30, 31, 60):
            listen(
                evolve(
                    Event(kind="engine_progress", phase="engine", progress=PROGRESS), at=NOON + timedelta(seconds=after)
                )
            )
        lines = records(tmp_path)
        assert len(lines) == 3
        assert {name: lines[0][name] for name in ("event", "phase", "day", "fraction", "equity", "orders")} == {
            "event": "engine_progress",
            "phase": "engine",
            "day": "2024-01-03",
            "fraction": 0.25,
            "equity": 101_234.5,
            "orders": 12,
        }

    def test_next_download(self, tmp_path: Path) -> None:
        """A listener that is used again starts with empty counts."""
        configure_logging(state_folder=tmp_path, stderr=False)
        listen = log_listener()
        for _ in range(2):
            listen(event("days", symbol="SPY", days=3, outcome="downloaded"))
            listen.log_report(report())
        assert [line["days_downloaded"] for line in records(tmp_path) if line.get("symbol")] == [3, 3]
