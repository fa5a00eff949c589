"""Splits, dividends and renames on the coverage page, as a person sees them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import Locator

from server.lean.series import Resolution
from tests.support.browser import Browse, Visit, expect, looks_right_everywhere
from tests.support.harness import Rig, sessions
from tests.support.market import Market, clock
from tests.support.polygon_server import PolygonServer
from tests.support.served import Served

DAYS = sessions(date(2024, 1, 2), 40)
SPLIT, PAID, FALL = DAYS[20], DAYS[30], DAYS[25]


def bars_at(prices: Mapping[date, float]) -> list[dict[str, float]]:
    """A daily bar of one price for each day."""
    return [
        {"t": clock(day), "o": price, "h": price, "l": price, "c": price, "v": 100} for day, price in prices.items()
    ]


MARKET = Market.of(
    {
        ("ACME", "daily"): bars_at({day: 164 if day < SPLIT else 41 for day in DAYS}),
        ("PLAIN", "daily"): bars_at({day: 100 if day < FALL else 50 for day in DAYS}),
    }
) | Market.synthetic(["ACME"], DAYS[-5:], "minute", bars_per_day=20)
PERIOD = f"&start={DAYS[0]}&end={DAYS[-1]}"
LOOK = f"/coverage?symbol=ACME,PLAIN&resolution=daily{PERIOD}"
FACTORS = f"20200102,0.931,0.25,1\n{DAYS[19]:%Y%m%d},0.931,0.25,164\n{DAYS[29]:%Y%m%d},0.98,1,41\n20501231,1,1,0\n"
"""Before SPLIT 4:1, and 5 % of the close of 164 dollars; before PAID 2 % of the close of 41, which is 82 cents."""
TICKERS = f"20200102,oldco,Q\n{DAYS[9]:%Y%m%d},oldco,Q\n20501231,acme,Q\n"


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two symbols' daily bars, some minutes, and one symbol's factor and map file."""
    root = tmp_path_factory.mktemp("stocked")
    with PolygonServer(MARKET) as vendor:
        rig = Rig(root, vendor.url)
        for symbol in ("ACME", "PLAIN"):
            rig.download(symbol, DAYS, Resolution.DAILY)
        rig.download("ACME", DAYS[-5:], Resolution.MINUTE)
    put(root, "factor", FACTORS)
    put(root, "map", TICKERS)
    return root


@pytest.fixture(scope="module")
def served(stocked: Path) -> Iterator[Served]:
    """The server over that folder; nothing is fetched."""
    with Served(stocked, "http://127.0.0.1:9") as running:
        yield running


@pytest.fixture
def own(stocked: Path, tmp_path: Path) -> Iterator[Served]:
    """A server over a copy of the bars alone."""
    shutil.copytree(stocked / "data/equity/usa/daily", tmp_path / "data/equity/usa/daily")
    with Served(tmp_path, "http://127.0.0.1:9") as running:
        yield running


def put(root: Path, kind: str, text: str, symbol: str = "acme") -> None:
    path = root / f"data/equity/usa/{kind}_files/{symbol}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def looked(visit: Visit, path: str = LOOK) -> Visit:
    """Open the calendar, and wait until it is filled."""
    visit.go(path)
    expect(visit.see("calendar")).to_have_attribute("aria-busy", "false")
    return visit


def cell(visit: Visit, day: date, symbol: str = "ACME") -> Locator:
    """The cell of a day."""
    return visit.page.locator(f'[data-testid="day-cell"][data-symbol="{symbol}"][data-day="{day}"]')


def block(visit: Visit, symbol: str) -> Locator:
    """The block of a symbol."""
    return visit.page.locator(f'[data-testid="block"][data-symbol="{symbol}"]')


def test_splits_and_dividends_are_marked_and_listed(browse: Browse, served: Served) -> None:
    """On their ex-dates, by a mark that is said in words, too; each symbol's files in a sentence below it."""
    visit = looked(browse(served.url))

    marked = visit.page.locator("td.day[data-event]").evaluate_all(
        "cells => cells.map(c => [c.dataset.symbol, c.dataset.day, c.dataset.event])"
    )
    assert sorted(marked) == [
        ["ACME", str(SPLIT), "split"],
        ["ACME", str(PAID), "dividend"],
        ["PLAIN", str(FALL), "doubt"],
    ]
    expect(cell(visit, SPLIT)).to_have_attribute(
        "aria-label", "ACME Wed, 31 Jan 2024, present, split 4:1, dividend $8.20"
    )
    expect(cell(visit, PAID)).to_have_attribute("title", "ACME Wed, 14 Feb 2024: present, dividend $0.82")
    expect(visit.see("marks")).to_be_visible()
    items = block(visit, "ACME").get_by_test_id("events").locator("li")
    expect(items).to_have_text([f"{SPLIT} split 4:1, dividend $8.20", f"{PAID} dividend $0.82"])
    expect(items.first).to_be_visible()
    expect(block(visit, "ACME").get_by_test_id("files")).to_have_text(
        f"Factor file from 2020-01-02: 1 split, 2 dividends, the newest on {PAID}. "
        f"Map file: OLDCO from 2020-01-02, ACME from {DAYS[10]}."
    )
    expect(block(visit, "PLAIN").get_by_test_id("files")).to_have_text(
        "No factor file: LEAN takes prices as traded. No map file."
    )


