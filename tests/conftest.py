"""What every test gets unasked: no outside settings, no sockets in unit tests, checked zips. And fixtures."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # tests.support, also where pytest was not started as a module

from tests.support.cassettes import UseCassette, key_to_record_with, use_cassette  # noqa: E402
from tests.support.lean_runs import lean_runs  # noqa: E402
from tests.support.lean_samples import lean_samples  # noqa: E402
from tests.support.market import Market  # noqa: E402
from tests.support.polygon_server import KEY, PolygonServer  # noqa: E402

UNIT = ROOT / "tests" / "unit"
SETTING_NAMES = (
    "POLYGON_API_KEY",
    "MASSIVE_API_KEY",
    "POLYGON_API_URL",
    "USE_POLYGON_NATIVE_DOWNLOADER",
    "LEAN_DATA_FOLDER",
)
SETTING_PREFIX = "BACKTEST_SERVER_"
CORPORATE_ACTIONS = "BACKTEST_SERVER_CORPORATE_ACTIONS"
RECORDING_KEY = pytest.StashKey[str | None]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --record."""
    parser.addoption(
        "--record",
        action="store_true",
        help="ask the real Polygon API and record the cassettes again (needs POLYGON_API_KEY or MASSIVE_API_KEY)",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Unit, integration, browser: the quick ones first. A browser's driver keeps an event loop running to the end."""
    kinds = ("unit", "integration", "e2e")
    order = {kind: place for place, kind in enumerate(kinds)}
    items.sort(key=lambda item: order.get(item.path.relative_to(ROOT / "tests").parts[0], len(kinds)))


def pytest_configure(config: pytest.Config) -> None:
    """Let live tests run when they are named; take the key for recording; let no property fail for being slow."""
    settings.register_profile("no time limit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("no time limit")
    config.addinivalue_line("markers", "damaged_zips: leaves zips on purpose that LEAN would not have written")
    config.stash[RECORDING_KEY] = key_to_record_with() if config.getoption("--record") else None
    given = [str(argument) for argument in config.invocation_params.args]
    if any(a.startswith("-m") for a in given):
        return
    if any(a.partition("::")[0].endswith("_live.py") for a in given):
        config.option.markexpr = "not lean and not benchmark"


@pytest.fixture(autouse=True)
def _environment(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hide the user's settings from tests (live ones excepted); fail one that leaves the environment changed."""
    names = [n for n in os.environ if n in SETTING_NAMES or n.startswith(SETTING_PREFIX)]
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("live") is None:
            for name in names:
                patch.delenv(name)
            patch.setenv(CORPORATE_ACTIONS, "off")  # or each test that counts requests would count these, too
        before = _variables()
        yield
        after = _variables()
        for name in after.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        pytest.fail(f"the test changed the environment: {', '.join(changed)}")


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@pytest.fixture(autouse=True)
def _no_sockets_in_unit_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a unit test that connects to anything."""
    if not request.node.path.is_relative_to(UNIT):
        yield
        return

    def refuse(self: socket.socket, address: object) -> None:
        pytest.fail(f"a unit test opened a connection to {address}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket.socket, "connect_ex", refuse)
        yield


@pytest.fixture(autouse=True)
def _zips_are_leans(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a zip in a data folder that LEAN could not have written."""
    yield
    folder = getattr(request.node, "funcargs", {}).get("tmp_path")
    if folder is None or any(map(request.node.get_closest_marker, ("damaged_zips", "benchmark"))):
        return
    for usa in folder.rglob("equity/usa"):
        if usa.is_dir():
            from server.data_download.verify import check_folder

            check_folder(usa.parent.parent)


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> UseCassette:
    """``with cassette("aapl-daily-2023-01-03-10") as tape:`` - the vendor's recorded replies, and no others."""
    return partial(use_cassette, key=request.config.stash[RECORDING_KEY])


@pytest.fixture
def vendor_key(request: pytest.FixtureRequest) -> str:
    """The key to give a client under test: of no meaning, or under --record the user's."""
    return request.config.stash[RECORDING_KEY] or KEY


@pytest.fixture
def polygon_server() -> Iterator[Callable[..., PolygonServer]]:
    """``polygon_server(market, **options)`` starts a server (see `PolygonServer`) that ends with the test."""
    with ExitStack() as stack:

        def start(market: Market | None = None, **options: Any) -> PolygonServer:
            return stack.enter_context(PolygonServer(Market() if market is None else market, **options))

        yield start


@pytest.fixture(scope="session")
def lean_sample_data() -> Path:
    """LEAN's own sample data: a folder with ``equity/usa``. Skips the test where the samples are unavailable."""
    return lean_samples(os.environ)


@pytest.fixture(scope="session")
def recorded_lean_runs() -> Path:
    """Recorded runs of LEAN, a folder each. Skips the test where LEAN_RUNS does not name them."""
    return lean_runs(os.environ)
