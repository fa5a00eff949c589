"""Downloads of LEAN's own data and of the vendor's recorded responses."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from server.lean.series import Resolution
from server.plugins.polygon_provider import budget
from tests.support.cassettes import UseCassette
from tests.support.harness import FakeTime, Rig, lean_decimal
from tests.support.market import Market, clock
from tests.support.polygon_downloads import DAILY, MINUTE, SECOND, Serve
from tests.support.reports import counted

# --- LEAN's own data and the vendor's own answers ---


@pytest.mark.parametrize(
    ("symbol", "resolution", "start", "end"),
    [
        ("SPY", MINUTE, date(2013, 10, 4), date(2013, 10, 11)),
        ("BAC", MINUTE, date(2013, 10, 4), date(2013, 10, 11)),
        ("SPY", SECOND, date(2013, 10, 7), date(2013, 10, 11)),
        ("BAC", SECOND, date(2013, 10, 7), date(2013, 10, 11)),
        ("AAPL", DAILY, date(1998, 1, 2), date(2021, 3, 31)),
        ("FOXA", DAILY, date(2013, 7, 1), date(2021, 3, 31)),
    ],
)
def test_leans_samples_come_back_as_they_are(
    polygon_server: Serve,
    lean_sample_data: Path,
    tmp_path: Path,
    symbol: str,
    resolution: Resolution,
    start: date,
    end: date,
) -> None:
    """Served as the vendor would and downloaded: LEAN's files, CSV for CSV."""
    import zipfile

    market = Market.from_lean_folder(lean_sample_data, symbol, resolutions=(resolution,))
    rig = Rig(tmp_path, polygon_server(market).url)

    report = rig.download(symbol, [start, end], resolution)

    assert report.days_failed == 0
    mine = rig.csv()
    assert mine
    for name, content in mine.items():
        with zipfile.ZipFile(lean_sample_data / "equity" / "usa" / name) as archive:
            theirs = archive.read(archive.namelist()[0]).removesuffix(b"\n").split(b"\n")
        if resolution is DAILY:
            theirs = [row for row in theirs if f"{start:%Y%m%d}" <= row[:8].decode() <= f"{end:%Y%m%d}"]
        assert content.split(b"\n") == theirs, name
    if resolution is not DAILY:
        folder = lean_sample_data / "equity" / "usa" / resolution.value / symbol.lower()
        wanted = {
            path.name for path in folder.glob("*_trade.zip") if f"{start:%Y%m%d}" <= path.name[:8] <= f"{end:%Y%m%d}"
        }
        assert {Path(name).name for name in mine} == wanted


def recorded_rows(name: str, resolution: Resolution) -> dict[date, list[str]]:
    """LEAN's rows of a cassette's bars, worked out from its text."""
    import json
    from collections import defaultdict

    import yaml

    from tests.support.cassettes import FOLDER
    from tests.support.market import new_york_day

    rows = defaultdict(list)
    for tape in yaml.safe_load((FOLDER / f"{name}.yaml").read_text())["interactions"]:
        if tape["response"]["status"]["code"] != 200:
            continue
        for bar in json.loads(tape["response"]["body"]["string"]).get("results", []):
            day = new_york_day(bar["t"])
            label = f"{day:%Y%m%d} 00:00" if resolution is DAILY else str(bar["t"] - clock(day))
            prices = [lean_decimal(float(bar[column]), 10_000) for column in "ohlc"]
            rows[day].append(",".join([label, *prices, lean_decimal(float(bar["v"]))]))
    return rows


