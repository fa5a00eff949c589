"""What a provider may not deliver: each error names the provider, the series and the mistake; nothing is written."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from server.data_download.availability import Gap
from server.data_download.provider import DataSink
from server.data_download.report import DownloadReport
from server.lean.bars import Bars
from server.lean.series import Resolution, Series
from tests.support.harness import Rig, sessions
from tests.support.scripted_provider import ScriptedProvider, bars_on

DAYS = sessions(date(2024, 3, 4), 3)
BEFORE = date(2024, 3, 1)
SPY = Series("SPY", Resolution.MINUTE)

Fetch = Callable[[Gap, DataSink], object]


class OwnBars(Bars):
    """A subclass, which could do anything when it is indexed."""


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """A data folder."""
    return Rig(tmp_path)


def download(rig: Rig, fetch: Fetch, resolution: Resolution = Resolution.MINUTE) -> DownloadReport:
    """Download three days of SPY from a provider that does this with the gap."""

    def fetch_all(gaps: Sequence[Gap], sink: DataSink) -> None:
        for gap in gaps:
            fetch(gap, sink)

    return rig.download("SPY", DAYS, resolution, provider=ScriptedProvider(fetch_all).hosted())


def with_column(name: str, column: Any) -> Bars:
    """Bars of three days of which one column is another."""
    return attrs.evolve(bars_on(*DAYS), **{name: column})


def own_bars() -> Bars:
    """Valid columns in a subclass."""
    bars = bars_on(*DAYS)
    return OwnBars(**{attribute.name: getattr(bars, attribute.name) for attribute in attrs.fields(Bars)})


def reversed_bars() -> Bars:
    """Bars in descending order."""
    return bars_on(*reversed(DAYS))


F = np.float64
INVALID: dict[str, tuple[Fetch, str]] = {
    "days descending": (lambda gap, sink: sink.bars(SPY, DAYS[::-1], bars_on(*DAYS)), "not ascending"),
    "day repeated": (lambda gap, sink: sink.bars(SPY, [DAYS[0], DAYS[0]], bars_on(DAYS[0])), "repeated"),
    "day not requested": (lambda gap, sink: sink.bars(SPY, [BEFORE], bars_on(BEFORE)), "2024-03-01 was not requested"),
    "day is a datetime": (
        lambda gap, sink: sink.bars(SPY, [datetime(2024, 3, 4)], bars_on(DAYS[0])),
        "a day is a datetime; it must be a datetime.date",
    ),
    "day is text": (lambda gap, sink: sink.bars(SPY, ["2024-03-04"], bars_on(DAYS[0])), "a day is a str"),  # type: ignore[list-item]
    "bars without days": (lambda gap, sink: sink.bars(SPY, [], bars_on(*DAYS)), "without the days they belong to"),
    "bar outside its days": (lambda gap, sink: sink.bars(SPY, DAYS[:1], bars_on(*DAYS[:2])), "2024-03-05"),
    "bars descending": (lambda gap, sink: sink.bars(SPY, DAYS, reversed_bars()), "bars are out of order or repeated"),
    "other series": (
        lambda gap, sink: sink.bars(Series("QQQ", Resolution.MINUTE), DAYS, bars_on(*DAYS)),
        "QQQ minute from acme: the series was not requested",
    ),
    "other series without bars": (
        lambda gap, sink: sink.bars(Series("SPY", Resolution.SECOND), [], bars_on()),
        "SPY second from acme: the series was not requested",
    ),
    "series is text": (lambda gap, sink: sink.bars("SPY", DAYS, bars_on(*DAYS)), "the series is a str"),  # type: ignore[arg-type]
    "None": (lambda gap, sink: sink.bars(SPY, DAYS, None), "the bars are a NoneType; they must be Bars"),  # type: ignore[arg-type]
    "subclass": (lambda gap, sink: sink.bars(SPY, DAYS, own_bars()), "the bars are a OwnBars; they must be Bars"),
    "list": (lambda gap, sink: sink.bars(SPY, DAYS, with_column("open", [1.0, 2.0, 3.0])), "the column open is list"),
    "masked array": (
        lambda gap, sink: sink.bars(SPY, DAYS, with_column("low", np.ma.array([1.0, 2.0, 3.0]))),
        "the column low is MaskedArray",
    ),
    "int32": (
        lambda gap, sink: sink.bars(SPY, DAYS, with_column("time", bars_on(*DAYS).time.astype(np.int32))),
        "the column time is int32 of shape (3,); it must be a one-dimensional numpy array of int64",
    ),
    "float32": (
        lambda gap, sink: sink.bars(SPY, DAYS, with_column("close", np.ones(3, np.float32))),
        "the column close is float32",
    ),
    "big-endian": (
        lambda gap, sink: sink.bars(SPY, DAYS, with_column("high", np.ones(3, ">f8"))),
        "the column high is >f8",
    ),
    "two dimensions": (
        lambda gap, sink: sink.bars(SPY, DAYS, with_column("volume", np.ones((3, 1)))),
        "the column volume is float64 of shape (3, 1)",
    ),
    "unequal length": (
        lambda gap, sink: sink.bars(SPY, DAYS, with_column("volume", np.ones(2))),
        "the column volume has 2 values, the column time 3",
    ),
}


@pytest.mark.parametrize(("fetch", "words"), INVALID.values(), ids=INVALID.keys())
def test_an_invalid_delivery_is_refused_by_name(rig: Rig, fetch: Fetch, words: str) -> None:
    """In one line; no file is written and no day counts as empty."""
    report = download(rig, fetch)

    assert (report.days_failed, report.days_empty, report.days_downloaded) == (3, 0, 0)
    (failure,) = report.failures
    assert failure.code == "bad_response"
    assert words in failure.error
    assert " from acme: " in failure.error
    assert "\n" not in failure.error
    assert rig.csv() == {}


N = np.nan
BAD_COLUMNS = {
    "close not a number": ("close", [10.25, N, 10.25], "has no close"),
    "open not a number": ("open", [10.25, N, 10.25], "has no open"),
    "volume not a number": ("volume", [1.0, N, 1.0], "has no volume"),
    "zero": ("low", [10.25, 0, 10.25], "has low 0, but prices are above 0"),
    "negative": ("low", [10.25, -1, 10.25], "has low -1, but prices"),
    "infinite": ("high", [10.25, np.inf, 10.25], "has high inf, but prices"),
    "not a decimal of LEAN's": ("high", [10.25, 1e29, 10.25], "has high 1e+29, but prices"),
    "high below low": ("high", [10.25, 10.24, 10.25], "has low 10.25 above high 10.24"),
    "open outside": ("open", [10.25, 10.26, 10.25], "has open 10.26 outside its range, low 10.25 to high 10.25"),
    "negative volume": ("volume", [1.0, -1.0, 1.0], "has volume -1, but volumes"),
    "infinite volume": ("volume", [1.0, np.inf, 1.0], "has volume inf"),
}


@pytest.mark.parametrize("daily", [False, True])
@pytest.mark.parametrize(("name", "column", "words"), BAD_COLUMNS.values(), ids=BAD_COLUMNS.keys())
def test_a_day_with_a_bad_bar_fails_alone(rig: Rig, daily: bool, name: str, column: list[float], words: str) -> None:
    """Whatever the provider: the other days are written, and the reason names symbol, day, time and field."""
    bars = attrs.evolve(bars_on(*DAYS, daily=daily), **{name: np.array(column, F)})
    resolution = Resolution.DAILY if daily else Resolution.MINUTE

    report = download(rig, lambda gap, sink: sink.bars(gap.series, DAYS, bars), resolution)

    assert (report.days_downloaded, report.days_empty, report.days_failed) == (2, 0, 1)
    (failure,) = report.failures
    assert (failure.symbol, failure.days, failure.code) == ("SPY", (DAYS[1],), "bad_response")
    time = "00:00:00" if daily else "09:30:00"
    assert failure.error.startswith(
        f"SPY {resolution.value} 2024-03-05 from acme: the bar of 2024-03-05 {time} New York {words}"
    )
    rows = b"".join(rig.csv().values())
    assert rows.count(b",102500,102500,102500,102500,1") == 2


def test_all_days_may_fail_for_bad_bars(rig: Rig) -> None:
    """Each for its own reason; nothing is written."""
    report = download(rig, lambda gap, sink: sink.bars(SPY, DAYS, with_column("close", np.zeros(3))))

    assert [failure.days for failure in report.failures] == [(day,) for day in DAYS]
    assert rig.csv() == {}


def test_a_day_without_bars_is_empty(rig: Rig) -> None:
    """The valid counterpart: three days, bars of one."""
    report = download(rig, lambda gap, sink: sink.bars(SPY, DAYS, bars_on(DAYS[1])))

    assert (report.days_failed, report.days_empty, report.days_downloaded) == (0, 2, 1)
    assert list(rig.csv()) == ["minute/spy/20240305_trade.zip"]


# --- LEAN's own files ---

ROW = "{:%Y%m%d} 00:00,4000000,4010000,3990000,4005000,{}"
DAILY = Series("SPY", Resolution.DAILY)


def daily_zip(folder: Path, *rows: str, member: str = "spy.csv", cut: int = 0) -> Path:
    """A zip of daily bars as LEAN writes it, of which the last bytes may be missing."""
    path = folder / "delivery.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, "\n".join(rows))
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])
    return path


def rows_of(*days: date) -> list[str]:
    """A row for each day; its volume is the day of the month."""
    return [ROW.format(day, day.day) for day in days]


def test_a_daily_zip_with_a_day_gives_that_day_alone(rig: Rig, tmp_path: Path) -> None:
    """The other days are not there afterwards, and the delivered file is as it was."""
    path = daily_zip(tmp_path, *rows_of(BEFORE, *DAYS))
    before = path.read_bytes()

    report = download(rig, lambda gap, sink: sink.lean_file(DAILY, DAYS[1], path), Resolution.DAILY)

    assert rig.csv() == {"daily/spy.zip": rows_of(DAYS[1])[0].encode()}
    assert (report.days_downloaded, report.days_failed, report.bars) == (1, 2, 1)
    assert report.failures[0].days == (DAYS[0], DAYS[2])
    assert path.read_bytes() == before


def test_a_daily_zip_without_a_day_gives_all_requested_days(rig: Rig, tmp_path: Path) -> None:
    """And no other: neither an earlier day nor one of a weekend."""
    path = daily_zip(tmp_path, *rows_of(BEFORE, date(2024, 3, 3), *DAYS))

    report = download(rig, lambda gap, sink: sink.lean_file(DAILY, None, path), Resolution.DAILY)

    assert rig.csv() == {"daily/spy.zip": "\n".join(rows_of(*DAYS)).encode()}
    assert (report.days_downloaded, report.bars) == (3, 3)


def test_days_of_daily_zips_are_merged(rig: Rig, tmp_path: Path) -> None:
    """Each day from a zip of its own, in any order."""

    def fetch(gap: Gap, sink: DataSink) -> None:
        for day in reversed(gap.days):
            sink.lean_file(DAILY, day, daily_zip(tmp_path, *rows_of(day)))

    report = download(rig, fetch, Resolution.DAILY)

    assert report.complete
    assert rig.csv() == {"daily/spy.zip": "\n".join(rows_of(*DAYS)).encode()}


BAD_ZIPS: dict[str, tuple[Callable[[Path], Path], date | None, str]] = {
    "no row of the day": (lambda at: daily_zip(at, *rows_of(DAYS[0])), DAYS[1], "has no row of 2024-03-05"),
    "day not requested": (lambda at: daily_zip(at, *rows_of(BEFORE)), BEFORE, "2024-03-01 was not requested"),
    "duplicate": (lambda at: daily_zip(at, *rows_of(DAYS[0], DAYS[0])), DAYS[0], "is not a file of LEAN's"),
    "descending": (lambda at: daily_zip(at, *rows_of(*DAYS[::-1])), None, "is not a file of LEAN's"),
    "short row": (lambda at: daily_zip(at, "20240304 00:00,1,1"), DAYS[0], "is not a file of LEAN's"),
    "damaged row of another day": (
        lambda at: daily_zip(at, *rows_of(DAYS[0]), "20240305 00:00,x,1,1,1,1"),
        DAYS[0],
        "is not a file of LEAN's",
    ),
    "cut": (lambda at: daily_zip(at, *rows_of(*DAYS), cut=30), DAYS[0], "is not a file of LEAN's"),
    "other member": (lambda at: daily_zip(at, *rows_of(*DAYS), member="qqq.csv"), DAYS[0], "member is called qqq.csv"),
    "empty": (lambda at: daily_zip(at, ""), None, "is not a file of LEAN's"),
    "missing": (lambda at: at / "absent.zip", DAYS[0], "absent.zip is not a file of LEAN's"),
}


@pytest.mark.parametrize(("make", "day", "words"), BAD_ZIPS.values(), ids=BAD_ZIPS.keys())
def test_a_bad_zip_is_refused_by_name(
    rig: Rig, tmp_path: Path, make: Callable[[Path], Path], day: date | None, words: str
) -> None:
    """Nothing of it is written."""
    report = download(rig, lambda gap, sink: sink.lean_file(DAILY, day, make(tmp_path)), Resolution.DAILY)

    assert rig.csv() == {}
    assert report.days_failed == 3
    (failure,) = report.failures
    assert failure.error.startswith("SPY daily from acme: ")
    assert words in failure.error


def test_a_minute_zip_needs_its_day(rig: Rig, tmp_path: Path) -> None:
    """Its member names another day, or the provider names none."""
    path = tmp_path / "20240304_trade.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("20240304_spy_minute_trade.csv", "34200000,1,1,1,1,1")

    missing = download(rig, lambda gap, sink: sink.lean_file(SPY, None, path))
    other = download(rig, lambda gap, sink: sink.lean_file(SPY, DAYS[1], path))
    right = download(rig, lambda gap, sink: sink.lean_file(SPY, DAYS[0], path))

    assert "was delivered without its day" in missing.failures[0].error
    assert "the member is called 20240304_spy_minute_trade.csv" in other.failures[0].error
    assert right.days_downloaded == 1
