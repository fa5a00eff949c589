"""Providers keep the contract when the host derives hour bars, and daily bars of the session, from their minutes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from server.core.cancel import CancelToken
from server.core.secret import Secret
from server.data_download.data_folder import DataFolder
from server.data_download.derived_bars import DerivedBars
from server.data_download.provider import DataProvider, ProviderContext
from server.lean.series import Resolution
from server.plugins.lean_cli_provider.config import LeanCliConfig
from server.plugins.lean_cli_provider.provider import LeanCliProvider
from tests.support import fake_lean, faults
from tests.support.harness import Rig, calendar, sessions
from tests.support.market import Market
from tests.support.polygon_server import KEY, PolygonServer
from tests.support.provider_contract import ProviderContract, Subject

DAYS = sessions(date(2024, 3, 7), 4)
DERIVED = (Resolution.HOUR, Resolution.DAILY)
Open = Callable[[CancelToken], DataProvider]
LEAN_KEY = "pQ9secretKEY+of/mine"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """An empty data folder."""
    return Rig(tmp_path, pause=None, retry_attempts=2)


@pytest.fixture
def wrap(rig: Rig) -> Iterator[Callable[[Open], Open]]:
    """Makes a function that opens a provider into one that opens it as the host does."""
    with ExitStack() as stack:
        folder = DataFolder.open(rig.data, calendar(), rig.state)
        stack.callback(folder.close)

        def wrapped(opener: Open) -> Open:
            def opened(cancel: CancelToken) -> DataProvider:
                return DerivedBars(opener(cancel), folder, calendar(), lambda: rig.now, regular_session=True)

            return opened

        yield wrapped


class TestDerivedFromPolygon(ProviderContract):
    """Minutes arrive as bars."""

    @pytest.fixture
    def subject(self, rig: Rig, wrap: Callable[[Open], Open], polygon_server: Callable[..., PolygonServer]) -> Subject:
        server = polygon_server(Market.synthetic(["SPY"], DAYS, bars_per_day=90))
        provider = Rig(rig.root, server.url, pause=None, retry_attempts=2)
        return Subject(
            open=wrap(provider.open_provider),
            symbol="SPY",
            days=tuple(DAYS),
            resolutions=DERIVED,
            without="NONE",
            secret=KEY,
            slow=lambda: setattr(server, "latency", 60.0),
            broken=lambda: setattr(server, "on_request", lambda request, n: faults.plan_timeframe()),
            contacts=lambda: len(server.requests),
        )


class TestDerivedFromLeanCli(ProviderContract):
    """Minutes arrive as LEAN's zips."""

    @pytest.fixture
    def subject(self, rig: Rig, wrap: Callable[[Open], Open]) -> Subject:
        lean = fake_lean.install(rig.root / "bin")
        lean.behave(no_data=["NONE"])
        (rig.root / "lean.json").write_text(json.dumps({"data-folder": "data", "organization-id": "abc"}))
        rig.data.mkdir()

        def open_provider(cancel: CancelToken) -> LeanCliProvider:
            context = ProviderContext(
                calendar=calendar(),
                data_folder=rig.data,
                state_folder=rig.state,
                clock=lambda: datetime(2024, 6, 3, 12, tzinfo=UTC),
                cancel=cancel,
            )
            config = LeanCliConfig(api_key=Secret(LEAN_KEY))
            return LeanCliProvider(config, context, environment={"PATH": lean.path, "HOME": str(rig.root)})

        return Subject(
            open=wrap(open_provider),
            symbol="SPY",
            days=tuple(DAYS),
            resolutions=DERIVED,
            without="NONE",
            secret=LEAN_KEY,
            slow=lambda: lean.behave("hang"),
            broken=lambda: lean.behave("licence"),
            contacts=lambda: len(lean.calls),
        )
