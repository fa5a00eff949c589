"""Several processes over one data folder, processes that are killed, and how much memory one takes."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from server.data_download.verify import check_folder
from server.lean.series import Resolution
from server.plugins.polygon_provider.cache_keys import cached_range
from server.plugins.polygon_provider.windows import CachedRange
from tests.support.download_process import finish, start
from tests.support.harness import Rig, lean_files, leftovers, sessions
from tests.support.market import Market
from tests.support.patience import PATIENCE
from tests.support.polygon_server import PolygonServer

Serve = Callable[..., PolygonServer]

DAYS = sessions(date(2024, 1, 3), 60)
MARKET = Market.synthetic(["SPY", "AAPL"], DAYS, bars_per_day=30)


def test_two_processes_that_want_the_same_days_fetch_them_once(polygon_server: Serve, tmp_path: Path) -> None:
    """The process with a symbol's lock fetches all its days, the other waits and then finds them; both end well."""
    server = polygon_server(MARKET, latency=0.3)
    facts = {"root": tmp_path, "url": server.url, "symbols": ["SPY", "AAPL"], "start": DAYS[0], "end": DAYS[-1]}

    reports = [finish(process) for process in [start(**facts), start(**facts)]]

    downloaded = sorted(report["days_downloaded"] for report in reports)
    assert downloaded in ([0, 120], [60, 60])  # at the same instant, each may get one symbol's lock
    assert [report["days_present"] + report["days_downloaded"] for report in reports] == [120, 120]
    assert [report["days_failed"] for report in reports] == [0, 0]
    windows = [request.target for request in server.requests]
    assert len(windows) == len(set(windows))
    rig = Rig(tmp_path, server.url)
    assert rig.csv() == {
        name: text
        for symbol in ("SPY", "AAPL")
        for name, text in lean_files(MARKET, symbol, DAYS, Resolution.MINUTE).items()
    }


def test_two_processes_merge_into_one_daily_zip(polygon_server: Serve, tmp_path: Path) -> None:
    """Different years of one symbol at once: no row is lost."""
    market = Market.synthetic(["SPY"], DAYS, "daily")
    server = polygon_server(market, latency=0.2)
    facts = {"root": tmp_path, "url": server.url, "symbols": ["SPY"], "resolution": "daily"}

    processes = [
        start(**facts, start=DAYS[0], end=DAYS[29]),
        start(**facts, start=DAYS[30], end=DAYS[59]),
    ]

    assert [finish(process)["days_downloaded"] for process in processes] == [30, 30]
    assert Rig(tmp_path, server.url).csv() == lean_files(market, "SPY", DAYS, Resolution.DAILY)


def test_two_processes_share_a_budget(polygon_server: Serve, tmp_path: Path) -> None:
    """Three requests a minute: each wants two, and one of them has to wait for the fourth."""
    server = polygon_server(Market.synthetic(["A", "B", "C", "D"], DAYS[:2], bars_per_day=5))
    facts = {"root": tmp_path, "url": server.url, "start": DAYS[0], "end": DAYS[1], "requests_per_minute": 3}
    processes = [start(**facts, symbols=["A", "B"]), start(**facts, symbols=["C", "D"])]
    try:
        deadline = time.monotonic() + PATIENCE
        while (len(server.requests) < 3 or all(p.poll() is None for p in processes)) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)

        assert len(server.requests) == 3
        assert sorted(process.poll() is None for process in processes) == [False, True]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_budget_outlives_its_process(polygon_server: Serve, tmp_path: Path) -> None:
    """What an earlier run sent in the last minute counts; a request older than that does not."""
    server = polygon_server(Market.synthetic(["A", "B"], DAYS[:2], bars_per_day=5))
    facts = {"root": tmp_path, "url": server.url, "start": DAYS[0], "end": DAYS[1], "requests_per_minute": 1}
    assert finish(start(**facts, symbols=["A"]))["api_calls"] == 1

    waited = finish(start(**facts, symbols=["B"], cancel_at_wait=True))
    assert (waited["api_calls"], waited["cancelled"], len(server.requests)) == (0, True, 1)
    assert 0 < waited["waits"][0] <= 60.1

    with closing(sqlite3.connect(tmp_path / "data" / ".backtest-server" / "requests.sqlite")) as connection, connection:
        changed = connection.execute("UPDATE requests SET item_timestamp = item_timestamp - 60000").rowcount
    assert changed == 1
    report = finish(start(**facts, symbols=["B"]))
    assert (report["api_calls"], report["waits"]) == (1, [])


@pytest.mark.parametrize("seed", range(5))
def test_a_run_that_is_killed_goes_on(polygon_server: Serve, tmp_path: Path, seed: int) -> None:
    """Killed at any moment: no damaged zip; the next run leaves no rubbish, asks for no kept answer again, and ends
    with LEAN's files."""
    server = polygon_server(MARKET, latency=0.02)
    facts = {"root": tmp_path, "url": server.url, "symbols": ["SPY", "AAPL"], "start": DAYS[0], "end": DAYS[-1]}
    kept: set[CachedRange | None] = set()
    rig = Rig(tmp_path, server.url)
    moments = random.Random(seed)
    for _ in range(2):
        process = start(**facts)
        before = len(server.requests)
        while len(server.requests) == before and process.poll() is None:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        check_folder(rig.data)
        if rig.cache_path.exists():
            with closing(sqlite3.connect(rig.cache_path)) as connection:
                kept |= {cached_range(key) for (key,) in connection.execute("SELECT key FROM responses")}
    server.reset()

    report = rig.download(["SPY", "AAPL"], DAYS)

    assert report.days_failed == 0
    assert report.days_present + report.days_downloaded == 120
    asked = {request.window for request in server.requests if request.window}
    assert None not in kept
    assert not asked & {
        (found.series.ticker, "minute", str(found.first), str(found.last)) for found in kept if found is not None
    }
    assert leftovers(rig.data) == []
    assert rig.csv() == {
        name: text
        for symbol in ("SPY", "AAPL")
        for name, text in lean_files(MARKET, symbol, DAYS, Resolution.MINUTE).items()
    }
    assert rig.download(["SPY", "AAPL"], DAYS).api_calls == 0


def test_a_killed_run_leaves_no_lock_behind(polygon_server: Serve, tmp_path: Path) -> None:
    """The next one does not wait."""
    server = polygon_server(MARKET, latency=5)
    facts = {"root": tmp_path, "url": server.url, "symbols": ["SPY"], "start": DAYS[0], "end": DAYS[5]}
    process = start(**facts)
    while not server.requests and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    server.latency = 0

    rig = Rig(tmp_path, server.url)
    report = rig.download("SPY", DAYS[:6])

    assert report.days_downloaded == 6
    assert rig.messages("wait") == []


def test_a_years_download_takes_little_memory(polygon_server: Serve, tmp_path: Path) -> None:
    """Three symbols, 252 sessions, 390 minutes each: under 300 MB."""
    year = sessions(date(2023, 1, 3), 252)
    with PolygonServer(Market.synthetic(["SPY", "AAPL", "MSFT"], year)).in_subprocess() as server:
        facts = {
            "root": tmp_path,
            "url": server.url,
            "symbols": ["SPY", "AAPL", "MSFT"],
            "start": year[0],
            "end": year[-1],
        }
        report = finish(start(**facts))

    assert report["bars"] == 3 * 252 * 390
    assert report["memory"] < 300 * 1024
    with zipfile.ZipFile(tmp_path / f"data/equity/usa/minute/msft/{year[-1]:%Y%m%d}_trade.zip") as archive:
        assert archive.read(archive.namelist()[0]).count(b"\n") == 389
