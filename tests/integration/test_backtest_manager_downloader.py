"""A backtest from its request to its result, with a local server in place of Polygon."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import attrs
import pytest

from server.backtest_server import BacktestRequest, JobState
from server.core.errors import ToolMissingError
from server.core.events import Event
from server.lean.series import Resolution
from tests.support import faults
from tests.support.faults import Fault
from tests.support.harness import csv_of, lean_files, leftovers, sessions
from tests.support.managers import DAYS, MARKET, MakeManager, StandIn, ended, request
from tests.support.market import Market
from tests.support.patience import PATIENCE
from tests.support.polygon_server import PolygonServer, Request

Serve = Callable[..., PolygonServer]

EXAMPLE = Path(__file__).parents[2] / "examples" / "ZacQC"


# --- backtests ---


@pytest.mark.parametrize("resolution", [Resolution.MINUTE, Resolution.DAILY])
def test_the_data_is_fetched_and_then_the_engine_runs(
    polygon_server: Serve, make_manager: MakeManager, tmp_path: Path, resolution: Resolution
) -> None:
    """Two phases, LEAN's files on disk, and the equity of buying and holding them."""
    server = polygon_server(MARKET)
    manager = make_manager(server)

    result = manager.run(request(resolution=resolution))

    assert result.state is JobState.COMPLETED, result.error
    assert [phase.name for phase in result.phases] == ["data_download", "engine"]
    assert result.download is not None
    assert (result.download.days_downloaded, result.download.api_calls) == (5, 1)
    assert csv_of(tmp_path / "data") == lean_files(MARKET, "SPY", DAYS, resolution)
    assert leftovers(tmp_path / "data") == []
    assert result.engine_result is not None
    assert result.engine_result.days == 5
    assert result.engine_result.bars == (5 * 390 if resolution is Resolution.MINUTE else 5)
    series = MARKET["SPY", "minute" if resolution is Resolution.MINUTE else "day"]
    held = 100_000 / float(series.o[0]) * float(series.c[-1])
    assert result.engine_result.equity.values[-1] == pytest.approx(held)
    assert result.error is None


def test_nothing_missing_means_no_request_no_process_and_no_time(
    polygon_server: Serve, make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second backtest's data phase opens no connection, runs nothing and is over at once."""
    server = polygon_server(MARKET)
    manager = make_manager(server)
    manager.run(request(("SPY", "AAPL")))
    server.reset()

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("nothing is missing")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    result = manager.run(request(("SPY", "AAPL")))

    assert result.state is JobState.COMPLETED
    assert result.download is not None
    assert (result.download.days_present, result.download.api_calls) == (10, 0)
    assert server.requests == []
    assert result.phases[0].name == "data_download"
    assert result.phases[0].duration_s < 0.5


def test_a_longer_backtest_fetches_only_the_days_it_lacks(polygon_server: Serve, make_manager: MakeManager) -> None:
    """What an earlier one brought is not asked for again."""
    server = polygon_server(MARKET)
    manager = make_manager(server)
    manager.run(BacktestRequest(symbols=("SPY",), start=DAYS[0], end=DAYS[2]))
    server.reset()

    result = manager.run(request())

    assert result.download is not None
    assert (result.download.days_present, result.download.days_downloaded) == (3, 2)
    assert [found.window for found in server.requests] == [("SPY", "minute", str(DAYS[3]), str(DAYS[4]))]


def test_the_projects_own_parameters_are_fetched(
    polygon_server: Serve, make_manager: MakeManager, tmp_path: Path
) -> None:
    """Symbols, resolution and days from config/parameters.py, which is read and never run."""
    server = polygon_server(MARKET)
    project = tmp_path / "project"
    (project / "config").mkdir(parents=True)
    (project / "config" / "parameters.py").write_text(
        "open('/tmp/ran', 'w').close() if False else None\n"
        f"tickers = ['AAPL']\nresolution = 'daily'\nstart = {DAYS[1]!r}\nend = ({DAYS[3].year}, 3, 7)\n"
        "raise SystemExit('this file was run')\n"
    )

    result = make_manager(server).run(BacktestRequest(project=project))

    assert result.state is JobState.COMPLETED, result.error
    assert [found.window for found in server.requests] == [("AAPL", "day", str(DAYS[1]), str(DAYS[3]))]
    assert csv_of(tmp_path / "data") == lean_files(MARKET, "AAPL", DAYS[1:4], Resolution.DAILY)


def test_the_example_project_runs(polygon_server: Serve, make_manager: MakeManager, tmp_path: Path) -> None:
    """examples/ZacQC asks for AAPL, daily, from 3 to 10 January 2023: six sessions."""
    days = sessions(date(2023, 1, 3), 6)
    server = polygon_server(Market.synthetic(["AAPL"], days, "daily"))
    project = shutil.copytree(EXAMPLE, tmp_path / "ZacQC")

    result = make_manager(server).run(BacktestRequest(project=project))

    assert result.state is JobState.COMPLETED, result.error
    assert result.symbols == ("AAPL",)
    assert (result.start, result.end) == (date(2023, 1, 3), date(2023, 1, 10))
    assert result.engine_result is not None
    assert (result.engine_result.engine, result.engine_result.bars) == ("smoke", 6)
    assert any("not a LEAN backtest" in line for line in result.engine_result.summary)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [("smoke", "the smoke test, as asked for"), ("auto", "the smoke test, since LEAN cannot run here: ")],
)
def test_the_engine_that_ran_is_named_and_why(
    polygon_server: Serve, make_manager: MakeManager, wanted: str, words: str
) -> None:
    """In the result and in the stream of events."""
    events: list[Event] = []
    server = polygon_server(MARKET)
    manager = make_manager(server, environ={"BACKTEST_SERVER_ENGINE": wanted}, listeners=[events.append])

    result = manager.run(request())

    assert result.engine_choice is not None
    assert result.engine_choice.startswith(words)
    assert f"the engine is {result.engine_choice}" in [event.message for event in events]
    assert [event.phase for event in events if event.kind == "phase"] == ["data_download", "engine"]


