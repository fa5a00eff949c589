"""`download --refresh`: everything is requested again, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.lean.series import Resolution
from tests.support.harness import Rig, lean_files, leftovers
from tests.support.market import Market
from tests.support.polygon_downloads import DAILY, DAYS, MARKET, MINUTE, Serve, days_asked
from tests.support.reports import counted

CORRECTED = Market.synthetic(["SPY"], DAYS, bars_per_day=31) | Market.synthetic(["SPY"], DAYS, "daily", seed=9)


@pytest.mark.parametrize("resolution", [MINUTE, DAILY])
def test_corrected_bars_replace_those_of_the_range_only(
    polygon_server: Serve, tmp_path: Path, resolution: Resolution
) -> None:
    """Although all days are present and their responses cached; the other days are letter for letter as before."""
    Rig(tmp_path, polygon_server(MARKET).url).download("SPY", DAYS, resolution)
    server = polygon_server(CORRECTED)
    rig = Rig(tmp_path, server.url)

    report = rig.download("SPY", DAYS[2:5], resolution, refresh=True)

    assert counted(report) == (0, 3, 0, 0)
    assert days_asked(server) == [(str(DAYS[2]), str(DAYS[4]))]
    old, new = (lean_files(market, "SPY", DAYS, resolution) for market in (MARKET, CORRECTED))
    if resolution is DAILY:
        old_rows, new_rows = (next(iter(files.values())).split(b"\n") for files in (old, new))
        assert old_rows[2:5] != new_rows[2:5]
        assert rig.csv() == {"daily/spy.zip": b"\n".join([*old_rows[:2], *new_rows[2:5], *old_rows[5:]])}
    else:
        refreshed = {name: text for name, text in new.items() if any(f"{day:%Y%m%d}" in name for day in DAYS[2:5])}
        assert rig.csv() == old | refreshed
    assert leftovers(rig.data) == []
    assert counted(rig.download("SPY", DAYS, resolution)) == (8, 0, 0, 0)


@pytest.mark.parametrize("resolution", [MINUTE, DAILY])
def test_a_day_that_the_vendor_has_no_bars_of_stays(
    polygon_server: Serve, tmp_path: Path, resolution: Resolution
) -> None:
    """With a notice; the run succeeds."""
    rig = Rig(tmp_path, polygon_server(MARKET).url)
    rig.download("SPY", DAYS, resolution)
    before = rig.csv()
    days = [day for day in DAYS if day != DAYS[3]]
    fewer = Market.synthetic(["SPY"], days, bars_per_day=30) | Market.synthetic(["SPY"], days, "daily")
    rig = Rig(tmp_path, polygon_server(fewer).url)

    report = rig.download("SPY", DAYS, resolution, refresh=True)

    assert counted(report) == (1, 7, 0, 0)
    assert report.complete
    assert [notice for notice in report.notices if str(DAYS[3]) in notice and "the bars on disk stay" in notice]
    changed = {name for name, text in rig.csv().items() if text != before[name] and f"{DAYS[3]:%Y%m%d}" in name}
    assert changed == set()
    if resolution is DAILY:
        assert before["daily/spy.zip"].split(b"\n")[3] in rig.csv()["daily/spy.zip"].split(b"\n")


def test_a_refresh_that_fails_loses_nothing(polygon_server: Serve, tmp_path: Path) -> None:
    """Its days have failed, and their files are as they were."""
    rig = Rig(tmp_path, polygon_server(MARKET).url)
    rig.download("SPY", DAYS, DAILY)
    before = rig.csv()
    rig = Rig(tmp_path, polygon_server(MARKET).url, key="wrong")

    report = rig.download("SPY", DAYS, DAILY, refresh=True)

    assert counted(report) == (0, 0, 0, 8)
    assert report.failures[0].code == "authentication"
    assert rig.csv() == before
