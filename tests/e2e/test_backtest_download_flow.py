"""A backtest in the browser, from the form to the result; cancelling, restarts, login, accessibility."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from server.lean.series import Resolution
from tests.support import faults
from tests.support.browser import Browse, expect, looks_right_everywhere
from tests.support.harness import csv_of, lean_files
from tests.support.patience import PATIENCE
from tests.support.polygon_server import PolygonServer
from tests.support.run_pages import (
    DAYS,
    MARKET,
    RECORDED,
    ROOT,
    TOKEN,
    asked,
    equity_width,
    row,
    run,
    start,
    state,
    tiles,
)
from tests.support.served import Served
from tests.support.tap import Tap

pytestmark = pytest.mark.usefixtures("restored")


# --- from the form to the result ---


def test_a_run_is_watched_from_the_form_to_the_equity_curve(
    browse: Browse, served: Served, vendor: PolygonServer, tap: Tap
) -> None:
    """Its days arrive one by one on a page that is not reloaded; at the end there are curve and statistics."""
    visit = browse(served.url)
    tap.close()
    run(visit, "spy")
    visit.page.evaluate("document.documentElement.dataset.same = 'yes'")

    state(visit, "running")
    expect(visit.see("progress-text")).to_have_text("0 of 8 symbol-days on disk; 8 to come from polygon.")
    expect(visit.see("phase-data_download")).to_have_class("now")
    expect(visit.see("phase-engine")).to_contain_text("waits")
    for done in (1, 2, 5):
        tap.let(done - int(row(visit, "SPY").get_attribute("data-done") or 0))
        expect(row(visit, "SPY")).to_have_attribute("data-done", str(done))
        expect(visit.see("progress-text")).to_contain_text(f"{done} of 8 symbol-days on disk")
        expect(visit.see("log")).to_contain_text("SPY second: 1 day downloaded, 60 bars")
    so_far = tiles(visit)
    assert (so_far["Bars written"], so_far["Requests"], so_far["Cache hits"]) == ("300", "5", "0")
    assert len(list((served.folder / "data/equity/usa/second/spy").glob("*_trade.zip"))) == 5

    tap.open()
    state(visit, "completed")
    expect(visit.see("totals")).to_contain_text("8 symbol-days: 0 were on disk, 8 downloaded")
    expect(visit.see("phase-data_download")).to_contain_text("done in")
    expect(visit.see("phase-engine")).to_contain_text("done in")
    expect(visit.see("equity").locator("canvas").first).to_be_visible()
    expect(visit.see("equity-at")).to_contain_text("2024-06-12")
    expect(visit.see("statistics")).to_contain_text("Total Return")
    expect(visit.see("failed-requests")).to_contain_text("Failed data requests: 0")
    expect(visit.see("log")).to_contain_text("the job is completed")
    assert equity_width(visit) > 0.7
    assert visit.page.evaluate("document.documentElement.dataset.same") == "yes"
    assert asked(vendor) == [day.isoformat() for day in DAYS]
    files = csv_of(served.folder / "data")
    assert lean_files(MARKET, "SPY", DAYS, Resolution.SECOND).items() <= files.items()


def test_a_project_fills_the_form_and_its_second_run_asks_for_nothing(
    browse: Browse, served: Served, vendor: PolygonServer
) -> None:
    """Symbols and days are the project's; the result is that of the recorded bars; present data is not asked for."""
    visit = browse(served.url)
    gained = RECORDED[-1]["c"] / RECORDED[0]["o"] - 1

    for requests in (1, 0):
        vendor.reset()
        visit.go("/")
        expect(visit.see("symbols")).to_have_value("AAPL")
        assert visit.see("project").input_value() == "ZacQC"
        assert visit.see("resolution").input_value() == "daily"
        assert [visit.see(name).input_value() for name in ("start", "end")] == ["2023-01-03", "2023-01-10"]
        expect(visit.see("sessions-hint")).to_have_text("6 sessions, 2023-01-03 to 2023-01-10.")
        visit.see("start-backtest").click()
        expect(visit.see("statistics")).to_contain_text(f"{gained:.3%}")
        expect(visit.see("equity").locator("canvas").first).to_be_visible()
        state(visit, "completed")
        assert len(vendor.requests) == requests

    expect(visit.see("totals")).to_contain_text("All 6 symbol-days were on disk; no request was sent.")
    expect(visit.see("facts")).to_contain_text("AAPL")


