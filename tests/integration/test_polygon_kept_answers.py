"""What a run that was cut off had been answered is not fetched again, however its days are asked for the next time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from server.lean.series import Resolution
from server.plugins.polygon_provider import provider
from tests.support import faults
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


def test_an_answer_is_kept_before_it_is_worked_on(
    polygon_server: Callable[..., PolygonServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends while answers wait to be worked on has them the next time."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)

    def end(*step: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(provider, "read_answer", end)
        assert rig.download("SPY", DAYS[:5]).days_failed == 5
    sent = len(server.requests)

    report = rig.download("SPY", DAYS[:5])

    assert (sent, len(server.requests)) == (1, 1)
    assert (report.api_calls, report.http_cache_hits, report.days_downloaded) == (0, 1, 5)


def test_an_answer_that_is_not_believed_is_not_kept(
    polygon_server: Callable[..., PolygonServer], tmp_path: Path
) -> None:
    """The next run asks anew."""
    server = polygon_server(MARKET, faults=[faults.adjusted()])
    rig = Rig(tmp_path, server.url)

    assert rig.download("SPY", DAYS[:5]).days_failed == 5
    report = rig.download("SPY", DAYS[:5])

    assert (report.api_calls, report.http_cache_hits, report.days_downloaded) == (1, 0, 5)
