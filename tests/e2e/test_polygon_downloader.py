"""What is on disk, as a person sees it: the calendar of days, a day's bars, and what is fetched from there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Locator

from server.lean.series import Resolution
from tests.support import faults
from tests.support.browser import Browse, Visit, expect, looks_right_everywhere
from tests.support.harness import Rig, csv_of, lean_files, sessions
from tests.support.market import Market, new_york_day
from tests.support.polygon_server import KEY, PolygonServer
from tests.support.served import Served
from tests.support.tap import Tap

ROOT = Path(__file__).parents[2]
RECORDED = json.loads((ROOT / "server/demo/aapl-daily.json").read_text("utf-8"))["bars"]
DAYS = sessions(date(2024, 1, 2), 60)
EMPTY, MISSING, DAMAGED, EARLY = DAYS[9], DAYS[21], DAYS[22], DAYS[-1]
TRADED = [day for day in DAYS if day != EMPTY]
MARKET = Market.synthetic(["MSFT"], TRADED, "minute", bars_per_day=30) | Market.of({("AAPL", "daily"): RECORDED})
LOOK = f"/coverage?symbol=MSFT&resolution=minute&start={DAYS[0]}&end={DAYS[-1]}"

pytestmark = pytest.mark.damaged_zips


@pytest.fixture(scope="module")
def tap() -> Tap:
    """Holds what the vendor is asked, where a test wants to look meanwhile."""
    return Tap()


@pytest.fixture(scope="module")
def vendor(tap: Tap) -> Iterator[PolygonServer]:
    """The vendor on this machine, with what it once answered about AAPL, and made-up minutes of MSFT."""
    with PolygonServer(MARKET, on_request=tap) as server:
        yield server


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory, vendor: PolygonServer) -> Path:
    """A folder with days of every state, each come about as it does in life."""
    root = tmp_path_factory.mktemp("stocked")
    stock(root, vendor.url)
    return root


def stock(root: Path, url: str) -> None:
    """Download all days, the last one as it was before it was settled; lose one file, and damage another."""
    with Served(root, url) as running:
        wanted = {"symbols": ["MSFT"], "resolution": "minute", "start": str(DAYS[0]), "end": str(DAYS[-2])}
        assert running.ended(running.post("/api/downloads", wanted)["url"])["state"] == "completed"
    Rig(root, url, now=datetime(EARLY.year, EARLY.month, EARLY.day, 21, 30, tzinfo=UTC)).download("MSFT", [EARLY])
    minutes = root / "data/equity/usa/minute/msft"
    (minutes / f"{MISSING:%Y%m%d}_trade.zip").unlink()
    (minutes / f"{DAMAGED:%Y%m%d}_trade.zip").write_bytes(b"PK\x03\x04 and then the disk was full")


@pytest.fixture(scope="module")
def served(stocked: Path, vendor: PolygonServer) -> Iterator[Served]:
    """The server over that folder, for tests that only look."""
    with Served(stocked, vendor.url) as running:
        yield running


@pytest.fixture
def own(stocked: Path, tmp_path: Path, vendor: PolygonServer, tap: Tap) -> Iterator[Served]:
    """A server over a copy of the folder, for tests that change it."""
    shutil.copytree(stocked / "data/equity", tmp_path / "data/equity")
    state = tmp_path / "data/.backtest-server"
    state.mkdir()
    shutil.copy(stocked / "data/.backtest-server/ledger.sqlite", state)
    vendor.reset()
    with Served(tmp_path, vendor.url, environ={"BACKTEST_SERVER_RETRY_ATTEMPTS": "1"}) as running:
        yield running
        tap.open()


def cell(visit: Visit, day: date, symbol: str = "MSFT") -> Locator:
    """The cell of a day."""
    return visit.page.locator(f'[data-testid="day-cell"][data-symbol="{symbol}"][data-day="{day}"]')


def legend(visit: Visit) -> dict[str, int]:
    """How many days are in each state."""
    words = visit.see("legend").locator("li").all_inner_texts()
    return {word: int(number.replace(",", "")) for word, number in (text.split() for text in words)}


def looked(visit: Visit, path: str = LOOK) -> Visit:
    """Open the calendar, and wait until it is filled."""
    visit.go(path)
    expect(visit.see("calendar")).to_have_attribute("aria-busy", "false")
    return visit


def figures(visit: Visit) -> dict[str, str]:
    """The figures next to a day's chart."""
    expect(visit.see("day-figures").locator("dt").first).to_be_visible()
    texts = visit.see("day-figures").locator("dt, dd").all_inner_texts()
    return dict(zip(texts[::2], texts[1::2], strict=True))


