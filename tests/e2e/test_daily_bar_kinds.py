"""The kinds of daily bars in the calendar, and hour bars of a day."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from tests.support.browser import Browse, Visit, expect, looks_right_everywhere
from tests.support.harness import sessions
from tests.support.market import Market
from tests.support.polygon_server import PolygonServer
from tests.support.served import Served

DAYS = sessions(date(2024, 3, 4), 10)
HALF = DAYS[4]
TICKERS = ("AAPL", "IBM", "QQQ", "SPY")
MARKET = Market.synthetic(TICKERS, DAYS) | Market.synthetic(TICKERS, DAYS, "daily")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """AAPL's daily bars are the vendor's, SPY's of the regular session, IBM's both, and QQQ's another program's."""
    folder = tmp_path_factory.mktemp("kinds")
    with PolygonServer(MARKET) as vendor:
        with Served(folder, vendor.url) as running:
            fetch(running, "AAPL", "daily", DAYS[-1])
            fetch(running, "IBM", "daily", HALF)
        write_foreign(folder / "data/equity/usa/daily/qqq.zip")
        with Served(folder, vendor.url, environ={"BACKTEST_SERVER_DAILY_BARS": "regular-session"}) as running:
            fetch(running, "IBM", "daily", DAYS[-1])
            fetch(running, "SPY", "daily", DAYS[-1])
            fetch(running, "SPY", "hour", DAYS[-1])
            yield running


def fetch(running: Served, symbol: str, resolution: str, end: date) -> None:
    """Download the days up to one."""
    wanted = {"symbols": [symbol], "resolution": resolution, "start": str(DAYS[0]), "end": str(end)}
    assert running.ended(running.post("/api/downloads", wanted)["url"])["state"] == "completed"


def write_foreign(path: Path) -> None:
    """Write daily bars as another program would."""
    lines = "".join(f"{day:%Y%m%d} 00:00,1000000,1010000,990000,1000000,500\n" for day in DAYS)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("qqq.csv", lines)


def look(visit: Visit, resolution: str) -> None:
    """Open the calendar of all symbols on disk."""
    visit.go(f"/coverage?resolution={resolution}&start={DAYS[0]}&end={DAYS[-1]}")
    expect(visit.see("calendar")).to_have_attribute("aria-busy", "false")


def test_the_kind_of_each_file_is_named(browse: Browse, served: Served) -> None:
    """As a word; of a mixed file the number of bars of each kind, and what to do."""
    visit = browse(served.url, bypass_csp=True)
    look(visit, "daily")

    assert visit.see("daily-kind").all_inner_texts() == [
        "Daily bars in aapl.zip: vendor.",
        "Daily bars in ibm.zip: mixed (5 vendor, 5 regular-session).",
        "Daily bars in qqq.zip: unknown.",
        "Daily bars in spy.zip: regular-session.",
    ]
    expect(visit.see("notices")).to_contain_text("ibm.zip is mixed")
    looks_right_everywhere(visit)


def test_hours_have_no_kind(browse: Browse, served: Served) -> None:
    """The calendar and the chart of a day: the seven hours from 09:00 to 15:00."""
    visit = browse(served.url)
    look(visit, "hour")

    expect(visit.see("block")).to_have_count(1)
    expect(visit.see("block-counts")).to_have_text("10 present")
    expect(visit.see("daily-kind")).to_have_count(0)
    visit.see("day-cell").first.focus()
    visit.page.keyboard.press("Enter")
    expect(visit.see("day-text")).to_contain_text("7 hour bars.")
    expect(visit.see("day-figures")).to_contain_text("09:00")
    expect(visit.see("day-figures")).to_contain_text("15:00")
