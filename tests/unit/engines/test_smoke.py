"""The smoke test of the data: what it reads, and what its figures are."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from pathlib import Path

import pytest

from server.core.cancel import CancelToken
from server.core.errors import Cancelled
from server.core.json import to_json
from server.engines.base import EngineRequest, EngineResult
from server.engines.hold import DayPrices, equal_weight_equity, max_drawdown
from server.engines.smoke import SmokeEngine
from server.lean.series import Resolution
from server.trading_calendar import USEquityTradingCalendar

MON, TUE, WED = date(2024, 1, 8), date(2024, 1, 9), date(2024, 1, 10)
OPEN_MS, CLOSE_MS, MINUTE_MS = 34_200_000, 57_600_000, 60_000
NOW = datetime(2024, 2, 1, 12, tzinfo=UTC)

Rows = list[tuple[int, float, float]]  # milliseconds of the day, open, close


@pytest.fixture
def calendar() -> USEquityTradingCalendar:
    """Three ordinary days, and the half days after Thanksgiving and before Christmas."""
    half_days = {date(2023, 11, 24): time_of_day(13), date(2015, 12, 24): time_of_day(13)}
    sessions = sorted({*half_days, MON, TUE, WED, *(date(2013, 10, day) for day in range(7, 12))})
    return USEquityTradingCalendar(sessions, half_days, date(2024, 12, 31))


@pytest.fixture
def run(tmp_path: Path, calendar: USEquityTradingCalendar) -> Callable[..., EngineResult]:
    """Run the engine over the data folder below tmp_path (or another)."""

    def run_engine(
        symbols: tuple[str, ...] = ("SPY",),
        resolution: Resolution = Resolution.MINUTE,
        days: tuple[date, ...] = (MON, TUE, WED),
        data_folder: Path | None = None,
        cancel: CancelToken | None = None,
        progress: Callable[[str], None] = lambda line: None,
    ) -> EngineResult:
        request = EngineRequest(
            symbols=symbols,
            resolution=resolution,
            start=days[0],
            end=days[-1],
            data_folder=data_folder or tmp_path,
            days=days,
        )
        engine = SmokeEngine(calendar, lambda: NOW)
        return engine.run(request, cancel=cancel or CancelToken(), on_line=progress)

    return run_engine


def write_zip(path: Path, member: str, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, text)


def write_minutes(folder: Path, symbol: str, day: date, rows: Rows, member: str | None = None) -> Path:
    """A minute file with high and low around open and close, 100 shares a bar."""
    path = folder / "equity/usa/minute" / symbol.lower() / f"{day:%Y%m%d}_trade.zip"
    text = "\n".join(
        f"{at},{open_ * 10_000:.0f},{max(open_, close) * 10_000:.0f},{min(open_, close) * 10_000:.0f},"
        f"{close * 10_000:.0f},100"
        for at, open_, close in rows
    )
    write_zip(path, member or f"{day:%Y%m%d}_{symbol.lower()}_minute_trade.csv", text)
    return path


def write_daily(folder: Path, symbol: str, rows: dict[date, tuple[float, float]]) -> None:
    text = "\n".join(
        f"{day:%Y%m%d} 00:00,{open_ * 10_000:.0f},{max(open_, close) * 10_000:.0f},{min(open_, close) * 10_000:.0f},"
        f"{close * 10_000:.0f},100"
        for day, (open_, close) in rows.items()
    )
    write_zip(folder / "equity/usa/daily" / f"{symbol.lower()}.zip", f"{symbol.lower()}.csv", text)


# --- figures ---


def test_equity_is_parts_times_close_over_first_open(run, tmp_path: Path) -> None:
    """Each symbol's part is bought at the open of its first bar and is worth its shares times the last close."""
    write_daily(tmp_path, "SPY", {MON: (400.0, 410.0), TUE: (411.0, 380.0), WED: (380.0, 420.0)})
    write_daily(tmp_path, "BAC", {MON: (30.0, 33.0), TUE: (33.0, 30.0), WED: (30.0, 24.0)})

    result = run(("SPY", "BAC"), Resolution.DAILY)

    expected = [50_000 / 400 * spy + 50_000 / 30 * bac for spy, bac in ((410, 33), (380, 30), (420, 24))]
    assert result.equity.dates == (MON, TUE, WED)
    assert result.equity.values == pytest.approx(expected, rel=1e-12)
    assert result.statistics["End Equity"] == f"{expected[-1]:.2f}" == "92500.00"
    assert result.statistics["Total Return"] == "-7.500%"
    assert result.statistics["Max Drawdown"] == f"{(expected[0] - min(expected[1:])) / expected[0]:.3%}"
    assert (result.statistics["Days Up"], result.statistics["Days Down"]) == ("1", "2")
    assert (result.statistics["SPY Return"], result.statistics["BAC Return"]) == ("5.000%", "-20.000%")