def test_the_list_of_runs_stays_true_by_itself(browse: Browse, served: Served, tap: Tap) -> None:
    """Two run, the third waits in the queue; all of them end on the list and on a page of their own."""
    visit, other = browse(served.url), browse(served.url)
    tap.close()
    for symbol in ("QQQ", "MSFT", "NVDA"):
        run(visit, symbol)
    expect(visit.see("job-state").first).to_have_text("queued")
    expect(visit.see("phase-data_download")).to_contain_text("waits")

    other.go("/")
    states = [other.see("job").nth(place).get_by_test_id("job-state") for place in range(3)]
    for cell, wanted in zip(states, ("queued", "running", "running"), strict=True):
        expect(cell).to_have_text(wanted)
    expect(other.see("job-counts")).to_contain_text("1 queued · 2 running")
    tap.open()
    for cell in states:
        expect(cell).to_have_text("completed")
    state(visit, "completed")
    expect(other.see("job-counts")).not_to_contain_text("running")
    other.see("job-link").nth(1).click()
    expect(other.see("facts")).to_contain_text("MSFT")


def test_all_of_it_by_keyboard(browse: Browse, served: Served, vendor: PolygonServer) -> None:
    """Tab to the form, Enter to start; on the run's page Tab reaches the button that runs it again."""
    visit = browse(served.url)
    keyboard = visit.page.keyboard
    visit.go("/")
    expect(visit.see("symbols")).to_have_value("AAPL")

    def tab_to(testid: str) -> None:
        for _ in range(25):
            keyboard.press("Tab")
            if visit.page.evaluate("document.activeElement.dataset.testid") == testid:
                return
        pytest.fail(f"Tab does not reach {testid}")

    keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.className") == "skip"
    keyboard.press("Enter")
    assert visit.page.evaluate("document.activeElement.id") == "main"
    tab_to("project")
    keyboard.press("ArrowUp")
    tab_to("symbols")
    keyboard.type("ibm")
    tab_to("resolution")
    keyboard.type("second")
    tab_to("start")
    keyboard.type("06032024")
    tab_to("end")
    keyboard.type("06042024")
    keyboard.press("Enter")
    state(visit, "completed")
    expect(visit.see("facts")).to_contain_text("2024-06-03 to 2024-06-04")
    tab_to("retry")
    keyboard.press("Enter")
    expect(visit.see("facts")).to_contain_text("Retry of")
    state(visit, "completed")
    assert len(vendor.requests) == 2


# --- interruptions ---


def test_a_download_is_cancelled(browse: Browse, served: Served, vendor: PolygonServer, tap: Tap) -> None:
    """While the vendor hangs; what was fetched is kept for the retry."""
    visit = browse(served.url)
    tap.close()
    run(visit, "META")
    tap.let(3)
    expect(row(visit, "META")).to_have_attribute("data-done", "3")

    clicked = time.monotonic()
    visit.see("cancel").click()
    expect(visit.see("job-state").first).to_have_text("cancelled")
    assert time.monotonic() - clicked < PATIENCE
    state(visit, "cancelled")
    expect(visit.see("error")).to_contain_text("Cancelled. What was fetched is kept; a retry downloads only the rest.")
    expect(row(visit, "META")).to_have_attribute("data-done", "3")

    tap.open()
    vendor.reset()
    start(visit, "retry")
    expect(visit.see("totals")).to_contain_text("8 symbol-days: 3 were on disk, 5 downloaded")
    state(visit, "completed")
    assert len(asked(vendor)) == 5


def test_a_reload_in_the_middle_shows_the_same(browse: Browse, served: Served, tap: Tap) -> None:
    """Progress, figures and log are complete again, also for a second user who opens it late; then both see the end."""
    visit, other = browse(served.url), browse(served.url)
    tap.close()
    run(visit, "TSLA, ORCL", DAYS[:4])
    tap.let(3)
    expect(visit.see("progress-text")).to_contain_text("3 of 8 symbol-days on disk")
    before = (tiles(visit), visit.see("symbol-progress").inner_text(), visit.see("log").inner_text())

    for again in (visit, other):
        again.page.goto(visit.page.url)
        expect(again.see("progress-text")).to_contain_text("3 of 8 symbol-days on disk")
        expect(again.see("stream-state")).to_have_text("live")
        assert (tiles(again), again.see("symbol-progress").inner_text(), again.see("log").inner_text()) == before
    tap.open()
    for again in (visit, other):
        state(again, "completed")
        expect(row(again, "TSLA")).to_have_attribute("data-done", "4")
        expect(row(again, "ORCL")).to_have_attribute("data-done", "4")


