"""Files in the data folder that LEAN would not have written: what is requested, kept and written."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from tests.support.harness import Rig, lean_files, leftovers
from tests.support.market import Market
from tests.support.polygon_downloads import DAILY, DAYS, MARKET, MINUTE, Serve, days_asked, path_of
from tests.support.reports import counted

ROWS = lean_files(MARKET, "SPY", DAYS, DAILY)["daily/spy.zip"].decode().split("\n")


def daily_path(rig: Rig) -> Path:
    return rig.data / "equity/usa/daily/spy.zip"


def put(path: Path, *rows: str, member: str = "spy.csv") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, "\n".join(rows))


def rows_of(rig: Rig) -> list[str]:
    return rig.csv()["daily/spy.zip"].decode().split("\n")


@pytest.mark.damaged_zips
def test_irregular_files_are_present_without_a_request(polygon_server: Serve, tmp_path: Path) -> None:
    """Each run says which rows LEAN does not read; the next write puts the file into LEAN's form."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    put(daily_path(rig), ROWS[1], ROWS[0], *ROWS[2:6], ROWS[5], member="other.csv")
    for _ in range(2):
        report = rig.download("SPY", DAYS[:6], DAILY)
        assert counted(report) == (6, 0, 0, 0)
        assert any("1 row out of order" in notice and "does not read 1 row" in notice for notice in report.notices)
    assert server.requests == []

    assert counted(rig.download("SPY", DAYS, DAILY)) == (6, 2, 0, 0)
    assert rows_of(rig) == ROWS
    assert leftovers(rig.data) == []
    with zipfile.ZipFile(daily_path(rig)) as archive:
        assert archive.namelist() == ["spy.csv"]


@pytest.mark.damaged_zips
def test_only_the_day_of_a_bad_row_is_fetched(polygon_server: Serve, tmp_path: Path) -> None:
    """The other rows stay letter for letter, and the damaged file is kept under another name."""
    server = polygon_server(MARKET)
    rig = Rig(tmp_path, server.url)
    put(daily_path(rig), "20240301 00:00,1.50,2,1,2,7", *ROWS[:3], ROWS[3] + ",9", *ROWS[4:])

    report = rig.download("SPY", DAYS, DAILY)

    assert counted(report) == (7, 1, 0, 0)
    assert days_asked(server) == [(str(DAYS[3]), str(DAYS[3]))]
    assert rows_of(rig) == ["20240301 00:00,1.50,2,1,2,7", *ROWS]
    assert len(leftovers(rig.data)) == 1


@pytest.mark.damaged_zips
def test_readable_rows_stay_where_the_vendor_has_no_others(polygon_server: Serve, tmp_path: Path) -> None:
    """Of a daily file and of a minute; LEAN can use what remains, and the next run sends nothing."""
    server = polygon_server(Market.synthetic(["SPY"], [DAYS[7]], bars_per_day=3))
    rig = Rig(tmp_path, server.url)
    put(daily_path(rig), *ROWS[:3], ROWS[3][:-5].rsplit(",", 1)[0], *ROWS[4:])
    put(path_of(rig, DAYS[0]), "34200000,1,1,1,1,1", "garbage", "34320000,2,2,2,2,2", member="20240304_spy.csv")

    daily = rig.download("SPY", DAYS, DAILY)
    minutes = rig.download("SPY", DAYS[:1], MINUTE)

    assert (counted(daily), counted(minutes)) == ((7, 0, 1, 0), (1, 0, 0, 0))
    assert rows_of(rig) == [*ROWS[:3], *ROWS[4:]]
    assert rig.csv()["minute/spy/20240304_trade.zip"] == b"34200000,1,1,1,1,1\n34320000,2,2,2,2,2"
    assert any("the rows that can be read are kept" in notice for notice in minutes.notices)
    server.reset()
    assert counted(rig.download("SPY", DAYS[:1], MINUTE)) == (1, 0, 0, 0)
    assert server.requests == []


@pytest.mark.damaged_zips
def test_nothing_is_changed_where_the_vendor_cannot_be_asked(polygon_server: Serve, tmp_path: Path) -> None:
    """The day has failed, and is still damaged."""
    rig = Rig(tmp_path, polygon_server(MARKET).url, key="wrong")
    put(daily_path(rig), *ROWS[:3], "garbage", *ROWS[4:])
    before = daily_path(rig).read_bytes()

    assert counted(rig.download("SPY", DAYS, DAILY)) == (7, 0, 0, 1)
    assert daily_path(rig).read_bytes() == before


@pytest.mark.parametrize("kind", ["absolute", "relative", "chained", "dangling"])
def test_a_daily_zip_that_is_a_link_is_written_through_it(polygon_server: Serve, tmp_path: Path, kind: str) -> None:
    """The link stays, its target is replaced where it is, and no temporary file remains."""
    rig = Rig(tmp_path, polygon_server(MARKET).url)
    shared = tmp_path / "shared"
    shared.mkdir()
    target = shared / "all.zip"
    if kind != "dangling":
        put(target, *ROWS[:4])
    path = daily_path(rig)
    path.parent.mkdir(parents=True)
    if kind == "relative":
        path.symlink_to(os.path.relpath(target, path.parent))
    elif kind == "chained":
        (shared / "link.zip").symlink_to("all.zip")
        path.symlink_to(shared / "link.zip")
    else:
        path.symlink_to(target)

    report = rig.download("SPY", DAYS, DAILY)

    assert counted(report) == ((0, 8, 0, 0) if kind == "dangling" else (4, 4, 0, 0))
    assert path.is_symlink()
    assert not target.is_symlink()
    assert rows_of(rig) == ROWS
    assert {found.name for found in shared.iterdir()} <= {"all.zip", "link.zip"}
    assert [found.name for found in path.parent.iterdir()] == ["spy.zip"]


def test_a_link_into_a_folder_that_does_not_exist_is_an_error(polygon_server: Serve, tmp_path: Path) -> None:
    """A file system that is not mounted, for example: nothing takes its place."""
    rig = Rig(tmp_path, polygon_server(MARKET).url)
    path = daily_path(rig)
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "not-mounted" / "spy.zip")

    report = rig.download("SPY", DAYS, DAILY)

    assert counted(report) == (0, 0, 0, 8)
    assert report.failures[0].code == "write_failed"
    assert "create the folder that the link leads to" in report.failures[0].error
    assert path.is_symlink()
    path.unlink()
