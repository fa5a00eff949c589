"""A backtest from its request to its result, over a local server that behaves as Polygon does."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import attrs
import pytest

from server.backtest_server import BacktestManager, BacktestRequest, JobState
from server.core.errors import ToolMissingError
from server.core.events import Event
from server.data_download.availability import Gap
from server.data_download.provider import Capabilities, DataSink, ProviderContext
from server.jobs import Job
from server.lean.bars import Bars
from server.lean.series import Resolution
from server.plugins.hookspecs import ProviderSpec
from server.plugins.manager import OfferedProvider, Plugins, build_plugin_manager
from server.settings import load_settings
from server.workspace import Workspace
from tests.support import fake_lean, faults
from tests.support.faults import Fault
from tests.support.harness import NOW, csv_of, lean_files, leftovers, sessions
from tests.support.market import Market
from tests.support.patience import PATIENCE
from tests.support.polygon_server import KEY, PolygonServer, Request

Serve = Callable[..., PolygonServer]
MakeManager = Callable[..., BacktestManager]

EXAMPLE = Path(__file__).parents[2] / "examples" / "ZacQC"
DAYS = sessions(date(2024, 3, 4), 5)
MARKET = Market.synthetic(["SPY", "AAPL"], DAYS, bars_per_day=390) | Market.synthetic(["SPY", "AAPL"], DAYS, "daily")


@attrs.frozen
class StandIn:
    """A third party's provider: it has all bars of the market, and remembers what it was asked for."""

    market: Market
    asked: list[Gap] = attrs.field(factory=list)

    def spec(self) -> ProviderSpec:
        """What its plugin offers."""

        @attrs.frozen
        class Config:
            pass

        return ProviderSpec(
            name="stand-in", summary="a test's", config_class=Config, create=lambda config, context: self.open(context)
        )

    def open(self, context: ProviderContext) -> StandIn:
        """Be its own provider."""
        return self

    @property
    def capabilities(self) -> Capabilities:
        """Minutes only."""
        return Capabilities(resolutions=frozenset({Resolution.MINUTE}))

    def plan(self, gaps: Sequence[Gap]) -> Sequence[str]:
        """Nothing to say."""
        return []

    def fetch(self, gaps: Sequence[Gap], sink: DataSink) -> None:
        """Hand over what is asked for."""
        self.asked.extend(gaps)
        for gap in gaps:
            series = self.market[gap.series.ticker, "minute"]
            columns = (series.t, series.o, series.h, series.l, series.c, series.v)
            bars = Bars(**dict(zip(("time", "open", "high", "low", "close", "volume"), columns, strict=True)))
            assert gap.days == tuple(DAYS)
            sink.bars(gap.series, gap.days, bars)

    def close(self) -> None:
        """Nothing is held."""


def and_also(plugins: Plugins, spec: ProviderSpec) -> Plugins:
    """The plugins with one provider more."""
    offered = OfferedProvider(spec=spec, plugin=spec.name, distribution="a-test")
    return attrs.evolve(plugins, providers={**plugins.providers, spec.name: offered})


@pytest.fixture
def make_manager(tmp_path: Path) -> Iterator[MakeManager]:
    """``make_manager(server, environ={…}, provider=…)`` gives a manager over tmp_path/data; it ends with the test."""
    opened: list[tuple[BacktestManager, Workspace]] = []

    def make(
        server: PolygonServer | None,
        *,
        environ: dict[str, str] | None = None,
        also: ProviderSpec | None = None,
        **manager: Any,
    ) -> BacktestManager:
        variables = {
            "POLYGON_API_KEY": KEY,
            "POLYGON_API_URL": server.url if server else "http://127.0.0.1:9",
            "BACKTEST_SERVER_ENGINE": "smoke",
            "BACKTEST_SERVER_CORPORATE_ACTIONS": "off",
            "PATH": str(tmp_path / "bin"),
            **(environ or {}),
        }
        settings = load_settings(environ=variables, cwd=tmp_path)
        plugins = build_plugin_manager()
        workspace = Workspace.open(settings, and_also(plugins, also) if also else plugins, clock=lambda: NOW)
        found = BacktestManager(workspace, environ=variables, **manager)
        opened.append((found, workspace))
        return found

    yield make
    for found, workspace in opened:
        found.close()
        workspace.close()


def request(symbols: Sequence[str] = ("SPY",), resolution: Resolution = Resolution.MINUTE) -> BacktestRequest:
    """The days of the market."""
    return BacktestRequest(symbols=tuple(symbols), resolution=resolution, start=DAYS[0], end=DAYS[-1])


def ended(manager: BacktestManager, job: str) -> Job:
    """Wait until a job is over."""
    found = manager.jobs.wait(job, 20.0)
    assert found.state.over, found
    return found


# --- the way of a backtest ---


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
    assert result.request.symbols == ("AAPL",)
    assert (result.request.start, result.request.end) == (date(2023, 1, 3), date(2023, 1, 10))
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


# --- another provider in its place ---


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


def test_the_cli_of_lean_stands_in_while_the_vendor_is_down(
    make_manager: MakeManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With lean-cli as the fallback and nobody at Polygon's address, `lean data download` brings the days."""
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
    """USE_POLYGON_NATIVE_DOWNLOADER=false: lean-cli stands in for polygon."""
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
    """Plugins are told of every event; what they raise is theirs."""
    from server.plugins.hookspecs import hookimpl

    class Listener:
        told = 0

        @hookimpl
        def backtest_progress(self, event: Event) -> None:
            self.told += 1
            raise ValueError("ouch")

    manager = make_manager(polygon_server(MARKET))
    listener = Listener()
    manager._workspace.plugins._manager.register(listener, "listener")

    assert manager.run(request()).state is JobState.COMPLETED
    assert listener.told == 1