def figures_of(day: date) -> dict[str, float]:
    """What they must be, from the vendor's bars."""
    series = MARKET["MSFT", "minute"]
    rows = [place for place, at in enumerate(series.t) if new_york_day(int(at)) == day]
    first, last = rows[0], rows[-1]
    return {
        "Open": series.o[first],
        "High": max(series.h[rows]),
        "Low": min(series.l[rows]),
        "Close": series.c[last],
        "Volume": sum(series.v[rows]),
    }


# --- the calendar ---


def test_each_day_is_shown_as_the_disk_has_it(browse: Browse, served: Served) -> None:
    """Present, provisional, empty, missing, damaged; days without a session are no cells; the legend counts them."""
    visit = looked(browse(served.url))

    states = visit.see("day-cell").evaluate_all(
        "cells => Object.fromEntries(cells.map(c => [c.dataset.day, c.dataset.state]))"
    )
    special = {EMPTY: "empty", MISSING: "missing", DAMAGED: "damaged", EARLY: "provisional"}
    assert states == {day.isoformat(): special.get(day, "present") for day in DAYS}
    assert legend(visit) == {"present": 56, "provisional": 1, "empty": 1, "missing": 1, "damaged": 1}
    expect(visit.see("block-counts")).to_contain_text("56 present")
    expect(cell(visit, date(2024, 1, 15))).to_have_count(0)  # Martin Luther King's day
    expect(cell(visit, date(2024, 1, 6))).to_have_count(0)
    expect(cell(visit, DAMAGED)).to_have_attribute("aria-label", "MSFT Fri, 2 Feb 2024, damaged")
    expect(visit.see("fetch-missing")).to_have_text("Fetch 2 missing days")


def test_without_symbols_those_on_disk_are_shown(browse: Browse, served: Served) -> None:
    """What was asked for is in the address, so that a reload or a colleague sees the same."""
    visit = looked(browse(served.url), "/coverage")
    expect(visit.see("nothing")).to_be_visible()
    visit.see("resolution").select_option("minute")
    visit.see("start").fill("2024-01-01")
    visit.see("end").fill("2024-03-31")
    visit.page.keyboard.press("Enter")
    expect(visit.see("block")).to_have_count(1)
    visit.page.reload()
    expect(visit.see("block")).to_have_attribute("data-symbol", "MSFT")
    assert visit.see("start").input_value() == "2024-01-01"


def test_what_is_no_symbol_is_said_at_the_form(browse: Browse, served: Served) -> None:
    """And nothing of it becomes markup."""
    visit = browse(served.url)
    visit.allow("status 422: GET .*/api/coverage", "console error: .* status of 422")
    looked(visit)
    visit.see("symbols").fill("../<b>x</b>")
    visit.see("look").click()
    expect(visit.see("coverage-error")).to_contain_text("symbol")
    assert visit.page.locator("main b").count() == 0


# --- a day ---


def test_a_click_on_a_day_draws_its_bars(browse: Browse, served: Served) -> None:
    """Candlesticks and the day's figures, which are the vendor's; the arrows go to the sessions next to it."""
    visit = looked(browse(served.url))
    cell(visit, DAYS[3]).click()
    expect(visit.see("day-title")).to_have_text("MSFT Fri, 5 Jan 2024")
    expect(visit.see("bars").locator("canvas").first).to_be_visible()
    expect(visit.see("day-text")).to_contain_text("30 minute bars")
    expect(cell(visit, DAYS[3])).to_have_attribute("aria-selected", "true")
    for day in (DAYS[3], DAYS[4]):
        shown = figures(visit)
        for name, value in figures_of(day).items():
            assert float(shown[name].replace(",", "")) == pytest.approx(value), (day, name)
        assert (shown["First bar"], shown["Last bar"]) == ("09:30", "09:59")
        visit.see("day-after").click()
        expect(visit.see("day-title")).to_have_text(
            "MSFT Mon, 8 Jan 2024" if day == DAYS[3] else "MSFT Tue, 9 Jan 2024"
        )
    visit.see("day-before").click()
    expect(visit.see("day-title")).to_have_text("MSFT Mon, 8 Jan 2024")


