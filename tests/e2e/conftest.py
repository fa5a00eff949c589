"""One browser for all tests; each visit starts with nothing kept and must end with nothing wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support.browser import HOW_TO_GET_ONE, Browse, Visit, find_browser, launch, visiting


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium. Where there is none, tests are skipped, or on the build server fail."""
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
