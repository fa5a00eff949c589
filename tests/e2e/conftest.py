"""A browser for the tests of a module, and the servers that tests of backtests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from server.data_download.verify import check_folder
from tests.support.browser import HOW_TO_GET_ONE, Browse, Visit, find_browser, launch, visiting
from tests.support.polygon_server import KEY, PolygonServer
from tests.support.run_pages import MARKET, ROOT
from tests.support.served import Served
from tests.support.tap import Tap


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. Without it, tests are skipped, or on the build server fail.

    It ends with its module, since Playwright's event loop would be in the way of tests that run their own.
    """
    executable = find_browser()
    if executable is None:
        if os.environ.get("CI") == "true":
            pytest.fail(HOW_TO_GET_ONE)
        pytest.skip(HOW_TO_GET_ONE)
    with sync_playwright() as playwright:
        running = launch(playwright, executable)
        yield running
        running.close()


@pytest.fixture
def browse(browser: Browser) -> Iterator[Browse]:
    """``browse(url, **options)`` opens a visit (see `visiting`) that ends, and is checked, with the test."""
    with ExitStack() as stack:

        def visit(url: str, **options: object) -> Visit:
            return stack.enter_context(visiting(browser, url, **options))  # type: ignore[arg-type]

        yield visit


@pytest.fixture(scope="module")
def tap() -> Tap:
    """Holds the vendor's responses back while a test looks at the page."""
    return Tap()


@pytest.fixture(scope="module")
def vendor(tap: Tap) -> Iterator[PolygonServer]:
    """A local vendor with recorded bars of AAPL and synthetic second bars."""
    with PolygonServer(MARKET, on_request=tap) as server:
        yield server


@pytest.fixture
def restored(tap: Tap, vendor: PolygonServer) -> Iterator[None]:
    """The vendor without faults and without recorded requests."""
    vendor.reset()
    yield
    tap.open()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, vendor: PolygonServer) -> Iterator[Served]:
    """The server that most tests of a module share; each test has its own symbols."""
    folder = tmp_path_factory.mktemp("served")
    options = ("--projects", str(ROOT / "examples"))
    with Served(folder, vendor.url, *options, environ={"BACKTEST_SERVER_RETRY_ATTEMPTS": "2"}) as running:
        yield running
    assert not [line for line in running.errors if "Traceback" in line or KEY in line]
    check_folder(folder / "data")


@pytest.fixture
def serve(tmp_path: Path, tap: Tap) -> Iterator[Callable[..., Served]]:
    """``serve(polygon_url, *options, environ=…)`` starts a server over tmp_path for one test."""
    with ExitStack() as stack:
        yield lambda *arguments, **more: stack.enter_context(Served(tmp_path, *arguments, **more))
        tap.open()
