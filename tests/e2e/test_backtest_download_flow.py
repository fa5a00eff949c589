"""A backtest as a person at a browser has it: from the form to the result, and everything that gets in the way."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Locator

from server.data_download.verify import check_folder
from server.lean.series import Resolution
from tests.support import fake_lean, fake_lean_backtest, faults
from tests.support.browser import Browse, Visit, expect, looks_right_everywhere
from tests.support.faults import Fault
from tests.support.harness import csv_of, lean_files
from tests.support.market import Market
from tests.support.patience import PATIENCE
from tests.support.polygon_server import KEY, PolygonServer, Request
from tests.support.served import Served
from tests.support.tap import Tap

ROOT = Path(__file__).parents[2]
RECORDED = json.loads((ROOT / "server/demo/aapl-daily.json").read_text("utf-8"))["bars"]
DAYS = [date(2024, 6, day) for day in (3, 4, 5, 6, 7, 10, 11, 12)]
BY_SECONDS = ("SPY", "QQQ", "MSFT", "NVDA", "AMZN", "META", "TSLA", "ORCL", "INTC", "IBM", "GE", "BA")
MARKET = (
    Market.synthetic(BY_SECONDS, DAYS, "second", bars_per_day=60)
    | Market.synthetic(["F"], [DAYS[0], DAYS[2]], "second", bars_per_day=60)
    | Market.of({("AAPL", "daily"): RECORDED})
)

TOKYO = ZoneInfo("Asia/Tokyo")
TOKEN = "a-token-for-tests"


@pytest.fixture(scope="module")
def tap() -> Tap:
    """Holds what the vendor is asked, where a test wants to look meanwhile."""
    return Tap()


@pytest.fixture(scope="module")
def vendor(tap: Tap) -> Iterator[PolygonServer]:
    """The vendor on this machine, with what it once answered about AAPL, and made-up seconds."""
    with PolygonServer(MARKET, on_request=tap) as server:
        yield server


@pytest.fixture(autouse=True)
def _good_again(tap: Tap, vendor: PolygonServer) -> Iterator[None]:
    vendor.reset()
    yield
    tap.open()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, vendor: PolygonServer) -> Iterator[Served]:
    """The server that most tests share; each has symbols of its own."""
    folder = tmp_path_factory.mktemp("served")
    options = ("--projects", str(ROOT / "examples"))
    with Served(folder, vendor.url, *options, environ={"BACKTEST_SERVER_RETRY_ATTEMPTS": "2"}) as running:
        yield running
    assert not [line for line in running.errors if "Traceback" in line or KEY in line]
    check_folder(folder / "data")


@pytest.fixture
def serve(tmp_path: Path, tap: Tap) -> Iterator[Callable[..., Served]]:
    """``serve(polygon_url, *options, environ=…)`` gives a server of the test's own over tmp_path."""
    with ExitStack() as stack:
        yield lambda *arguments, **more: stack.enter_context(Served(tmp_path, *arguments, **more))
        tap.open()


def fill(visit: Visit, symbols: str, days: list[date] | None = None, resolution: str = "second") -> None:
    """Open the list of runs and fill the form in, without a project."""
    days = DAYS if days is None else days
    visit.go("/")
    expect(visit.see("project-hint")).not_to_be_empty()
    visit.see("project").select_option("")
    visit.see("symbols").fill(symbols)
    visit.see("resolution").select_option(resolution)
    visit.see("start").fill(days[0].isoformat())
    visit.see("end").fill(days[-1].isoformat())


def run(visit: Visit, symbols: str, days: list[date] | None = None, resolution: str = "second") -> None:
    """Start a backtest by the form, and wait for its page."""
    fill(visit, symbols, days, resolution)
    start(visit)


def start(visit: Visit, button: str = "start-backtest") -> None:
    """Press the button that starts a run, and come to the page of that run."""
    before = visit.page.url
    visit.see(button).click()
    visit.page.wait_for_url(lambda url: url != before and "/backtests/" in url)


def state(visit: Visit, wanted: str) -> None:
    """The page of a run comes to say this state, in words and in its title, without a reload."""
    expect(visit.see("job-state").first).to_have_text(wanted)
    expect(visit.page).to_have_title(re.compile(f", {wanted} "))


def row(visit: Visit, symbol: str) -> Locator:
    """The line of a symbol's progress."""
    return visit.page.locator(f'[data-testid="symbol-row"][data-symbol="{symbol}"]')