def test_lean_asked_for_where_it_cannot_run_is_an_error_before_a_long_download(
    polygon_server: Serve, make_manager: MakeManager
) -> None:
    """The error says what is lacking and what would work."""
    server = polygon_server(MARKET)
    manager = make_manager(server, environ={"BACKTEST_SERVER_ENGINE": "lean"})

    result = manager.run(request())

    assert result.state is JobState.FAILED
    assert isinstance(result.error, ToolMissingError)
    assert "or choose the engine smoke" in str(result.error)
    assert server.requests == []


# --- jobs ---


def test_a_job_goes_from_queued_to_completed(polygon_server: Serve, make_manager: MakeManager) -> None:
    """Its result is there for as long as the manager is."""
    manager = make_manager(polygon_server(MARKET))

    job = manager.submit(request())
    assert manager.status(job).state in (JobState.QUEUED, JobState.RUNNING)
    found = ended(manager, job)

    assert found.state is JobState.COMPLETED, found.result
    assert found.result["engine"]["engine"] == found.result["engine_name"] == "smoke"
    assert manager.status(job) == found
    kinds = [event.data["kind"] for event in manager.jobs.store.events(job)]
    assert [kind for kind in kinds if kind in ("state", "phase")] == ["state", "state", "phase", "phase", "state"]


def test_a_job_is_cancelled_while_the_vendor_hangs(polygon_server: Serve, make_manager: MakeManager) -> None:
    """Whatever a connection waits for."""
    server = polygon_server(MARKET, faults=[faults.slow(60)])
    manager = make_manager(server)
    job = manager.submit(request())
    deadline = time.monotonic() + PATIENCE
    while not server.requests:
        assert time.monotonic() < deadline
        time.sleep(0.01)

    began = time.monotonic()
    manager.cancel(job)
    result = ended(manager, job)
    took = time.monotonic() - began

    assert result.state is JobState.CANCELLED
    assert took < PATIENCE
    assert result.result["download"]["cancelled"]
    assert result.result["engine"] is None


