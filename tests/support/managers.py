"""A BacktestManager over a local Polygon server, and a third-party provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import attrs
import pluggy

from server.backtest import BacktestRequest
from server.backtest_server import BacktestManager
from server.data_download.availability import Gap
from server.data_download.provider import Capabilities, DataSink, ProviderContext
from server.jobs import Job
from server.lean.bars import Bars
from server.lean.series import Resolution
from server.plugins import hookspecs
from server.plugins.hookspecs import PROJECT_NAME, ProviderSpec
from server.plugins.manager import OfferedProvider, Plugins, build_plugin_manager
from server.settings import load_settings
from server.workspace import Workspace
from tests.support.harness import NOW, sessions
from tests.support.market import Market
from tests.support.polygon_server import KEY, PolygonServer

MakeManager = Callable[..., BacktestManager]

DAYS = sessions(date(2024, 3, 4), 5)
MARKET = Market.synthetic(["SPY", "AAPL"], DAYS, bars_per_day=390) | Market.synthetic(["SPY", "AAPL"], DAYS, "daily")


@attrs.frozen
class StandIn:
    """A third-party provider that has all minute bars of the market, and records the gaps that it fetched."""

    market: Market
    asked: list[Gap] = attrs.field(factory=list)

    def spec(self) -> ProviderSpec:
        """The provider's specification."""

        @attrs.frozen
        class Config:
            pass

        return ProviderSpec(
            name="stand-in", summary="a test's", config_class=Config, create=lambda config, context: self.open(context)
        )

    def open(self, context: ProviderContext) -> StandIn:
        """Return itself."""
        return self

    @property
    def capabilities(self) -> Capabilities:
        """Minutes only."""
        return Capabilities(resolutions=frozenset({Resolution.MINUTE}))

    def plan(self, gaps: Sequence[Gap]) -> Sequence[str]:
        """No requests."""
        return []

    def fetch(self, gaps: Sequence[Gap], sink: DataSink) -> None:
        """Deliver the gaps."""
        self.asked.extend(gaps)
        for gap in gaps:
            series = self.market[gap.series.ticker, "minute"]
            columns = (series.t, series.o, series.h, series.l, series.c, series.v)
            bars = Bars(**dict(zip(("time", "open", "high", "low", "close", "volume"), columns, strict=True)))
            assert gap.days == tuple(DAYS)
            sink.bars(gap.series, gap.days, bars)

    def close(self) -> None:
        """Nothing to close."""


def with_provider(plugins: Plugins, spec: ProviderSpec) -> Plugins:
    """The plugins and one more provider."""
    offered = OfferedProvider(spec=spec, plugin=spec.name, distribution="a-test")
    return attrs.evolve(plugins, providers={**plugins.providers, spec.name: offered})


def with_listener(plugins: Plugins, listener: object) -> Plugins:
    """The plugins, with this one in place of those that listen."""
    manager = pluggy.PluginManager(PROJECT_NAME)
    manager.add_hookspecs(hookspecs)
    manager.register(listener, "listener")
    return attrs.evolve(plugins, manager=manager)


@contextmanager
def managers(folder: Path) -> Iterator[MakeManager]:
    """Yield a function that opens a manager over folder/data; all of them are closed at the end.

    Its arguments: the Polygon server or None, ``environ`` to add, ``also`` a provider to add, ``plugin`` a plugin that
    listens, and those of `BacktestManager`.
    """
    opened: list[tuple[BacktestManager, Workspace]] = []

    def make(
        server: PolygonServer | None,
        *,
        environ: dict[str, str] | None = None,
        also: ProviderSpec | None = None,
        plugin: object = None,
        **manager: Any,
    ) -> BacktestManager:
        variables = {
            "POLYGON_API_KEY": KEY,
            "POLYGON_API_URL": server.url if server else "http://127.0.0.1:9",
            "BACKTEST_SERVER_ENGINE": "smoke",
            "BACKTEST_SERVER_CORPORATE_ACTIONS": "off",
            "PATH": str(folder / "bin"),
            **(environ or {}),
        }
        settings = load_settings(environ=variables, cwd=folder)
        plugins = build_plugin_manager()
        plugins = with_provider(plugins, also) if also else plugins
        plugins = with_listener(plugins, plugin) if plugin else plugins
        workspace = Workspace.open(settings, plugins, clock=lambda: NOW)
        found = BacktestManager(workspace, environ=variables, **manager)
        opened.append((found, workspace))
        return found

    yield make
    for found, workspace in opened:
        found.close()
        workspace.close()


def request(symbols: Sequence[str] = ("SPY",), resolution: Resolution = Resolution.MINUTE) -> BacktestRequest:
    """A request for all days of the market."""
    return BacktestRequest(symbols=tuple(symbols), resolution=resolution, start=DAYS[0], end=DAYS[-1])


def ended(manager: BacktestManager, job: str) -> Job:
    """Wait until a job has ended."""
    found = manager.jobs.wait(job, 20.0)
    assert found.state.over, found
    return found