def tiles(visit: Visit, testid: str = "tiles") -> dict[str, str]:
    """The figures of a run as it goes, by their names."""
    texts = visit.see(testid).locator("dt, dd").all_inner_texts()
    return dict(zip(texts[::2], texts[1::2], strict=True))


def asked(vendor: PolygonServer) -> list[str]:
    """The days that the vendor was asked for, where it is asked for one at a time."""
    return sorted(request.window[2] for request in vendor.requests if request.window)


def equity_width(visit: Visit) -> float:
    """How much of the chart's width the equity curve takes."""
    return float(
        visit.see("equity")
        .locator("canvas")
        .first.evaluate(
            """canvas => {
                const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                let first = width, last = 0;
                for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) {
                    const [r, g, b, a] = data.slice((y * width + x) * 4, (y * width + x) * 4 + 4);
                    if (a > 200 && Math.max(r, g, b) - Math.min(r, g, b) > 60) {
                        first = Math.min(first, x);
                        last = Math.max(last, x);
                    }
                }
                return (last - first) / width;
            }"""
        )
    )


# --- from the form to the result ---


def test_a_run_is_watched_from_the_form_to_the_equity_curve(
    browse: Browse, served: Served, vendor: PolygonServer, tap: Tap
) -> None:
    """Its days arrive one by one on a page that nobody reloads; at the end there are curve and statistics."""
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

    expect(visit.see("totals")).to_contain_text("All 6 symbol-days were on disk; nothing was asked for.")
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


# --- what gets in the way ---


def test_an_outage_says_what_to_do_and_the_retry_fetches_the_rest(
    browse: Browse, served: Served, vendor: PolygonServer, tap: Tap
) -> None:
    """Without a fallback the run fails with one sentence; what came is kept, so that the retry asks for the rest."""

    def half_down(request: Request) -> Fault | None:
        return faults.bad_gateway() if request.window and request.window[2] > "2024-06-06" else None

    visit = browse(served.url)
    tap.fault = half_down
    run(visit, "AMZN")
    state(visit, "failed")
    error = visit.see("error")
    expect(error).to_contain_text("4 of 8 symbol-days could not be had, so the backtest was not run")
    expect(error).to_contain_text("status 502")
    expect(error).to_contain_text("What was fetched is kept; a retry asks only for the rest.")
    expect(visit.see("fallback")).to_have_count(0)
    expect(visit.see("phase-engine")).to_contain_text("not reached")
    expect(visit.see("failures")).to_contain_text("2024-06-07 to 2024-06-12, 4 days")
    assert "AMZN" in visit.see("failures").inner_text()

    tap.open()
    vendor.reset()
    failed = visit.page.url
    start(visit, "retry")
    state(visit, "completed")
    expect(visit.see("facts").get_by_role("link")).to_have_text(failed.rpartition("/")[2])
    expect(visit.see("totals")).to_contain_text("8 symbol-days: 4 were on disk, 4 downloaded")
    assert asked(vendor) == [day.isoformat() for day in DAYS[4:]]

    visit.go("/")
    job = visit.see("job").filter(has=visit.page.get_by_text("failed", exact=True)).first
    expect(job).to_contain_text("could not be had")


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for lean is a script")
def test_an_outage_with_a_fallback(
    browse: Browse,
    serve: Callable[..., Served],
    vendor: PolygonServer,
    tap: Tap,
    tmp_path: Path,
) -> None:
    """`lean data download` brings the days, LEAN runs over them, and the page says so; when it fails, too, that.

    Once the vendor is back the fallback is not asked; a file that LEAN did not find is named.
    """
    lean = install_lean(tmp_path)
    tap.fault = lambda request: faults.bad_gateway()
    served = serve(
        vendor.url,
        environ={
            "PATH": lean.path,
            "FAKE_LEAN": "ok",
            "FAKE_LEAN_SEEN": str(tmp_path / "seen.json"),
            "BACKTEST_SERVER_RETRY_ATTEMPTS": "1",
            "BACKTEST_SERVER_FALLBACK_DATA_PROVIDER": "lean-cli",
            "BACKTEST_SERVER_ENGINE": "lean",
        },
    )
    visit = browse(served.url)

    visit.go("/")
    expect(visit.see("symbols")).to_have_value("AAPL")
    start(visit)
    state(visit, "completed")
    expect(visit.see("fallback-note")).to_have_text(
        "The fallback lean-cli was asked for days that polygon could not get."
    )
    expect(visit.see("notices")).to_contain_text("6 symbol-days go to the fallback lean-cli")
    expect(visit.see("notices")).to_contain_text("status 502")
    expect(row(visit, "AAPL")).to_contain_text("polygon, then lean-cli")
    expect(visit.see("statistics")).to_contain_text("Sharpe Ratio")
    expect(visit.see("equity").locator("canvas").first).to_be_visible()
    assert len(lean.calls) == 1

    lean.behave("docker")
    visit.go("/")
    expect(visit.see("symbols")).to_have_value("AAPL")
    visit.see("symbols").fill("MSFT")
    start(visit)
    state(visit, "failed")
    expect(visit.see("error")).to_contain_text("Docker")
    expect(visit.see("fallback")).to_contain_text(
        "The fallback lean-cli was asked, too: 6 of 6 symbol-days are still missing"
    )
    assert KEY not in visit.page.content()

    tap.open()
    visit.go("/")
    expect(visit.see("symbols")).to_have_value("AAPL")
    visit.see("symbols").fill("F")
    visit.see("resolution").select_option("second")
    visit.see("start").fill("2024-06-03")
    visit.see("end").fill("2024-06-05")
    start(visit)
    state(visit, "completed")
    expect(visit.see("totals")).to_contain_text("2 downloaded, 1 without bars")
    expect(visit.see("failed-requests")).to_contain_text("Failed data requests: 1")
    expect(visit.see("failed-requests")).to_contain_text("equity/usa/second/f/20240604_trade.zip")


