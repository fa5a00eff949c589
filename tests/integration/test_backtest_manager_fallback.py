"""A backtest with another provider: as the fallback, in place of Polygon, and a plugin that listens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from server.backtest_server import JobState
from server.core.events import Event
from server.lean.series import Resolution
from server.plugins.hookspecs import hookimpl
from tests.support import fake_lean, faults
from tests.support.harness import csv_of, lean_files
from tests.support.managers import DAYS, MARKET, MakeManager, StandIn, request
from tests.support.polygon_server import PolygonServer

Serve = Callable[..., PolygonServer]


DOWN = {"BACKTEST_SERVER_RETRY_ATTEMPTS": "1"}


def test_a_fallback_takes_over_while_the_vendor_is_down(
    polygon_server: Serve, make_manager: MakeManager, tmp_path: Path
) -> None:
    """The days go to it, the backtest completes, and report and events say so and why."""
    server = polygon_server(MARKET, on_request=lambda request, n: faults.bad_gateway())
    stand_in = StandIn(MARKET)
    events: list[Event] = []
    manager = make_manager(
        server,
        environ={**DOWN, "BACKTEST_SERVER_FALLBACK_DATA_PROVIDER": "stand-in"},
        also=stand_in.spec(),
        listeners=[events.append],
    )

    result = manager.run(request())

    assert result.state is JobState.COMPLETED, result.error
    assert result.download is not None
    assert (result.download.provider, result.download.fallback) == ("polygon", "stand-in")
    assert result.download.days_downloaded == 5
    assert [gap.days for gap in stand_in.asked] == [tuple(DAYS)]
    assert csv_of(tmp_path / "data") == lean_files(MARKET, "SPY", DAYS, Resolution.MINUTE)
    (notice,) = [text for text in result.download.notices if "fallback" in text]
    assert notice.startswith("polygon failed (Polygon (http://127.0.0.1:")
    assert "5 symbol-days go to the fallback stand-in" in notice
    assert notice in [event.message for event in events if event.kind == "notice"]


def test_without_a_fallback_an_outage_ends_the_backtest(
    polygon_server: Serve, make_manager: MakeManager, tmp_path: Path
) -> None:
    """The engine is not run over missing data; the error says how many days and why."""
    server = polygon_server(MARKET, on_request=lambda request, n: faults.bad_gateway())

    result = make_manager(server, environ=DOWN).run(request())

    assert result.state is JobState.FAILED
    assert "5 of 5 symbol-days could not be had, so the backtest was not run" in str(result.error)
    assert "status 502" in str(result.error)
    assert [phase.name for phase in result.phases] == ["data_download"]
    assert result.engine_result is None
    assert csv_of(tmp_path / "data") == {}


def test_what_another_provider_could_not_help_does_not_go_to_it(
    polygon_server: Serve, make_manager: MakeManager
) -> None:
    """An unknown key is the user's to mend: one request, no fallback."""
    server = polygon_server(MARKET, key="another-key")
    stand_in = StandIn(MARKET)
    manager = make_manager(server, environ={"BACKTEST_SERVER_FALLBACK_DATA_PROVIDER": "stand-in"}, also=stand_in.spec())

    result = manager.run(request())

    assert result.state is JobState.FAILED
    assert "does not accept your API key" in str(result.error)
    assert stand_in.asked == []
    assert len(server.requests) == 1


def test_without_a_key_nothing_is_sent_and_nothing_written(
    polygon_server: Serve, make_manager: MakeManager, tmp_path: Path
) -> None:
    """The backtest fails at once with what to set."""
    server = polygon_server(MARKET)
    manager = make_manager(server, environ={"POLYGON_API_KEY": ""})
    before = sorted(tmp_path.rglob("*"))

    result = manager.run(request())

    assert result.state is JobState.FAILED
    assert "there is no Polygon API key" in str(result.error)
    assert server.requests == []
    assert sorted(tmp_path.rglob("*")) == before


def test_the_cli_of_lean_is_used_while_the_vendor_is_down(
    make_manager: MakeManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With lean-cli as the fallback and no server at Polygon's address, `lean data download` brings the days."""
    lean = fake_lean.install(tmp_path / "bin")
    monkeypatch.setenv("PATH", lean.path)
    (tmp_path / "lean.json").write_text('{"data-folder": "data", "organization-id": "0123456789"}')
    manager = make_manager(
        None,
        environ={**DOWN, "BACKTEST_SERVER_FALLBACK_DATA_PROVIDER": "lean-cli"},
    )

    result = manager.run(request(resolution=Resolution.DAILY))

    assert result.state is JobState.COMPLETED, result.error
    assert result.download is not None
    assert (result.download.fallback, result.download.days_downloaded) == ("lean-cli", 5)
    assert len(lean.calls) == 1
    (rows,) = csv_of(tmp_path / "data").values()
    assert [row[:8].decode() for row in rows.split(b"\n")] == [f"{day:%Y%m%d}" for day in DAYS]


def test_the_rollback_uses_the_cli_of_lean_and_no_http(
    make_manager: MakeManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """USE_POLYGON_NATIVE_DOWNLOADER=false: lean-cli replaces polygon."""
    lean = fake_lean.install(tmp_path / "bin")
    monkeypatch.setenv("PATH", lean.path)
    (tmp_path / "lean.json").write_text('{"data-folder": "data", "organization-id": "0123456789"}')
    manager = make_manager(None, environ={"USE_POLYGON_NATIVE_DOWNLOADER": "false"})

    result = manager.run(request())

    assert result.state is JobState.COMPLETED, result.error
    assert result.download is not None
    assert (result.download.provider, result.download.fallback, result.download.api_calls) == ("lean-cli", None, 0)
    assert len(csv_of(tmp_path / "data")) == 5


def test_a_listener_of_a_plugin_that_fails_does_not_end_a_backtest(
    polygon_server: Serve, make_manager: MakeManager
) -> None:
    """A plugin receives every event; what it raises is logged."""

    class Listener:
        events = 0

        @hookimpl
        def backtest_progress(self, event: Event) -> None:
            self.events += 1
            raise ValueError("ouch")

    listener = Listener()
    manager = make_manager(polygon_server(MARKET), plugin=listener)

    assert manager.run(request()).state is JobState.COMPLETED
    assert listener.events == 1