def test_a_day_without_data_carries_the_last_close(run, tmp_path: Path) -> None:
    """A day missing in the file leaves the equity where it was; a late symbol is cash until its first bar."""
    write_daily(tmp_path, "SPY", {MON: (100.0, 110.0), WED: (115.0, 120.0)})
    write_daily(tmp_path, "NEW", {WED: (10.0, 12.0)})

    result = run(("SPY", "NEW"), Resolution.DAILY)

    assert result.equity.values == pytest.approx([55_000 + 50_000, 55_000 + 50_000, 60_000 + 60_000])
    assert (result.days, result.bars) == (2, 3)
    assert result.failed_data_requests == ()


def test_rows_of_other_days_are_left_alone(run, tmp_path: Path) -> None:
    """A daily zip holds years; only the wanted trading days count."""
    write_daily(tmp_path, "SPY", {date(2023, 12, 29): (1.0, 1.0), TUE: (100.0, 101.0), date(2024, 1, 11): (9.0, 9.0)})

    result = run(resolution=Resolution.DAILY)

    assert result.bars == 1
    assert result.equity.values == pytest.approx([100_000, 101_000, 101_000])


@pytest.mark.damaged_zips
def test_a_close_that_is_no_number_of_dollars(run, tmp_path: Path) -> None:
    """A price of 400 digits is infinite; the run goes on."""
    rows = [f"{day:%Y%m%d} 00:00,1000000,1000000,1000000,{close},100" for day, close in ((MON, "1" * 400), (TUE, "9"))]
    write_zip(tmp_path / "equity/usa/daily/spy.zip", "spy.csv", "\n".join(rows))

    assert run(resolution=Resolution.DAILY).bars == 2


def test_the_drawdown_counts_from_the_starting_capital() -> None:
    """A fall on the first day is a drawdown, and the deepest of several counts."""
    assert max_drawdown([90.0, 120.0, 102.0], start=100.0) == pytest.approx(0.15)
    assert max_drawdown([80.0, 120.0, 108.0], start=100.0) == pytest.approx(0.20)
    assert max_drawdown([], start=100.0) == 0.0


def test_nothing_is_bought_at_no_price() -> None:
    """A first open of zero buys nothing; the next one does."""
    sessions = {"X": {MON: DayPrices(0.0, 5.0), TUE: DayPrices(10.0, 11.0)}}

    assert equal_weight_equity(sessions, (MON, TUE), start=100.0) == pytest.approx([100.0, 110.0])


# --- reading as LEAN reads ---


def test_only_the_regular_session_counts(run, tmp_path: Path) -> None:
    """The minute before 9:30 and the minute of 16:00 are dropped; those that begin at 9:30 and 15:59 are kept."""
    rows = [
        (OPEN_MS - MINUTE_MS, 1.0, 1.0),
        (OPEN_MS, 100.0, 101.0),
        (CLOSE_MS - MINUTE_MS, 102.0, 103.0),
        (CLOSE_MS, 999.0, 999.0),
    ]
    write_minutes(tmp_path, "SPY", MON, rows)

    result = run(days=(MON,))

    assert (result.bars, result.statistics["Bars Outside Regular Trading"]) == (2, "2")
    assert result.equity.values == pytest.approx([103_000])


def test_an_early_close_ends_the_session(run, tmp_path: Path) -> None:
    """On a half day the file is not cut at 13:00, but the bars from 13:00 on are not used."""
    day, one = date(2023, 11, 24), 13 * 3_600_000
    rows = [(OPEN_MS, 100.0, 100.0), (one - MINUTE_MS, 100.0, 104.0), (one, 200.0, 200.0)]
    write_minutes(tmp_path, "SPY", day, rows)

    result = run(days=(day,))

    assert (result.bars, result.equity.values) == (2, pytest.approx((104_000,)))