def install_lean(folder: Path) -> fake_lean.FakeLean:
    """A `lean` that downloads and backtests, a `docker` that runs, a lean.json, the example project beside it."""
    lean = fake_lean.install(folder / "bin")
    lean.executable.rename(lean.executable.with_name("lean-data"))
    source = Path(fake_lean_backtest.__file__)
    lean.executable.write_text(
        f'#!/bin/sh\nif [ "$1" = backtest ]; then exec {sys.executable} {source} "$@"; fi\n'
        f'exec {lean.executable.with_name("lean-data")} "$@"\n'
    )
    docker = lean.executable.with_name("docker")
    docker.write_text("#!/bin/sh\nexit 0\n")
    for program in (lean.executable, docker):
        program.chmod(0o755)
    (folder / "lean.json").write_text('{"data-folder": "data", "organization-id": "0123456789"}')
    shutil.copytree(ROOT / "examples/ZacQC", folder / "ZacQC")
    return lean


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
    expect(visit.see("error")).to_contain_text("Cancelled. What was fetched is kept; a retry asks only for the rest.")
    expect(row(visit, "META")).to_have_attribute("data-done", "3")

    tap.open()
    vendor.reset()
    start(visit, "retry")
    expect(visit.see("totals")).to_contain_text("8 symbol-days: 3 were on disk, 5 downloaded")
    state(visit, "completed")
    assert len(asked(vendor)) == 5


def test_a_reload_in_the_middle_shows_the_same(browse: Browse, served: Served, tap: Tap) -> None:
    """Progress, figures and log are complete again, also for somebody who comes only now; then both see the end."""
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


def in_tokyo(text: str, word: str) -> float:
    """Seconds from now to the time of day that a sentence says, on the clocks of a reader in Tokyo."""
    found = re.search(rf"{word} at (\d\d):(\d\d):(\d\d), in (?:\d+ min )?\d+ s", text)
    assert found, text
    now = datetime.now(TOKYO)
    hour, minute, second = map(int, found.groups())
    then = now.replace(hour=hour, minute=minute, second=second, microsecond=0)
    return min(((then + timedelta(days=days) - now).total_seconds() for days in (-1, 0, 1)), key=abs)


def test_a_vendor_that_says_too_many_is_waited_for(browse: Browse, served: Served, vendor: PolygonServer) -> None:
    """The page says why it waits and when it goes on, on the reader's clock; then it goes on."""
    visit = browse(served.url, timezone_id="Asia/Tokyo")
    vendor.faults.append(faults.too_many_requests(retry_after=4))
    run(visit, "GE", DAYS[:1])
    expect(visit.see("wait")).to_contain_text("tries again at")
    text = visit.see("wait").inner_text()
    assert "429" in text or "too many" in text.lower(), text
    assert -1 <= in_tokyo(text, "tries again") <= 4
    state(visit, "completed")
    expect(visit.see("wait")).to_be_hidden()
    expect(visit.see("totals")).to_contain_text("1 downloaded")