def test_a_day_without_bars_says_why(browse: Browse, served: Served) -> None:
    """One sentence for each state, and no chart of another day left standing."""
    visit = looked(browse(served.url))
    for day, words in (
        (DAYS[0], "30 minute bars"),
        (EMPTY, "no bars for this day"),
        (EARLY, "fetched before the day was settled"),
        (MISSING, "not on disk"),
        (DAMAGED, "cannot be read"),
    ):
        cell(visit, day).click()
        expect(visit.see("day-text")).to_contain_text(words)
        canvas = visit.see("bars").locator("canvas").first
        expect(canvas).to_be_visible() if day in (DAYS[0], EARLY) else expect(canvas).to_have_count(0)


def test_the_calendar_by_keyboard(browse: Browse, served: Served) -> None:
    """Tab reaches one cell; arrows go by day and by week, Home and End along a weekday; Enter opens the day."""
    visit = looked(browse(served.url))
    keyboard = visit.page.keyboard
    visit.see("fetch-missing").focus()
    keyboard.press("Tab")
    expect(cell(visit, date(2024, 1, 8))).to_be_focused()
    for key, day in (
        ("ArrowUp", date(2024, 1, 5)),
        ("ArrowUp", date(2024, 1, 4)),
        ("ArrowUp", date(2024, 1, 3)),
        ("ArrowDown", date(2024, 1, 4)),
        ("ArrowRight", date(2024, 1, 11)),
        ("ArrowLeft", date(2024, 1, 4)),
        ("End", date(2024, 3, 21)),
        ("Home", date(2024, 1, 4)),
    ):
        keyboard.press(key)
        expect(cell(visit, day)).to_be_focused()
    keyboard.press("ArrowRight")
    keyboard.press("Enter")
    expect(visit.see("day-title")).to_have_text("MSFT Thu, 11 Jan 2024")
    expect(visit.see("bars").locator("canvas").first).to_be_visible()


# --- fetching ---


def test_what_is_missing_is_fetched_from_the_calendar(
    browse: Browse, own: Served, vendor: PolygonServer, tap: Tap
) -> None:
    """Missing, damaged and provisional days are asked for, and turn present while one looks; so does the open day."""
    visit = looked(browse(own.url))
    cell(visit, DAMAGED).click()
    expect(visit.see("day-text")).to_contain_text("cannot be read")
    tap.close()
    visit.see("fetch-missing").click()
    expect(visit.see("following-text")).to_contain_text("57 of 60 symbol-days")
    expect(visit.see("fetch-missing")).to_be_disabled()
    tap.open()
    expect(visit.see("following-text")).to_have_text("3 downloaded, 1 without bars, 0 failed.")
    for day in (MISSING, DAMAGED, EARLY):
        expect(cell(visit, day)).to_have_attribute("data-state", "present")
    expect(visit.see("fetch-missing")).to_be_hidden()
    assert legend(visit) == {"present": 59, "provisional": 0, "empty": 1, "missing": 0, "damaged": 0}
    expect(visit.see("bars").locator("canvas").first).to_be_visible()
    assert csv_of(own.folder / "data") == lean_files(MARKET, "MSFT", TRADED, Resolution.MINUTE)
    days = {day for request in vendor.requests if request.window for day in request.window[2:]}
    assert days <= {day.isoformat() for day in (MISSING, DAMAGED, EARLY)}

    visit.see("following-link").click()
    expect(visit.see("job-state").first).to_have_text("completed")
    expect(visit.see("totals")).to_contain_text("60 symbol-days: 56 were on disk, 3 downloaded, 1 without bars")