def test_what_a_cancelled_job_has_fetched_is_kept(
    polygon_server: Serve, make_manager: MakeManager, tmp_path: Path
) -> None:
    """The first symbol's days are on disk, and the next backtest asks only for the second's."""
    hanging = threading.Event()

    def second_hangs(request: Request, n: int) -> Fault | None:
        if "/AAPL/" in request.path and not hanging.is_set():
            hanging.set()
            return faults.slow(60)
        return None

    server = polygon_server(MARKET, on_request=second_hangs)
    manager = make_manager(server)
    job = manager.submit(request(("SPY", "AAPL")))
    deadline = time.monotonic() + PATIENCE
    while len(csv_of(tmp_path / "data")) < len(DAYS) or not hanging.is_set():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    manager.cancel(job)
    assert ended(manager, job).state is JobState.CANCELLED
    assert csv_of(tmp_path / "data") == lean_files(MARKET, "SPY", DAYS, Resolution.MINUTE)
    server.reset()

    result = manager.run(request(("SPY", "AAPL")))

    assert result.state is JobState.COMPLETED, result.error
    assert {found.window[0] for found in server.requests if found.window} == {"AAPL"}


def test_two_jobs_that_want_the_same_days_fetch_them_once(polygon_server: Serve, make_manager: MakeManager) -> None:
    """The second waits for the first and then finds them."""
    server = polygon_server(MARKET, latency=0.3)
    manager = make_manager(server)

    jobs = [manager.submit(request()) for _ in range(2)]
    results = [ended(manager, job) for job in jobs]

    assert [result.state for result in results] == [JobState.COMPLETED] * 2
    assert len(server.requests) == 1
    downloads = [result.result["download"] for result in results]
    assert sum(download["api_calls"] for download in downloads) == 1
    assert sum(download["days_failed"] for download in downloads) == 0


def test_a_job_is_tried_again(polygon_server: Serve, make_manager: MakeManager) -> None:
    """The same request as a new job that names the first."""
    server = polygon_server(MARKET, faults=[faults.bad_gateway()])
    manager = make_manager(server, environ={"BACKTEST_SERVER_RETRY_ATTEMPTS": "1"})
    first = manager.submit(request())
    assert ended(manager, first).state is JobState.FAILED

    again = ended(manager, manager.retry(first))

    assert again.state is JobState.COMPLETED, again.result
    assert again.retry_of == first
    assert again.request == manager.status(first).request


def test_a_request_may_name_engine_and_provider_or_want_only_the_data(
    polygon_server: Serve, make_manager: MakeManager
) -> None:
    """Above the settings; a download alone has one phase and no engine."""
    server = polygon_server(MARKET)
    stand_in = StandIn(MARKET)
    manager = make_manager(server, environ={"BACKTEST_SERVER_ENGINE": "lean"}, also=stand_in.spec())

    result = manager.run(attrs.evolve(request(), engine="smoke", provider="stand-in"))
    data = manager.run(attrs.evolve(request(("AAPL",)), only_data=True))

    assert result.state is data.state is JobState.COMPLETED, (result.error, data.error)
    assert result.download is not None
    assert (result.download.provider, result.engine_choice) == ("stand-in", "the smoke test, as asked for")
    assert [phase.name for phase in data.phases] == ["data_download"]
    assert (data.engine_choice, data.engine_result) == (None, None)
    assert [found.window[0] for found in server.requests if found.window] == ["AAPL"]


def test_a_range_that_includes_today(polygon_server: Serve, make_manager: MakeManager) -> None:
    """A plan that ends with yesterday: the engine runs to the last settled session, and a notice says so."""
    days = sessions(date(2024, 5, 29), 4)  # Wednesday to Monday the 3rd of June, which has just begun
    market = Market.synthetic(["SPY"], days, bars_per_day=390)
    manager = make_manager(polygon_server(market, plan_end=days[2]))
    wanted = BacktestRequest(symbols=("SPY",), resolution=Resolution.MINUTE, start=days[0], end=days[-1])

    for downloaded in (3, 0):
        result = manager.run(wanted)

        assert result.state is JobState.COMPLETED, result.error
        assert result.download is not None
        assert (result.download.days_requested, result.download.days_downloaded) == (3, downloaded)
        assert "the range is cut at 2024-05-31, the last settled session" in result.download.notices[0]
        assert result.engine_result is not None
        assert result.engine_result.days == 3
        assert result.engine_result.equity.dates == tuple(days[:3])
        assert result.engine_result.failed_data_requests == ()