@pytest.mark.damaged_zips
def test_the_first_member_is_read_whatever_its_name(run, tmp_path: Path) -> None:
    """LEAN's reader asks for no name, and neither does the smoke test."""
    path = write_minutes(tmp_path, "SPY", MON, [(OPEN_MS, 100.0, 105.0)], member="odd/name.csv")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("second.csv", "nonsense")

    result = run(days=(MON,))

    assert (result.bars, result.equity.values) == (1, pytest.approx((105_000,)))


@pytest.mark.damaged_zips
def test_rows_that_lean_drops_are_not_used(run, tmp_path: Path) -> None:
    """A row out of order is dropped, as in LEAN, and a note says so; the result is LEAN's."""
    write_daily(tmp_path, "SPY", {MON: (100.0, 110.0), WED: (120.0, 130.0), TUE: (110.0, 200.0)})

    result = run(resolution=Resolution.DAILY)

    assert result.equity.values == pytest.approx([110_000, 110_000, 130_000])
    path = "equity/usa/daily/spy.zip"
    loss = f"{path} (2024-01-09): LEAN loses 1 readable row of that day; 1 row out of order"
    assert f"Not fed by LEAN: {loss}" in result.notes
    assert result.statistics["Damaged Files"] == "0"


def test_missing_files_are_counted_as_leans_failed_data_requests(run, tmp_path: Path) -> None:
    """A missing file is named by its path below the data folder; the day is skipped."""
    write_minutes(tmp_path, "SPY", TUE, [(OPEN_MS, 100.0, 101.0)])

    result = run()

    assert result.failed_data_requests == (
        "equity/usa/minute/spy/20240108_trade.zip",
        "equity/usa/minute/spy/20240110_trade.zip",
    )
    assert result.statistics["Failed Data Requests"] == "2"
    assert result.equity.values == pytest.approx([100_000, 101_000, 101_000])
    assert any("2 files not found: equity/usa/minute/spy/20240108_trade.zip" in note for note in result.notes)


def test_a_missing_daily_file_is_one_failed_request(run) -> None:
    """All days of a symbol stand in one file; without it, nothing is read and its part stays cash."""
    result = run(("SPY", "BAC"), Resolution.DAILY)

    assert result.failed_data_requests == ("equity/usa/daily/spy.zip", "equity/usa/daily/bac.zip")
    assert (result.bars, result.days, result.equity.values) == (0, 0, (100_000.0,) * 3)
    assert "No bars, held as cash: SPY, BAC" in result.notes


@pytest.mark.damaged_zips
@pytest.mark.parametrize("damage", ["junk", "empty", "cut", "folder", "columns"])
def test_damaged_files_are_named(run, tmp_path: Path, damage: str) -> None:
    """A file that LEAN could not read is named with the reason, and the rest is read."""
    write_minutes(tmp_path, "SPY", TUE, [(OPEN_MS, 100.0, 101.0)])
    path = write_minutes(tmp_path, "SPY", MON, [(OPEN_MS, 50.0, 50.0)])
    whole = path.read_bytes()
    path.unlink()
    match damage:
        case "junk":
            path.write_bytes(b"no zip at all")
        case "empty":
            path.touch()
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "folder":
            path.mkdir()
        case "columns":
            write_zip(path, "20240108_spy_minute_trade.csv", f"{OPEN_MS},1000000,1000000,1000000,1000000")

    result = run(days=(MON, TUE))

    assert result.statistics["Damaged Files"] == "1"
    assert result.failed_data_requests == ()
    assert any(
        note.startswith("Damaged, as LEAN would find it: equity/usa/minute/spy/20240108_trade.zip")
        for note in result.notes
    )
    assert result.equity.values == pytest.approx([100_000, 101_000])


# --- what it says, and that it stops ---


def test_it_says_what_it_is(run, tmp_path: Path) -> None:
    """The first line says that this is not LEAN, the notes that prices are raw."""
    write_minutes(tmp_path, "SPY", MON, [(OPEN_MS, 100.0, 101.0)])
    lines: list[str] = []

    result = run(days=(MON,), progress=lines.append)

    assert result.engine == "smoke"
    assert "smoke test of the data, not a LEAN backtest" in result.summary[0]
    assert "1 minute bars of regular trading on 1 day, from 1 file; 0 missing, 0 damaged" in result.summary[1]
    assert (
        "$100,000.00 became $101,000.00, return +1.00%, max drawdown 0.00%, 1 day up, 0 days down" in result.summary[2]
    )
    assert "There are no factor files, so prices are not adjusted" in result.notes[0]
    assert "SPY has no factor file, so prices are not adjusted for splits and dividends" in result.notes
    assert lines == ["SPY: 1 minute bars in 1 file"]


