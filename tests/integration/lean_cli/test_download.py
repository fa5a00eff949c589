"""The provider lean-cli behind the real downloader."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from server.core.events import EventStream
from server.data_download.data_folder import DataFolder
from server.data_download.downloader import DataDownloader
from server.data_download.hosted_provider import HostedProvider
from server.data_download.request import DownloadRequest
from server.lean.series import Resolution
from server.trading_calendar import USEquityTradingCalendar
from tests.support.lean_cli_setup import (
    NOW,
    THURSDAY,
    TUESDAY,
    WEDNESDAY,
    Setup,
    labels,
)


@pytest.fixture
def host(setup: Setup) -> Iterator[DataDownloader]:
    """The real downloader over the user's data folder."""
    sessions = [date(2024, 1, 1) + timedelta(days=number) for number in range(1, 12)]
    calendar = USEquityTradingCalendar([day for day in sessions if day.weekday() < 5], {}, date(2025, 12, 31))
    folder = DataFolder.open(setup.data, calendar, setup.state)
    yield DataDownloader(
        folder=folder,
        calendar=calendar,
        clock=lambda: NOW,
        provider=HostedProvider("lean-cli", lambda cancel: setup.provider()),
        events=EventStream(lambda: NOW),
    )
    folder.close()


@pytest.mark.parametrize("resolution", [Resolution.MINUTE, Resolution.DAILY])
def test_a_download_fills_the_gap_and_leaves_whole_days_alone(
    setup: Setup, host: DataDownloader, resolution: Resolution
) -> None:
    """Tuesday was there before, and Wednesday's run would have overwritten it; a third run has nothing to do."""
    first = host.download(DownloadRequest(symbols=("SPY",), resolution=resolution, start=TUESDAY, end=TUESDAY))
    before = {path: path.read_bytes() for path in setup.data.rglob("20240102_trade.zip")}
    second = host.download(DownloadRequest(symbols=("SPY",), resolution=resolution, start=TUESDAY, end=THURSDAY))
    third = host.download(DownloadRequest(symbols=("SPY",), resolution=resolution, start=TUESDAY, end=THURSDAY))

    assert (first.days_downloaded, second.days_downloaded, third.days_downloaded) == (1, 2, 0)
    assert (first.days_present, second.days_present, third.days_present) == (0, 1, 3)
    assert len(setup.lean.calls) == 2
    assert before == {path: path.read_bytes() for path in before}
    if resolution is Resolution.DAILY:
        with zipfile.ZipFile(setup.data / "equity/usa/daily/spy.zip") as archive:
            assert labels(archive.read("spy.csv").decode()) == ["20240102 00:00", "20240103 00:00", "20240104 00:00"]


def test_days_that_did_not_come_are_failed_and_asked_for_again(setup: Setup, host: DataDownloader) -> None:
    """Nothing is remembered as empty."""
    setup.lean.behave(nothing_on=["2024-01-03"])
    request = DownloadRequest(symbols=("SPY",), resolution=Resolution.MINUTE, start=TUESDAY, end=THURSDAY)

    first = host.download(request)
    setup.lean.behave()
    second = host.download(request)

    assert (first.days_downloaded, first.days_failed, first.days_empty) == (2, 1, 0)
    assert (second.days_downloaded, second.days_failed) == (1, 0)


@pytest.mark.damaged_zips
def test_a_garbled_file_is_refused_by_the_host(setup: Setup, host: DataDownloader) -> None:
    """Its day fails with a reason, and no file of it is written."""
    setup.lean.behave(garbled_on=["2024-01-03"])

    report = host.download(
        DownloadRequest(symbols=("SPY",), resolution=Resolution.MINUTE, start=WEDNESDAY, end=THURSDAY)
    )

    assert (report.days_downloaded, report.days_failed) == (1, 1)
    assert "not a file of LEAN's" in report.failures[0].error
    assert [f"{THURSDAY:%Y%m%d}_trade.zip"] == [path.name for path in setup.data.glob("equity/usa/minute/spy/*")]