def test_a_budget_of_requests_is_waited_for(
    browse: Browse, serve: Callable[..., Served], vendor: PolygonServer
) -> None:
    """With one request a minute the page says after the first when it goes on; it can be cancelled meanwhile."""
    served = serve(vendor.url, environ={"BACKTEST_SERVER_REQUESTS_PER_MINUTE": "1"})
    visit = browse(served.url, timezone_id="Asia/Tokyo")
    run(visit, "BA", DAYS[:2])
    expect(visit.see("wait")).to_contain_text("The request budget is used up: goes on at")
    assert 40 <= in_tokyo(visit.see("wait").inner_text(), "goes on") <= 61
    expect(row(visit, "BA")).to_have_attribute("data-done", "1")
    clicked = time.monotonic()
    visit.see("cancel").click()
    expect(visit.see("job-state").first).to_have_text("cancelled")
    assert time.monotonic() - clicked < PATIENCE
    expect(visit.see("wait")).to_be_hidden()


@pytest.mark.parametrize(
    "symbols", ["../../etc/passwd", "<img src=x onerror=document.title='owned'>", "SPY'; DROP TABLE jobs", "A" * 40]
)
def test_what_is_no_symbol_is_refused_at_the_form(browse: Browse, served: Served, symbols: str) -> None:
    """With what is wrong about it; nothing of it becomes markup, and nothing is started."""
    visit = browse(served.url)
    visit.allow("status 422: POST .*/api/backtests", "console error: .* status of 422")
    before = served.get("/api/backtests")["total"]
    fill(visit, symbols)
    visit.see("start-backtest").click()
    expect(visit.see("form-error")).to_be_visible()
    expect(visit.see("form-error")).to_contain_text("symbol")
    assert visit.page.locator("main img").count() == 0
    assert visit.page.title().startswith("Backtests")
    assert served.get("/api/backtests")["total"] == before
    visit.see("symbols").fill("SPY")
    expect(visit.see("form-error")).to_be_hidden()
    expect(visit.see("start-backtest")).to_be_enabled()


def test_days_that_cannot_be_are_refused_at_the_form(browse: Browse, served: Served) -> None:
    """The end before the start, days to come, no symbol at all; a weekend is pointed out."""
    visit = browse(served.url)
    page = visit.page
    started = "POST /api/backtests"

    fill(visit, "SPY", [date(2024, 6, 5), date(2024, 6, 4)])
    visit.see("start-backtest").click()
    expect(visit.see("form-error")).to_have_text("The last day lies before the first.")
    assert page.evaluate("document.activeElement.dataset.testid") == "end"

    fill(visit, "SPY", [date(2024, 6, 5), date.today() + timedelta(days=400)])
    visit.see("start-backtest").click()
    assert page.evaluate("document.activeElement.dataset.testid") == "end"
    assert visit.see("end").evaluate("field => field.validity.rangeOverflow && field.validationMessage.length > 0")

    fill(visit, " , ")
    visit.see("start-backtest").click()
    expect(visit.see("form-error")).to_have_text("Name at least one symbol, or pick a project.")

    fill(visit, "SPY", [date(2024, 6, 8), date(2024, 6, 9)])
    expect(visit.see("sessions-hint")).to_contain_text("No session")
    assert started not in visit.requested


def test_a_page_that_is_not_there(browse: Browse, served: Served) -> None:
    """It says so on a page of its own, for an unknown run and for any other path."""
    visit = browse(served.url)
    visit.allow("status 404", "status of 404")
    visit.go("/backtests/0123456789ab")
    expect(visit.see("page-error")).to_contain_text("There is no such backtest.")
    visit.go("/nowhere")
    expect(visit.see("page-error")).to_have_text("There is no such page.")


# --- who may come in ---


def test_a_token_opens_the_pages(browse: Browse, serve: Callable[..., Served], vendor: PolygonServer) -> None:
    """Every page leads to the login; the token is changed for a cookie that no script can read."""
    served = serve(vendor.url, "--projects", str(ROOT / "examples"), environ={"BACKTEST_SERVER_TOKEN": TOKEN})
    visit = browse(served.url)
    visit.allow("status 401: POST .*/login", "console error: .* status of 401 .*/login")
    for path in ("/", "/coverage", "/performance", "/providers", "/backtests/0123456789ab", "/docs"):
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


# --- for everybody ---


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


@pytest.mark.parametrize("page", ["list", "completed", "failed", "running", "empty", "login", "docs", "missing"])
def test_nobody_is_shut_out(
    browse: Browse, served: Served, shown: SimpleNamespace, tap: Tap, serve: Callable[..., Served], page: str
) -> None:
    """axe-core finds no serious fault, light and dark, wide and narrow; nothing has to be scrolled sideways."""
    path = {"completed": shown.completed, "failed": shown.failed, "docs": "/docs", "missing": "/nowhere"}.get(page, "/")
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