def test_the_server_dies_in_the_middle(
    browse: Browse, serve: Callable[..., Served], vendor: PolygonServer, tap: Tap
) -> None:
    """The page says that it lost the connection, finds the new server by itself, and its retry goes on from there."""
    served = serve(vendor.url)
    visit = browse(served.url)
    visit.allow(
        "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE"
    )
    tap.close()
    run(visit, "INTC")
    tap.let(3)
    expect(row(visit, "INTC")).to_have_attribute("data-done", "3")

    served.stop(signal.SIGKILL)
    expect(visit.see("stream-state")).to_have_text("connection lost, trying again")
    tap.open()
    serve(vendor.url, "--port", served.url.rpartition(":")[2])
    state(visit, "interrupted")
    expect(visit.see("error")).to_contain_text("The server stopped while this ran")
    expect(row(visit, "INTC")).to_have_attribute("data-done", "3")

    vendor.reset()
    start(visit, "retry")
    expect(visit.see("totals")).to_contain_text("8 symbol-days: 3 were on disk, 5 downloaded")
    state(visit, "completed")
    assert len(asked(vendor)) == 5


# --- login ---


def test_a_token_opens_the_pages(browse: Browse, serve: Callable[..., Served], vendor: PolygonServer) -> None:
    """Every page leads to the login; the token is changed for a cookie that no script can read."""
    served = serve(vendor.url, "--projects", str(ROOT / "examples"), environ={"BACKTEST_SERVER_TOKEN": TOKEN})
    visit = browse(served.url)
    visit.allow("status 401: POST .*/login", "console error: .* status of 401 .*/login")
    for path in ("/", "/coverage", "/performance", "/engines", "/providers", "/backtests/0123456789ab", "/docs"):
        visit.go(path)
        assert visit.page.url == f"{served.url}/login"
        assert "ZacQC" not in visit.page.content()

    visit.see("token").fill("not-the-token")
    visit.see("sign-in").click()
    expect(visit.see("login-error")).to_have_text("That is not the token.")
    assert visit.page.context.cookies() == []

    visit.see("token").fill(TOKEN)
    visit.page.keyboard.press("Enter")
    expect(visit.see("symbols")).to_have_value("AAPL")
    (cookie,) = visit.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    assert TOKEN not in cookie["value"]
    assert visit.page.evaluate("document.cookie") == ""

    start(visit)
    state(visit, "completed")
    visit.page.get_by_test_id("nav-providers").click()
    expect(visit.see("chosen")).to_be_visible()
    assert TOKEN not in visit.page.content()

    stranger = browse(served.url)
    stranger.go(visit.page.url.removeprefix(served.url))
    assert stranger.page.url == f"{served.url}/login"


# --- accessibility ---


@pytest.fixture(scope="module")
def shown(served: Served, vendor: PolygonServer, tap: Tap) -> SimpleNamespace:
    """A run that completed and one that failed."""
    whole = {"symbols": ["SPY"], "resolution": "second", "start": "2024-06-03", "end": "2024-06-05"}
    tap.open()
    completed = served.ended(served.post("/api/backtests", whole)["url"])["id"]
    tap.fault = lambda request: faults.bad_gateway()
    other = {"symbols": ["ZZZ"], "resolution": "daily", "start": "2023-01-03", "end": "2023-01-10"}
    failed = served.ended(served.post("/api/backtests", other)["url"])["id"]
    tap.open()
    return SimpleNamespace(completed=f"/backtests/{completed}", failed=f"/backtests/{failed}")


@pytest.mark.parametrize(
    "page", ["list", "completed", "failed", "running", "empty", "engines", "login", "docs", "missing"]
)
def test_pages_are_accessible(
    browse: Browse, served: Served, shown: SimpleNamespace, tap: Tap, serve: Callable[..., Served], page: str
) -> None:
    """axe-core finds no serious fault, light and dark, wide and narrow; nothing has to be scrolled sideways."""
    paths = {"completed": shown.completed, "failed": shown.failed}
    paths |= {"docs": "/docs", "engines": "/engines", "missing": "/nowhere"}
    path = paths.get(page, "/")
    if page in ("empty", "login"):
        environ = {"BACKTEST_SERVER_TOKEN": TOKEN} if page == "login" else {}
        served = serve("http://127.0.0.1:9", environ=environ)
    visit = browse(served.url, bypass_csp=True)
    visit.allow("status 404", "status of 404")
    if page == "running":
        tap.close()
        run(visit, "BA")
        tap.let(2)
        expect(row(visit, "BA")).to_have_attribute("data-done", "2")
    else:
        visit.go(path)
    if page == "completed":
        expect(visit.see("equity").locator("canvas").first).to_be_visible()
    looks_right_everywhere(visit)
