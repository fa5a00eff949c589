"""Takes the pictures of the server's pages, in a real browser from a real server.

    LEAN_SAMPLE_DATA=... .venv/bin/python docs/images/make_server_pictures.py

LEAN_SAMPLE_DATA is the folder Data of LEAN's public repository: the backtest's daily bars are from there, as they were
traded. The minutes of the calendar are made up. A vendor on this machine serves both. Nothing is touched up but the
name of the temporary folder.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.support import faults  # noqa: E402
from tests.support.browser import HOW_TO_GET_ONE, Visit, expect, find_browser, launch, visiting  # noqa: E402
from tests.support.harness import Rig, calendar  # noqa: E402
from tests.support.market import Market  # noqa: E402
from tests.support.polygon_server import PolygonServer  # noqa: E402
from tests.support.served import Served  # noqa: E402
from tests.support.tap import Tap  # noqa: E402

HERE = Path(__file__).parent
WIDTH, HEIGHT = 1280, 820

DAILY = {"symbols": ["AAPL", "BAC", "SPY"], "resolution": "daily", "start": "2014-07-01", "end": "2020-07-31"}
YEAR = (date(2024, 1, 1), date(2024, 12, 31))
LISTED = date(2024, 3, 21)  # RDDT: no bars before
LOST = (date(2024, 8, 12), date(2024, 8, 23))
DAMAGED = (date(2024, 5, 14), date(2024, 10, 3))
EARLY = (date(2024, 12, 30), date(2024, 12, 31))
LOOKED_AT = date(2024, 10, 9)


def main() -> None:
    """Take all pictures."""
    sample, chromium = os.environ.get("LEAN_SAMPLE_DATA"), find_browser()
    if not sample:
        sys.exit("set LEAN_SAMPLE_DATA to the folder Data of LEAN's public repository")
    if not chromium:
        sys.exit(HOW_TO_GET_ONE)
    days = calendar().trading_days(*YEAR)
    market = (
        Market.from_lean_folder(Path(sample), *DAILY["symbols"], resolutions=["daily"])
        | Market.synthetic(["SPY"], days, "minute", seed=4)
        | Market.synthetic(["RDDT"], [day for day in days if day >= LISTED], "minute", seed=1)
        | Market.synthetic(["QQQ", "NVDA"], days[:60], "second", bars_per_day=300)
    )
    tap = Tap()
    with (
        tempfile.TemporaryDirectory() as folder,
        PolygonServer(market, on_request=tap) as vendor,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright, chromium)
        options = ("--projects", str(ROOT / "examples"))
        environ = {"BACKTEST_SERVER_RETRY_ATTEMPTS": "1"}
        with Served(Path(folder), vendor.url, *options, environ=environ) as served:
            a_backtest(browser, served)
            year = {"symbols": ["RDDT", "SPY"], "resolution": "minute", "start": "2024-01-02", "end": "2024-12-27"}
            done(served, "downloads", **year)
        age(Path(folder), vendor.url)
        with Served(Path(folder), vendor.url, *options, environ=environ) as served:
            the_calendar(browser, served, folder)
            some_history(served, tap)
            the_list(browser, served)
            tap.open()
        browser.close()


def done(served: Served, kind: str, **asked: object) -> str:
    """Start a job and wait for its end; returns its state."""
    state: str = served.ended(served.post(f"/api/{kind}", asked)["url"], 120)["state"]
    return state


def age(folder: Path, url: str) -> None:
    """What time does to a folder: days fetched too early, files lost, files damaged."""
    for day in EARLY:
        evening = datetime(day.year, day.month, day.day, 22, 30, tzinfo=UTC)
        Rig(folder, url, now=evening).download(["RDDT", "SPY"], [day])
    for day in calendar().trading_days(*LOST):
        (folder / f"data/equity/usa/minute/spy/{day:%Y%m%d}_trade.zip").unlink()
    for day in DAMAGED:
        (folder / f"data/equity/usa/minute/rddt/{day:%Y%m%d}_trade.zip").write_bytes(b"PK\x03\x04")


def a_backtest(browser: Browser, served: Served) -> None:
    """The page of one that completed."""
    with visit(browser, served, dark=True) as page:
        page.go("/")
        expect(page.see("project-hint")).not_to_be_empty()
        page.see("project").select_option("")
        page.see("symbols").fill(", ".join(DAILY["symbols"]))
        page.see("resolution").select_option(str(DAILY["resolution"]))
        page.see("start").fill(str(DAILY["start"]))
        page.see("end").fill(str(DAILY["end"]))
        page.see("start-backtest").click()
        expect(page.see("equity").locator("canvas").first).to_be_visible()
        expect(page.see("log")).to_contain_text("the job is completed")
        take(page, "server-backtest")


def the_calendar(browser: Browser, served: Served, folder: str) -> None:
    """Take the coverage page: a year, and the bars of a day."""
    with visit(browser, served, dark=True) as page:
        page.go("/coverage?symbol=RDDT&symbol=SPY&resolution=minute&start=2024-01-01&end=2024-12-31")
        page.page.locator(f'[data-testid="day-cell"][data-symbol="SPY"][data-day="{LOOKED_AT}"]').click()
        expect(page.see("bars").locator("canvas").first).to_be_visible()
        notices = page.see("notices").locator("li")
        notices.evaluate_all(
            "(all, folder) => all.forEach(e => e.innerText = e.innerText.replace(folder, '~'))", folder
        )
        take(page, "server-coverage")


def some_history(served: Served, tap: Tap) -> None:
    """Runs that ended in every way there is, two that run, and one that waits."""
    done(served, "backtests", project="ZacQC", symbols=["SPY"], start="2019-01-02", end="2019-12-31")
    seconds = {"resolution": "second", "start": "2024-01-02", "end": "2024-01-31"}
    tap.fault = lambda request: faults.bad_gateway()
    done(served, "backtests", symbols=["NVDA"], **seconds)
    tap.open()
    tap.close()
    path = served.post("/api/backtests", {"symbols": ["QQQ"], **seconds})["url"]
    tap.let(4)
    served.delete(path)
    tap.open()
    done(served, "backtests", symbols=["QQQ"], **seconds)
    tap.close()
    for symbols in (["NVDA"], ["NVDA", "QQQ"], ["AAPL", "NVDA", "QQQ"]):
        served.post("/api/backtests", {"symbols": symbols, **seconds, "end": "2024-02-29"})
    tap.let(9)


def the_list(browser: Browser, served: Served) -> None:
    """The form, and all runs."""
    with visit(browser, served) as page:
        page.go("/")
        expect(page.see("symbols")).to_have_value("AAPL")
        expect(page.see("sessions-hint")).not_to_be_empty()
        expect(page.see("job-counts")).to_contain_text("2 running")
        threading.Event().wait(2)  # so that it has run for a while
        take(page, "server-backtests")


@contextmanager
def visit(browser: Browser, served: Served, *, dark: bool = False) -> Iterator[Visit]:
    """A visitor who is used to UTC."""
    with visiting(
        browser, served.url, width=WIDTH, height=HEIGHT, dark=dark, timezone_id="UTC", reduced_motion="reduce"
    ) as found:
        yield found


def take(visit: Visit, name: str) -> None:
    """Take the whole page's picture, with the pointer elsewhere."""
    visit.page.mouse.move(0, 0)
    visit.page.evaluate("document.fonts.ready.then(() => document.activeElement.blur())")
    visit.page.screenshot(path=HERE / f"{name}.png", full_page=True)
    print(f"{name}.png, {(HERE / f'{name}.png').stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
