"""A real browser that visits the pages and records everything that should not happen there."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Playwright,
    Request,
    Response,
    WebError,
    expect,
)

ROOT = Path(__file__).parents[2]
AXE = ROOT / "server/web/assets/node_modules/axe-core/axe.min.js"

NAMES = ("chromium", "chromium-browser", "google-chrome")
HOW_TO_GET_ONE = "there is no browser: apt-get install chromium, or set CHROMIUM to an executable of Chromium or Chrome"

_OPTIONS = (
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

HEADERS = {
    "content-security-policy": re.compile(r"default-src 'self'; script-src 'self'; style-src 'self';(?!.*unsafe)"),
    "x-content-type-options": re.compile("^nosniff$"),
    "x-frame-options": re.compile("^DENY$"),
    "referrer-policy": re.compile("^same-origin$"),
    "cross-origin-opener-policy": re.compile("^same-origin$"),
    "cross-origin-resource-policy": re.compile("^same-origin$"),
}
"""What every answer carries."""

SHOWN_WITHIN_MS = 15_000
expect.set_options(timeout=SHOWN_WITHIN_MS)


def find_browser() -> str | None:
    """The executable that CHROMIUM names, else the first of the usual ones on PATH."""
    given = os.environ.get("CHROMIUM")
    return next(filter(None, map(shutil.which, [given] if given else NAMES)), None)


def launch(playwright: Playwright, executable: str) -> Browser:
    """Start it, without anything that talks to its maker."""
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=executable, args=[*_OPTIONS, *root])


class Visit:
    """One visitor: a browser context with one page. What is not as it should be is collected in `problems`."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.problems: list[str] = []
        self.requested: list[str] = []
        self._home = urlsplit(url).netloc
        self._allowed: list[re.Pattern[str]] = []
        self.page = context.new_page()
        context.on("console", self._console)
        context.on("weberror", self._error)
        context.on("request", self._request)
        context.on("requestfailed", self._failed)
        context.on("response", self._response)

    def allow(self, *patterns: str) -> None:
        """Problems that a test brings about on purpose."""
        self._allowed += map(re.compile, patterns)

    def go(self, path: str) -> Page:
        """Open a page by its path."""
        self.page.goto(self.url + path)
        return self.page

    def see(self, testid: str, **filters: Any) -> Locator:
        """The elements of a test id."""
        found = self.page.get_by_test_id(testid)
        return found.filter(**filters) if filters else found

    def check(self) -> None:
        """Nothing happened that should not."""
        left = [one for one in self.problems if not any(pattern.search(one) for pattern in self._allowed)]
        assert left == []

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self.problems.append(f"console {message.type}: {message.text} ({message.location.get('url')})")

    def _error(self, error: WebError) -> None:
        self.problems.append(f"exception: {error.error}")

    def _request(self, request: Request) -> None:
        address = urlsplit(request.url)
        self.requested.append(f"{request.method} {address.path}")
        if address.scheme not in ("data", "blob") and address.netloc != self._home:
            self.problems.append(f"request to elsewhere: {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page was left, or closed its stream
            self.problems.append(f"failed request: {request.method} {request.url}: {request.failure}")

    def _response(self, response: Response) -> None:
        address = f"{response.request.method} {response.url}"
        if response.status >= 400:
            self.problems.append(f"status {response.status}: {address}")
        for name, wanted in HEADERS.items():
            value = response.headers.get(name, "")
            if not wanted.search(value):
                self.problems.append(f"header {name} is {value!r}: {address}")


@contextmanager
def visiting(
    browser: Browser,
    url: str,
    *,
    width: int = 1280,
    height: int = 900,
    dark: bool = False,
    check: bool = True,
    **options: Any,
) -> Iterator[Visit]:
    """Visit a server; at the end nothing may have happened that should not."""
    scheme = "dark" if dark else "light"
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-US", **options
    )
    try:
        visit = Visit(context, url)
        yield visit
        if check:
            visit.check()
    finally:
        context.close()


def looks_right_everywhere(visit: Visit) -> None:
    """Light and dark, at 1280 and 400 pixels: no serious fault, and nothing to scroll sideways for.

    The visit must have been made with `bypass_csp`, which axe-core needs and the pages forbid.
    """
    for width in (1280, 400):
        visit.page.set_viewport_size({"width": width, "height": 900})
        for scheme in ("light", "dark"):
            visit.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert serious_faults(visit.page) == [], (width, scheme)
        assert not _scrolls_sideways(visit.page), width


def serious_faults(page: Page) -> list[str]:
    """What axe-core finds that shuts people out."""
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert found["passes"]
    return [
        f"{one['impact']} {one['id']}: {node['html'][:160]} {json.dumps(node['failureSummary'])}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def _scrolls_sideways(page: Page) -> bool:
    wide: bool = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return wide


Browse = Callable[..., Visit]
"""``browse(url, **options)`` opens a visit (see `visiting`) that ends, and is checked, with the test."""