def test_the_result_is_plain_json(run, tmp_path: Path) -> None:
    """It holds nothing but JSON's types."""
    write_minutes(tmp_path, "SPY", MON, [(OPEN_MS, 100.0, 101.0)])

    found = json.loads(json.dumps(to_json(run(days=(MON,)))))

    assert found["equity"] == {"dates": ["2024-01-08"], "values": [101_000.0]}
    assert (found["engine"], found["bars"], found["started_at"]) == ("smoke", 1, NOW.isoformat())
    assert found["results_folder"] is None


def test_a_cancelled_run_stops(run) -> None:
    """Once cancelled, no further file is read."""
    cancel = CancelToken()
    cancel.cancel()

    with pytest.raises(Cancelled, match="cancelled"):
        run(cancel=cancel)


def test_a_hostile_symbol_never_becomes_a_path(run) -> None:
    """A request with something that is no symbol cannot even be made."""
    with pytest.raises(ValueError, match="is not a US equity symbol"):
        run(("../../etc",))


def test_a_year_of_minutes_is_read(tmp_path: Path) -> None:
    """252 files of 390 bars."""
    every_day = (date.fromordinal(date(2024, 1, 1).toordinal() + index) for index in range(366))
    sessions = [day for day in every_day if day.weekday() < 5][:252]
    rows = [(OPEN_MS + minute * MINUTE_MS, 100.0, 100.5) for minute in range(390)]
    for day in sessions:
        write_minutes(tmp_path, "SPY", day, rows)
    engine = SmokeEngine(USEquityTradingCalendar(sessions, {}, sessions[-1]), lambda: NOW)
    request = EngineRequest(
        symbols=("SPY",),
        resolution=Resolution.MINUTE,
        start=sessions[0],
        end=sessions[-1],
        data_folder=tmp_path,
        days=tuple(sessions),
    )

    result = engine.run(request, cancel=CancelToken(), on_line=lambda line: None)

    assert result.bars == 252 * 390


# --- LEAN's own files ---


def sample_rows(path: Path) -> list[list[str]]:
    with zipfile.ZipFile(path) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize("resolution", [Resolution.MINUTE, Resolution.SECOND])
def test_buy_and_hold_of_leans_samples(run, lean_sample_data: Path, resolution: Resolution) -> None:
    """SPY and BAC of 2013-10-07 to 11 give what zipfile, csv and plain arithmetic give."""
    days = tuple(date(2013, 10, day) for day in range(7, 12))
    expected, count = [0.0] * len(days), 0
    for symbol in ("spy", "bac"):
        shares = 0.0
        for index, day in enumerate(days):
            path = lean_sample_data / "equity/usa" / resolution.value / symbol / f"{day:%Y%m%d}_trade.zip"
            regular = [row for row in sample_rows(path) if OPEN_MS <= int(row[0]) < CLOSE_MS]
            count += len(regular)
            shares = shares or 50_000 / (float(regular[0][1]) / 10_000)
            expected[index] += shares * float(regular[-1][4]) / 10_000

    result = run(("SPY", "BAC"), resolution, days, lean_sample_data)

    assert result.equity.values == pytest.approx(expected, rel=1e-12)
    assert result.bars == count
    assert (result.days, result.failed_data_requests) == (5, ())
    assert result.statistics["Damaged Files"] == "0"


def test_buy_and_hold_of_leans_daily_samples(run, lean_sample_data: Path) -> None:
    """The daily sample of SPY gives its own rows of the wanted days back."""
    days = tuple(date(2013, 10, day) for day in range(7, 12))
    rows = {row[0][:8]: row for row in sample_rows(lean_sample_data / "equity/usa/daily/spy.zip")}
    wanted = [rows[f"{day:%Y%m%d}"] for day in days]

    result = run(("SPY",), Resolution.DAILY, days, lean_sample_data)

    assert result.equity.values == pytest.approx([100_000 / float(wanted[0][1]) * float(row[4]) for row in wanted])
    assert result.bars == 5
