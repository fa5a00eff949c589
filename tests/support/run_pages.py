"""The pages of backtests and downloads, as a visit uses them, and the market of their tests."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

from playwright.sync_api import Locator

from tests.support.browser import Visit, expect
from tests.support.market import Market
from tests.support.polygon_server import PolygonServer

ROOT = Path(__file__).parents[2]
RECORDED = json.loads((ROOT / "server/demo/aapl-daily.json").read_text("utf-8"))["bars"]
DAYS = [date(2024, 6, day) for day in (3, 4, 5, 6, 7, 10, 11, 12)]
BY_SECONDS = ("SPY", "QQQ", "MSFT", "NVDA", "AMZN", "META", "TSLA", "ORCL", "INTC", "IBM", "GE", "BA")
MARKET = (
    Market.synthetic(BY_SECONDS, DAYS, "second", bars_per_day=60)
    | Market.synthetic(["F"], [DAYS[0], DAYS[2]], "second", bars_per_day=60)
    | Market.of({("AAPL", "daily"): RECORDED})
)

TOKEN = "a-token-for-tests"


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