@pytest.mark.parametrize(
    ("name", "symbol", "resolution", "start", "end", "calls"),
    [
        ("aapl-daily-2023-01-03-10", "AAPL", DAILY, date(2023, 1, 3), date(2023, 1, 10), 1),
        ("aapl-daily-2025-01-06-07", "AAPL", DAILY, date(2025, 1, 6), date(2025, 1, 7), 1),
        ("nvda-daily-2024-10-14-delayed", "NVDA", DAILY, date(2024, 10, 14), date(2024, 10, 14), 1),
        ("spy-daily-2026-04-17-fractional-volume", "SPY", DAILY, date(2026, 4, 17), date(2026, 4, 17), 1),
        ("aapl-minute-2023-01-03-premarket", "AAPL", MINUTE, date(2023, 1, 3), date(2023, 1, 3), 1),
        ("aapl-minute-2023-07-31-paged", "AAPL", MINUTE, date(2023, 7, 31), date(2023, 7, 31), 2),
        ("error-504-html", "AAPL", DAILY, date(2023, 1, 3), date(2023, 1, 10), 2),
        ("error-429", "AAPL", DAILY, date(2023, 1, 3), date(2023, 1, 10), 2),
    ],
)
def test_recorded_answers_become_leans_files(
    cassette: UseCassette,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    symbol: str,
    resolution: Resolution,
    start: date,
    end: date,
    calls: int,
) -> None:
    """What the vendor really sent, as LEAN would have written it."""
    from server.trading_calendar import USEquityTradingCalendar
    from tests.support import harness

    long = USEquityTradingCalendar.load(date(2026, 1, 1))
    monkeypatch.setattr(harness, "calendar", lambda: long)
    clockwork = FakeTime()
    monkeypatch.setattr(budget, "time", clockwork)
    rig = Rig(tmp_path, "https://api.polygon.io", now=datetime(2026, 6, 1, 12, tzinfo=UTC), pause=clockwork.pause)

    with cassette(name):
        report = rig.download(symbol, [start, end], resolution)

    rows = recorded_rows(name, resolution)
    assert report.complete
    assert (report.api_calls, report.days_downloaded) == (calls, len(rows))
    if resolution is DAILY:
        expected = {f"daily/{symbol.lower()}.zip": "\n".join(row for day in sorted(rows) for row in rows[day])}
    else:
        expected = {f"minute/{symbol.lower()}/{day:%Y%m%d}_trade.zip": "\n".join(rows[day]) for day in rows}
    assert {path: content.decode() for path, content in rig.csv().items()} == expected


def test_the_recorded_week_in_figures(cassette: UseCassette, tmp_path: Path) -> None:
    """AAPL's first days of 2023, as OpenBB recorded them; the volume of a day is printed whole."""
    rig = Rig(tmp_path, "https://api.polygon.io")
    with cassette("aapl-daily-2023-01-03-10"):
        rig.download("AAPL", [date(2023, 1, 3), date(2023, 1, 10)], DAILY)

    rows = rig.csv()["daily/aapl.zip"].decode().split("\n")
    assert rows[0] == "20230103 00:00,1302800,1309000,1241700,1250700,112117471"
    assert [row[:14] for row in rows] == [f"202301{day:02} 00:00" for day in (3, 4, 5, 6, 9, 10)]


@pytest.mark.parametrize(
    ("name", "symbol", "start", "end", "code", "words"),
    [
        ("error-401-unknown-key", "AAPL", date(2023, 1, 3), date(2023, 1, 10), "authentication", "Unknown API Key"),
        ("error-403-not-entitled", "AAPL", date(2023, 1, 3), date(2023, 1, 10), "plan_limit", "not entitled"),
        ("error-403-plan-timeframe", "SPY", date(2016, 5, 9), date(2016, 5, 20), "plan_limit", "data timeframe"),
        ("error-404", "ZZZZZ", date(2023, 1, 3), date(2023, 1, 10), "symbol_not_found", "Ticker not found"),
    ],
)
def test_recorded_refusals_are_reported_in_the_vendors_words(
    cassette: UseCassette, tmp_path: Path, name: str, symbol: str, start: date, end: date, code: str, words: str
) -> None:
    """One request, the text and the request id."""
    rig = Rig(tmp_path, "https://api.polygon.io")
    with cassette(name):
        report = rig.download(symbol, [start, end], DAILY)

    (failure,) = report.failures
    assert failure.code == code
    assert words in failure.error
    assert "request id" in failure.error
    assert report.api_calls == 1


def test_a_recorded_answer_about_an_unknown_ticker_is_a_failure(cassette: UseCassette, tmp_path: Path) -> None:
    """It has no results, and the ticker is neither active nor inactive."""
    rig = Rig(tmp_path, "https://api.polygon.io")
    with cassette("empty-range"):
        report = rig.download("ZZZZZ", [date(2023, 1, 3), date(2023, 1, 10)], DAILY)

    assert counted(report) == (0, 0, 0, 6)
    assert report.failures[0].code == "symbol_not_found"
