"""The real Polygon API with the user's key: one symbol, one past day, each resolution that every plan has."""

from __future__ import annotations

import os
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from server.core.cancel import CancelToken
from server.core.events import EventStream
from server.core.secret import Secret
from server.data_download.data_folder import DataFolder
from server.data_download.downloader import DataDownloader
from server.data_download.hosted_provider import HostedProvider
from server.data_download.locks import STATE_FOLDER
from server.data_download.provider import ProviderContext
from server.data_download.request import DownloadRequest
from server.data_download.verify import check_folder
from server.lean.layout import layout_of
from server.lean.series import Resolution, Series
from server.plugins.polygon_provider.config import DEFAULT_URL, PolygonConfig
from server.plugins.polygon_provider.provider import PolygonProvider
from server.trading_calendar import USEquityTradingCalendar
from tests.support.cassettes import KEY_NAMES

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]


def users_key() -> str:
    """The user's key; without one these tests fail, since a live run was requested."""
    for name in KEY_NAMES:
        if value := os.environ.get(name, "").strip():
            return value
    pytest.fail(f"this test asks the real Polygon API and needs a key: set {' or '.join(KEY_NAMES)}")


@pytest.mark.parametrize("resolution", [Resolution.MINUTE, Resolution.DAILY])
def test_a_past_day_of_apple(tmp_path: Path, resolution: Resolution) -> None:
    """It is written as LEAN would, is believable, is not asked for again, and the key is left nowhere."""
    key = users_key()
    now = datetime.now(UTC)
    calendar = USEquityTradingCalendar.load(now.date())
    day = calendar.previous_trading_day(now.date() - timedelta(days=21))
    config = PolygonConfig(
        api_key=Secret(key), api_url=os.environ.get("POLYGON_API_URL") or DEFAULT_URL, requests_per_minute=5
    )
    state = tmp_path / STATE_FOLDER
    folder = DataFolder.open(tmp_path, calendar)

    def open_provider(cancel: CancelToken) -> PolygonProvider:
        context = ProviderContext(
            calendar=calendar, data_folder=tmp_path, state_folder=state, clock=lambda: now, cancel=cancel
        )
        return PolygonProvider(config, context)

    downloader = DataDownloader(
        folder=folder,
        calendar=calendar,
        clock=lambda: now,
        provider=HostedProvider("polygon", open_provider),
        events=EventStream(lambda: now),
    )
    request = DownloadRequest(symbols=("AAPL",), resolution=resolution, start=day, end=day)

    first, second = downloader.download(request), downloader.download(request)
    folder.close()

    assert [failure.error for failure in first.failures] == []
    assert (first.days_downloaded, first.api_calls, second.days_present, second.api_calls) == (1, 1, 1, 0)
    assert check_folder(tmp_path) == 1
    (path,) = (tmp_path / "equity").rglob("*.zip")
    believable(path, resolution, day)
    assert not any(key.encode() in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def believable(path: Path, resolution: Resolution, day: date) -> None:
    """Whether the bars can be Apple's: prices and their order, a regular session's worth of minutes, volume."""
    with zipfile.ZipFile(path) as archive:
        (name,) = archive.namelist()
        layout = layout_of(Series("AAPL", resolution))
        bars = layout.parse(archive.read(name), None if layout.one_file else day)
    assert len(bars) == 1 if resolution is Resolution.DAILY else 390 <= len(bars) <= 960
    assert (bars.low <= bars.open).all()
    assert (bars.open <= bars.high).all()
    assert (bars.low <= bars.close).all()
    assert (bars.close <= bars.high).all()
    assert 10 < float(bars.low.min()) <= float(bars.high.max()) < 10_000
    assert float(bars.volume.sum()) > 1_000_000