def test_a_doubt_is_marked_and_explained(browse: Browse, served: Served) -> None:
    """Half of the price is gone without an event: in the notices, in the list, in the cell's label, above the chart."""
    visit = looked(browse(served.url))
    why = "doubtful: the close changed from $100 to $50, and no event is listed that explains it"

    expect(visit.see("notices")).to_contain_text(f"PLAIN {FALL}: {why}")
    expect(block(visit, "PLAIN").get_by_test_id("events").locator("li")).to_contain_text([f"{FALL} {why}"])
    expect(block(visit, "PLAIN").get_by_test_id("events")).to_contain_text("1 doubt in these days")
    cell(visit, FALL, "PLAIN").click()
    expect(visit.see("day-text")).to_contain_text(f"On this day: {why}")


def test_days_without_events_show_no_marks(browse: Browse, served: Served) -> None:
    """A range without any has no list; the sentence still says what there is."""
    visit = looked(browse(served.url), f"/coverage?symbol=ACME&resolution=daily&start={DAYS[0]}&end={DAYS[5]}")

    expect(visit.see("files")).to_contain_text("1 split, 2 dividends")
    expect(visit.see("events")).to_have_count(0)
    expect(visit.see("marks")).to_be_hidden()


def test_the_chart_says_what_happened_before_the_open(browse: Browse, served: Served) -> None:
    """In words above the candlesticks; on other days nothing is said."""
    visit = looked(browse(served.url))

    cell(visit, SPLIT).click()
    expect(visit.see("day-text")).to_contain_text("Before its open: split 4:1, dividend $8.20.")
    expect(visit.see("bars").locator("canvas").first).to_be_visible()
    visit.see("day-after").click()
    expect(visit.see("day-text")).to_contain_text("daily bars up to this day.")
    expect(visit.see("day-text")).not_to_contain_text("split")


def test_minutes_are_drawn_without_pins(browse: Browse, served: Served) -> None:
    """A day's own bars have no place for a mark between days."""
    visit = looked(browse(served.url), f"/coverage?symbol=ACME&resolution=minute{PERIOD}")

    cell(visit, DAYS[-2]).click()
    expect(visit.see("day-text")).to_contain_text("20 minute bars")
    expect(cell(visit, PAID)).to_have_attribute("aria-label", "ACME Wed, 14 Feb 2024, missing, dividend $0.82")


def test_files_that_appear_are_shown_at_the_next_look(browse: Browse, own: Served) -> None:
    """And those that go are no longer; a damaged one is named, with nothing counted in it."""
    visit = looked(browse(own.url), f"/coverage?symbol=ACME&resolution=daily{PERIOD}")
    expect(visit.see("files")).to_have_text("No factor file: LEAN takes prices as traded. No map file.")
    expect(cell(visit, SPLIT)).to_have_attribute("data-event", "doubt")

    put(own.folder, "factor", FACTORS)
    visit.see("look").click()
    expect(visit.see("files")).to_contain_text("Factor file from 2020-01-02")
    expect(cell(visit, SPLIT)).to_have_attribute("data-event", "split")

    put(own.folder, "factor", "rubbish")
    put(own.folder, "map", "20240102,<b>acme</b>,Q\n20501231,acme,Q\n")
    visit.see("look").click()
    expect(visit.see("files")).to_contain_text("Factor file damaged: the line 'rubbish' is not a row of a factor file")
    expect(visit.see("files")).to_contain_text(
        "Map file damaged: the map file's row of 2024-01-02: '<B>ACME</B>' is not"
    )
    expect(cell(visit, SPLIT)).to_have_attribute("data-event", "doubt")
    expect(cell(visit, PAID)).to_have_attribute("aria-label", "ACME Wed, 14 Feb 2024, present")


@pytest.mark.parametrize("page", ["calendar", "day"])
def test_pages_are_accessible(browse: Browse, served: Served, page: str) -> None:
    """axe-core finds no serious fault, light and dark, wide and narrow; nothing has to be scrolled sideways."""
    visit = looked(browse(served.url, bypass_csp=True))
    if page == "day":
        cell(visit, PAID).click()
        expect(visit.see("bars").locator("canvas").first).to_be_visible()
    looks_right_everywhere(visit)
