"""A second download requests only what is missing on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.harness import Rig, lean_files, leftovers
from tests.support.polygon_downloads import DAILY, DAYS, MARKET, MINUTE, Serve, days_asked, path_of
from tests.support.reports import counted


@pytest.mark.parametrize("symbol", ["SPY", "BRK.B"])
def test_a_first_run_writes_leans_files_and_a_second_one_asks_nothing(
    polygon_server: Serve, tmp_path: Path, symbol: str
) -> None:
    """Eight days come with one request; what is on disk is what LEAN would have written; then it is all there."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)

    first = rig.download(symbol, DAYS)
    second = rig.download(symbol, DAYS)

    assert rig.csv() == lean_files(MARKET, symbol, DAYS, MINUTE)
    assert (counted(first), counted(second)) == ((0, 8, 0, 0), (8, 0, 0, 0))
    assert (first.api_calls, first.bars, second.api_calls, second.bars) == (1, 240, 0, 0)
    assert first.bytes_fetched == server.bytes_sent
    assert len(server.requests) == 1
    assert first.complete
    assert second.complete
    assert leftovers(rig.data) == []


def forget_answers(rig: Rig) -> None:
    """As after a week."""
    for path in (rig.data / ".backtest-server").glob("http-cache.sqlite*"):
        path.unlink()


def test_one_day_that_is_gone_is_one_request_for_that_day(polygon_server: Serve, tmp_path: Path) -> None:
    """The others are not touched."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS)
    forget_answers(rig)
    before = {path: path.stat().st_mtime_ns for path in (rig.data / "equity").rglob("*.zip")}
    path_of(rig, DAYS[3]).unlink()
    server.reset()

    report = rig.download("SPY", DAYS)

    assert counted(report) == (7, 1, 0, 0)
    assert days_asked(server) == [(str(DAYS[3]), str(DAYS[3]))]
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, MINUTE)
    after = {path: path.stat().st_mtime_ns for path in before if path != path_of(rig, DAYS[3])}
    assert after.items() <= before.items()


def test_a_longer_range_asks_for_what_is_new(polygon_server: Serve, tmp_path: Path) -> None:
    """Days before and after those that are there, and none of these again beyond what saves a request."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS[2:4])
    server.reset()

    report = rig.download("SPY", DAYS)

    assert counted(report) == (2, 6, 0, 0)
    assert len(server.requests) == 1
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, MINUTE)


def test_a_file_that_was_changed_is_looked_at_again(polygon_server: Serve, tmp_path: Path) -> None:
    """A damaged file is reported and fetched again, with one request."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS)
    forget_answers(rig)
    spoilt = path_of(rig, DAYS[1])
    spoilt.write_bytes(spoilt.read_bytes()[:-40])
    server.reset()

    report = rig.download("SPY", DAYS)

    assert counted(report) == (7, 1, 0, 0)
    assert len(server.requests) == 1
    assert any(str(spoilt) in notice and "damaged" in notice for notice in report.notices)
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, MINUTE)


def test_files_from_elsewhere_are_taken_as_they_are(polygon_server: Serve, tmp_path: Path) -> None:
    """A data folder without our ledger: whatever is sound is present, with no request."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS)
    for file in rig.state.glob("*"):
        if file.is_file():
            file.unlink()

    assert counted(rig.download("SPY", DAYS)) == (8, 0, 0, 0)
    assert len(server.requests) == 1


def test_daily_bars_are_merged_into_the_one_zip(polygon_server: Serve, tmp_path: Path) -> None:
    """Later days, earlier days and days between come to stand in order, the old rows untouched."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    for part in (DAYS[3:5], DAYS[6:], DAYS[:1], DAYS):
        report = rig.download("SPY", part, DAILY)
        assert report.complete

    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, DAILY)
    assert counted(report) == (5, 3, 0, 0)
    assert len(server.requests) == 4
    assert counted(rig.download("SPY", DAYS, DAILY)) == (8, 0, 0, 0)


@pytest.mark.damaged_zips
@pytest.mark.parametrize("damage", ["cut", "flipped", "rubbish"])
def test_a_damaged_daily_zip_is_set_aside_and_its_days_come_back(
    polygon_server: Serve, tmp_path: Path, damage: str
) -> None:
    """Also the days that were not asked for now; the damaged file is kept under a name that nothing reads."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    rig.download("SPY", DAYS, DAILY)
    path = rig.data / "equity" / "usa" / "daily" / "spy.zip"
    good = path.read_bytes()
    middle = len(good) // 2
    bad = {
        "cut": good[:middle],
        "flipped": good[:middle] + bytes([good[middle] ^ 255]) + good[middle + 1 :],
        "rubbish": b"x" * 999,
    }[damage]
    path.write_bytes(bad)

    report = rig.download("SPY", DAYS[6:], DAILY)

    assert report.complete
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, DAILY)
    (aside,) = leftovers(rig.data)
    assert aside.read_bytes() == bad
    assert aside.name.startswith("spy.zip.damaged-")
    assert any("damaged" in notice for notice in report.notices)


@pytest.mark.damaged_zips
def test_what_is_saved_of_a_daily_zip_may_be_days_that_are_none(polygon_server: Serve, tmp_path: Path) -> None:
    """A Sunday, a day before the calendar and one in the future are not asked for; their rows stay as they were."""
    from server.lean.zip import zip_bytes

    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    path = rig.data / "equity" / "usa" / "daily" / "spy.zip"
    path.parent.mkdir(parents=True)
    rows = "\n".join(f"{day} 00:00,1,1,1,1,1" for day in ("19970102", "20240303", "20240304", "20300102"))
    path.write_bytes(zip_bytes("spy.csv", rows.encode())[:-10])

    report = rig.download("SPY", DAYS[1:], DAILY)

    assert counted(report) == (0, 8, 0, 0)
    strange = {day: f"{day} 00:00,1,1,1,1,1".encode() for day in ("19970102", "20240303", "20300102")}
    fetched = lean_files(MARKET, "SPY", DAYS, DAILY)["daily/spy.zip"]
    expected = [strange["19970102"], strange["20240303"], fetched, strange["20300102"]]
    assert rig.csv() == {"daily/spy.zip": b"\n".join(expected)}