def test_from_nothing_to_the_chart_of_a_recorded_day(browse: Browse, own: Served, vendor: PolygonServer) -> None:
    """A symbol that is not on disk is named, its week fetched, and 3 January 2023 looks as Polygon had it."""
    visit = looked(browse(own.url), "/coverage")
    visit.see("symbols").fill("aapl")
    visit.see("start").fill("2023-01-03")
    visit.see("end").fill("2023-01-10")
    visit.see("look").click()
    expect(visit.see("fetch-missing")).to_have_text("Fetch 6 missing days")
    visit.see("fetch-missing").click()
    expect(visit.see("following-text")).to_have_text("6 downloaded, 0 without bars, 0 failed.")
    expect(visit.see("block-counts")).to_have_text("6 present")
    cell(visit, date(2023, 1, 3), "AAPL").click()
    shown = figures(visit)
    assert {name: shown[name] for name in ("Open", "High", "Low", "Close", "Volume")} == {
        "Open": "130.28",
        "High": "130.90",
        "Low": "124.17",
        "Close": "125.07",
        "Volume": "112,117,471",
    }
    assert len(vendor.requests) == 1
    assert KEY not in str([request.target for request in vendor.requests])


def test_an_outage_is_said_beside_the_calendar(browse: Browse, own: Served, tap: Tap) -> None:
    """The days stay what they are; once the vendor is back the same button fetches them."""
    visit = looked(browse(own.url))
    tap.fault = lambda request: faults.bad_gateway()
    visit.see("fetch-missing").click()
    expect(visit.see("following-text")).to_contain_text("status 502")
    expect(cell(visit, MISSING)).to_have_attribute("data-state", "missing")
    expect(visit.see("fetch-missing")).to_be_enabled()
    tap.open()
    visit.see("fetch-missing").click()
    expect(visit.see("following-text")).to_have_text("3 downloaded, 1 without bars, 0 failed.")
    expect(cell(visit, MISSING)).to_have_attribute("data-state", "present")


def test_a_fetch_is_cancelled_beside_the_calendar(browse: Browse, own: Served, tap: Tap) -> None:
    """It stops, and the button is there again."""
    visit = looked(browse(own.url))
    tap.close()
    visit.see("fetch-missing").click()
    expect(visit.see("following-text")).to_contain_text("57 of 60 symbol-days")
    visit.see("following-cancel").click()
    expect(visit.see("following-cancel")).to_be_hidden()
    expect(visit.see("fetch-missing")).to_be_enabled()
    expect(cell(visit, MISSING)).to_have_attribute("data-state", "missing")


# --- providers ---


def test_providers_say_whether_the_key_is_set_and_never_the_key(browse: Browse, served: Served) -> None:
    """Which is chosen and why, each setting with its source; the key is in no answer that the browser got."""
    visit = browse(served.url)
    visit.go("/providers")
    expect(visit.see("chosen")).to_contain_text("Missing days come from polygon, since")
    polygon = visit.page.locator('[data-testid="provider"][data-provider="polygon"]')
    expect(polygon.get_by_test_id("provider-role")).to_have_text("chosen")
    key = visit.see("settings-polygon").locator("tr").filter(has_text="api-key")
    expect(key).to_contain_text("set")
    expect(key).to_contain_text("POLYGON_API_KEY")
    expect(visit.see("settings-server").locator("tr").filter(has_text="data-folder")).to_contain_text("data")
    for path in ("/", "/coverage", "/providers", "/docs", "/openapi.json", "/api/providers", "/metrics", "/health"):
        answer = visit.page.request.get(served.url + path)
        assert KEY not in answer.text() + str(answer.headers), path


# --- accessibility ---


@pytest.mark.parametrize("page", ["calendar", "day", "nothing", "providers"])
def test_pages_are_accessible(browse: Browse, served: Served, page: str) -> None:
    """axe-core finds no serious fault, light and dark, wide and narrow; nothing has to be scrolled sideways."""
    visit = browse(served.url, bypass_csp=True)
    if page == "providers":
        visit.go("/providers")
    else:
        looked(visit, "/coverage" if page == "nothing" else LOOK)
    if page == "day":
        cell(visit, DAYS[3]).click()
        expect(visit.see("bars").locator("canvas").first).to_be_visible()
    looks_right_everywhere(visit)
