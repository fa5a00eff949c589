"""What a run that was cut off had been answered is not fetched again, however its days are asked for the next time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

from server.data_download.model import Resolution
from tests.support.harness import Rig, csv_of, lean_files, sessions
from tests.support.market import Market
from tests.support.polygon_server import PolygonServer

DAYS = sessions(date(2023, 9, 1), 60)
MARKET = Market.synthetic(["SPY", "AAPL"], DAYS, "minute", bars_per_day=5)


def test_the_rest_of_an_answer_is_taken_from_it(polygon_server: Callable[..., PolygonServer], tmp_path: Path) -> None:
    """Also where the days that are missing would be asked for in other windows now."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download(["SPY", "AAPL"], DAYS)
    whole, sent = csv_of(rig.data), len(server.requests)
    for number, path in enumerate(sorted((rig.data / "equity").rglob("*.zip"))):
        if number % 7 < 3:
            path.unlink()

    report = rig.download(["SPY", "AAPL"], DAYS)

    assert (report.api_calls, len(server.requests)) == (0, sent)
    assert report.http_cache_hits == sent
    assert 40 < report.days_downloaded < 60
    assert csv_of(rig.data) == whole


def test_days_that_no_answer_covers_are_fetched_beside(
    polygon_server: Callable[..., PolygonServer], tmp_path: Path
) -> None:
    """And only those."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS[10:30])
    for path in (rig.data / "equity").rglob("*.zip"):
        path.unlink()
    server.requests.clear()

    report = rig.download("SPY", DAYS)

    asked = {
        day
        for request in server.requests
        if request.window
        for day in DAYS
        if request.window[2] <= day.isoformat() <= request.window[3]
    }
    assert asked == {*DAYS[:10], *DAYS[30:]}
    assert report.days_downloaded == 60
    assert csv_of(rig.data) == lean_files(MARKET, "SPY", DAYS, Resolution.MINUTE)
