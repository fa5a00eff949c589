"""A backtest in the browser when the vendor, the budget of requests or the input stops it."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.support import fake_lean, fake_lean_backtest, faults
from tests.support.browser import Browse, expect
from tests.support.engine_programs import write_reference
from tests.support.faults import Fault
from tests.support.patience import PATIENCE
from tests.support.polygon_server import KEY, PolygonServer, Request
from tests.support.run_pages import (
    DAYS,
    ROOT,
    asked,
    fill,
    row,
    run,
    start,
    state,
)
from tests.support.served import Served
from tests.support.tap import Tap

pytestmark = pytest.mark.usefixtures("restored")

TOKYO = ZoneInfo("Asia/Tokyo")


# --- outages and waits ---


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
    expect(error).to_contain_text("What was fetched is kept; a retry downloads only the rest.")
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
        "The fallback lean-cli was used for days that polygon could not deliver."
    )
    expect(visit.see("notices")).to_contain_text("6 symbol-days go to the fallback lean-cli")
    expect(visit.see("notices")).to_contain_text("status 502")
    expect(row(visit, "AAPL")).to_contain_text("polygon, then lean-cli")
    expect(visit.see("statistics")).to_contain_text("Sharpe Ratio")
    expect(visit.see("equity").locator("canvas").first).to_be_visible()
    assert sum("AAPL" in call["argv"] for call in lean.calls) == 1  # the others are for the benchmark

    lean.behave("docker")
    visit.go("/")
    expect(visit.see("symbols")).to_have_value("AAPL")
    visit.see("symbols").fill("MSFT")
    start(visit)
    state(visit, "failed")
    expect(visit.see("error")).to_contain_text("Docker")
    expect(visit.see("fallback")).to_contain_text(
        "The fallback lean-cli was used, too: 6 of 6 symbol-days are still missing"
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
    """A `lean` that downloads and backtests, a `docker` that runs, a lean.json, and the example project next to it."""
    lean = fake_lean.install(folder / "bin")
    lean.executable.rename(lean.executable.with_name("lean-data"))
    source = Path(fake_lean_backtest.__file__)
    lean.executable.write_text(
        f'#!/bin/sh\nif [ "$1" = backtest ]; then exec {sys.executable} {source} "$@"; fi\n'
        f'exec {lean.executable.with_name("lean-data")} "$@"\n'
    )
    docker = lean.executable.with_name("docker")
    docker.write_text('#!/bin/sh\n[ "$1" != image ]\n')  # without LEAN's image, which LEAN's CLI fetches itself
    for program in (lean.executable, docker):
        program.chmod(0o755)
    (folder / "lean.json").write_text('{"data-folder": "data", "organization-id": "0123456789"}')
    write_reference(folder / "data")
    shutil.copytree(ROOT / "examples/ZacQC", folder / "ZacQC")
    return lean


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


# --- invalid input ---


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
