"""Files on disk with numbers that cannot be right: listed as damaged, and in place until a good day arrives."""

from __future__ import annotations

import json
import zipfile
from datetime import date
from pathlib import Path

import pytest

from server.lean.series import Resolution
from tests.support import faults
from tests.support.cli_market import Serve as ServeCommand
from tests.support.command_line import CommandLine
from tests.support.harness import Rig, lean_files, sessions
from tests.support.market import Market
from tests.support.polygon_downloads import Serve
from tests.support.reports import counted, only_failure

pytestmark = pytest.mark.damaged_zips

DAILY, MINUTE = Resolution.DAILY, Resolution.MINUTE
DAYS = sessions(date(2024, 3, 4), 3)
MARKET = Market.synthetic(["SPY"], DAYS, bars_per_day=5) | Market.synthetic(["SPY"], DAYS, "daily")

LOW_ABOVE_HIGH = "1000000,900000,1000000,950000,10"

BAD_NUMBERS = {
    "zero price": ("0,2000000,1000000,1500000,10", "has open 0,"),
    "price at the limit": ("1000000,10000000000000,1000000,1000000,10", "has high 1000000000,"),
    "low above high": (LOW_ABOVE_HIGH, "has low 100 above high 90"),
    "open above high": ("1100000,1000000,900000,950000,10", "has open 110 outside"),
    "close below low": ("950000,1000000,900000,800000,10", "has close 80 outside"),
    "volume": ("950000,1000000,900000,950000,1000000000000001", "has volume 1e+15"),
}


def put(root: Path, path: str, rows: list[str]) -> bytes:
    """Write a zip of these rows; returns its bytes."""
    whole = root / "equity/usa" / path
    whole.parent.mkdir(parents=True, exist_ok=True)
    folder, stem = whole.parent.name, whole.stem
    member = f"{stem}.csv" if folder == "daily" else f"{stem.replace('_trade', '')}_{folder}_minute_trade.csv"
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, "\n".join(rows))
    return whole.read_bytes()


def minute_file(day: date) -> str:
    """The path of the minutes of a day."""
    return f"minute/spy/{day:%Y%m%d}_trade.zip"


def rows_of(resolution: Resolution, path: str) -> list[str]:
    """The rows that LEAN would have written."""
    return lean_files(MARKET, "SPY", DAYS, resolution)[path].decode().split("\n")


def bad_rows(resolution: Resolution, path: str, number: int, bad: str = LOW_ABOVE_HIGH) -> list[str]:
    """The rows of a good file, of which one (from 1) has these numbers."""
    rows = rows_of(resolution, path)
    rows[number - 1] = rows[number - 1].split(",")[0] + "," + bad
    return rows


@pytest.mark.parametrize(("numbers", "fault"), BAD_NUMBERS.values(), ids=BAD_NUMBERS.keys())
@pytest.mark.parametrize("resolution", ["minute", "daily"])
def test_verify_lists_row_and_field(
    command: CommandLine, served: ServeCommand, resolution: str, numbers: str, fault: str
) -> None:
    """Exit 1, and the file stays as it is."""
    served()
    path = minute_file(DAYS[0]) if resolution == "minute" else "daily/spy.zip"
    content = put(command.data, path, bad_rows(Resolution(resolution), path, 2, numbers))

    listed = command.run("verify", "--resolution", resolution, "--json")

    assert listed.code == 1
    (damaged,) = json.loads(listed.out)["damaged"]
    assert damaged["path"] == str(command.data / "equity/usa" / path)
    assert damaged["reason"].startswith(f"row 2 {fault}")
    assert (command.data / "equity/usa" / path).read_bytes() == content


def test_a_good_day_takes_the_place_of_the_file(polygon_server: Serve, tmp_path: Path) -> None:
    """A scan finds the row, and the download requests that day alone."""
    rig = Rig(tmp_path, polygon_server(MARKET).url)
    rig.download("SPY", DAYS)
    put(rig.data, minute_file(DAYS[1]), bad_rows(MINUTE, minute_file(DAYS[1]), 3))

    report = rig.download("SPY", DAYS, refresh=False)

    assert counted(report) == (2, 1, 0, 0)
    assert rig.csv() == lean_files(MARKET, "SPY", DAYS, MINUTE)


@pytest.mark.parametrize("resolution", [MINUTE, DAILY])
def test_the_file_stays_while_no_good_day_arrives(
    polygon_server: Serve, tmp_path: Path, resolution: Resolution
) -> None:
    """The vendor's bar is bad as well, or it has none: the day has failed, and nothing is renamed."""
    path = minute_file(DAYS[1]) if resolution is MINUTE else "daily/spy.zip"
    content = put(tmp_path / "data", path, bad_rows(resolution, path, 2))
    others = [day for day in DAYS if day != DAYS[1]]
    without = Market.synthetic(["SPY"], others, "daily" if resolution is DAILY else "minute", bars_per_day=5)
    server = polygon_server(without)
    rig = Rig(tmp_path, server.url)

    lacking = rig.download("SPY", [DAYS[1]], resolution, refresh=True)
    server.market = MARKET
    server.on_request = lambda request, n: faults.odd_field("c", 0.0)
    bad = rig.download("SPY", [DAYS[1]], resolution, refresh=True)

    assert "stays" in only_failure(lacking, "SPY", [DAYS[1]]).error
    assert f"{DAYS[1]}" in only_failure(bad, "SPY", [DAYS[1]]).error
    assert "has close 0" in only_failure(bad, "SPY", [DAYS[1]]).error
    folder = (rig.data / "equity/usa" / path).parent
    assert {found.name: found.read_bytes() for found in folder.iterdir()} == {Path(path).name: content}


def test_another_day_leaves_the_bad_row_of_a_daily_file(polygon_server: Serve, tmp_path: Path) -> None:
    """A day that is added keeps the row, without a copy of the file; the good day replaces it."""
    rows = bad_rows(DAILY, "daily/spy.zip", 2)
    put(tmp_path / "data", "daily/spy.zip", rows[:2])
    server = polygon_server(MARKET, on_request=lambda request, n: faults.edited(without_second_day))
    rig = Rig(tmp_path, server.url)

    added = rig.download("SPY", DAYS, DAILY)

    assert counted(added) == (1, 1, 0, 1)
    assert rig.csv() == {"daily/spy.zip": "\n".join(rows).encode()}
    assert [path.name for path in (rig.data / "equity/usa/daily").iterdir()] == ["spy.zip"]

    server.on_request = None
    assert rig.download("SPY", DAYS, DAILY, refresh=True).complete
    assert "\n".join(rows_of(DAILY, "daily/spy.zip")).encode() == read(rig.data / "equity/usa/daily/spy.zip")
    assert len(list((rig.data / "equity/usa/daily").iterdir())) == 2


def without_second_day(answer: dict[str, object]) -> dict[str, object]:
    """The answer without the bar of the second day."""
    bars = answer["results"]
    assert isinstance(bars, list)
    kept = [bar for bar in bars if date.fromtimestamp(bar["t"] / 1000) != DAYS[1]]
    return {**answer, "results": kept, "resultsCount": len(kept), "count": len(kept)}


def read(path: Path) -> bytes:
    """The first member of a zip."""
    with zipfile.ZipFile(path) as archive:
        return archive.read(archive.namelist()[0])
