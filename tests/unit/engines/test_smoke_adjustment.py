"""The smoke engine with factor and map files: prices, tickers and days as in LEAN's default mode."""

from __future__ import annotations

import csv
import io
import shutil
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from server.core.cancel import CancelToken
from server.engines.base import EngineRequest, EngineResult
from server.engines.smoke import SmokeEngine
from server.lean.series import Resolution
from tests.support.corporate import weekdays

CALENDAR = weekdays()
MON, TUE, WED, THU, FRI = (date(2024, 1, day) for day in range(8, 13))
WEEK = (MON, TUE, WED, THU, FRI)
OPEN_MS = 34_200_000
RAW = "so prices are not adjusted for splits and dividends"
Run = Callable[..., EngineResult]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the engine over the data folder below tmp_path."""

    def run_engine(
        *symbols: str, days: tuple[date, ...] = WEEK, resolution: Resolution = Resolution.DAILY
    ) -> EngineResult:
        request = EngineRequest(
            symbols=symbols, resolution=resolution, start=days[0], end=days[-1], data_folder=tmp_path, days=days
        )
        engine = SmokeEngine(CALENDAR, lambda: datetime(2024, 2, 1, tzinfo=UTC))
        return engine.run(request, cancel=CancelToken(), on_line=lambda line: None)

    return run_engine


def put_daily(root: Path, ticker: str, closes: dict[date, float]) -> None:
    """A daily zip whose bars open, trade and close at one price."""
    rows = (f"{day:%Y%m%d} 00:00,{','.join([f'{close * 10_000:.0f}'] * 4)},100" for day, close in closes.items())
    put_zip(root / f"equity/usa/daily/{ticker}.zip", f"{ticker}.csv", "\n".join(rows))


def put_minute(root: Path, ticker: str, day: date, price: float) -> None:
    prices = ",".join([f"{price * 10_000:.0f}"] * 4)
    path = root / f"equity/usa/minute/{ticker}/{day:%Y%m%d}_trade.zip"
    put_zip(path, f"{day:%Y%m%d}_{ticker}_minute_trade.csv", f"{OPEN_MS},{prices},100")


def put_zip(path: Path, member: str, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, text)


def put_file(root: Path, kind: str, symbol: str, *lines: str) -> None:
    path = root / f"equity/usa/{kind}/{symbol}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


# --- splits and dividends ---


def test_a_dividend_is_in_the_prices_and_not_paid_in_cash(run: Run, tmp_path: Path) -> None:
    """A fall by the dividend alone is no loss. By prices and cash it would come to 102 %, by raw prices to 98 %."""
    put_daily(tmp_path, "x", {MON: 100.0, TUE: 100.0, WED: 98.0, THU: 98.0, FRI: 98.0})
    put_file(tmp_path, "factor_files", "x", "19980102,0.98,1,1", "20240109,0.98,1,100", "20501231,1,1,0")

    result = run("X")

    # bought at 100 · 0.98 adjusted; a share is worth 98 adjusted after the dividend of 2 dollars
    assert result.equity.values == pytest.approx([100_000.0] * 5, rel=1e-12)
    assert (result.statistics["Dividends In Prices"], result.statistics["Splits In Prices"]) == ("1", "0")
    assert result.statistics["Symbols With Raw Prices"] == "0"
    assert "no dividend is paid in cash" in result.notes[0]
    assert not any(RAW in note for note in result.notes)


def test_what_is_held_grows_as_if_dividends_were_put_back_in(run: Run, tmp_path: Path) -> None:
    """The return is the product of each day's, the dividend counted to the close of its ex-date."""
    put_daily(tmp_path, "x", {MON: 50.0, TUE: 52.0, WED: 53.0, THU: 51.0, FRI: 54.0})
    # 1.04 dollars before Wednesday: (52 - 1.04)/52 = 0.98
    put_file(tmp_path, "factor_files", "x", "19980102,0.98,1,1", "20240109,0.98,1,52", "20501231,1,1,0")

    values = run("X").equity.values

    shares = 100_000 / 50 * 52 / (52 - 1.04)  # the dividend buys shares at the close before, less the dividend
    assert values == pytest.approx([100_000, 100_000 / 50 * 52, shares * 53, shares * 51, shares * 54], rel=1e-12)


@pytest.mark.parametrize("resolution", [Resolution.DAILY, Resolution.MINUTE])
def test_a_reverse_split_is_no_gain(run: Run, tmp_path: Path, resolution: Resolution) -> None:
    """1:10 before Thursday, in daily and in minute bars; other price moves remain."""
    prices = {MON: 2.0, TUE: 2.0, WED: 2.0, THU: 21.0, FRI: 20.0}
    put_daily(tmp_path, "x", prices)
    for day, price in prices.items():
        put_minute(tmp_path, "x", day, price)
    put_file(tmp_path, "factor_files", "x", "19980102,1,10,1", "20240110,1,10,2", "20501231,1,1,0")

    result = run("X", resolution=resolution)

    assert result.equity.values == pytest.approx([100_000, 100_000, 100_000, 105_000, 100_000])
    assert result.statistics["Splits In Prices"] == "1"
    assert (result.bars, result.statistics["X Return"]) == (5, "0.000%")


def test_events_before_and_after_the_backtest_are_not_its_own(run: Run, tmp_path: Path) -> None:
    """Who buys on Monday gets no dividend of Monday; that of the day after the end changes no return."""
    put_daily(tmp_path, "x", dict.fromkeys(WEEK, 100.0))
    lines = ("19980102,0.81,1,1", "20240105,0.81,1,100", "20240112,0.9,1,100", "20501231,1,1,0")
    put_file(tmp_path, "factor_files", "x", *lines)

    result = run("X")

    assert result.equity.values == pytest.approx([100_000] * 5)
    assert result.statistics["Dividends In Prices"] == "0"


def test_shares_without_a_factor_file_are_named(run: Run, tmp_path: Path) -> None:
    """LEAN does not report them. Long lists are shortened; a symbol with a factor file is not in them."""
    symbols = [f"S{letter}" for letter in "ABCDEFGH"]
    for symbol in symbols:
        put_daily(tmp_path, symbol.lower(), dict.fromkeys(WEEK, 10.0))
    put_file(tmp_path, "factor_files", "sh", "19980102,1,1,1", "20501231,1,1,0")
    put_file(tmp_path, "factor_files", "sg")

    result = run(*symbols)

    assert f"SA, SB, SC, SD, SE and 1 more have no factor file, {RAW}" in result.notes
    assert f"the factor file of SG has no rows, {RAW}" in result.notes
    assert result.statistics["Symbols With Raw Prices"] == "7"


def test_a_damaged_factor_file_counts_for_nothing(run: Run, tmp_path: Path) -> None:
    """As in LEAN, one invalid line makes the whole file unused; here it is reported."""
    put_daily(tmp_path, "x", {MON: 100.0, TUE: 100.0, WED: 50.0, THU: 50.0, FRI: 50.0})
    put_file(tmp_path, "factor_files", "x", "19980102,1,0.5,1", "20240109,1,0.5,100", "20501231,1,1", "what is this")

    result = run("X")

    assert result.equity.values == pytest.approx([100_000, 100_000, 50_000, 50_000, 50_000])
    assert result.statistics["Damaged Files"] == "1"
    assert f"the factor file of X is damaged, {RAW}" in result.notes
    assert any("equity/usa/factor_files/x.csv: the line 'what is this'" in note for note in result.notes)


def test_an_event_at_which_lean_stops_is_named(run: Run, tmp_path: Path) -> None:
    """A reference price of 0 ends a backtest in LEAN, when it comes to that day; on other days it does not matter."""
    put_daily(tmp_path, "x", {MON: 100.0, TUE: 100.0, WED: 50.0, THU: 50.0, FRI: 50.0})
    put_file(tmp_path, "factor_files", "x", "19980102,1,0.5,1", "20240109,1,0.5,0", "20501231,1,1,0")

    result = run("X")

    reason = "the row of 2024-01-09 has the reference price 0, so LEAN ends the share's data at its split of 2024-01-10"
    path = "equity/usa/factor_files/x.csv (2024-01-10 to 2024-01-12)"
    assert f"Damaged, as LEAN would find it: {path}: {reason}" in result.notes
    assert (result.bars, result.statistics["Damaged Files"]) == (2, "1")
    assert run("X", days=(WED, THU, FRI)).statistics["Damaged Files"] == "0"


# --- which days, and which ticker ---


def test_the_first_row_bounds_the_data(run: Run, tmp_path: Path) -> None:
    """LEAN reads daily bars that end, at midnight, on the day before the factor file's first row or later."""
    put_daily(tmp_path, "x", {MON: 10.0, TUE: 20.0, WED: 30.0, THU: 30.0, FRI: 60.0})
    put_file(tmp_path, "factor_files", "x", "20240111,1,1,1", "20501231,1,1,0")

    result = run("X")

    assert result.equity.values == pytest.approx([100_000, 100_000, 150_000, 150_000, 300_000])
    assert (result.bars, result.days) == (4, 4)
    path = "equity/usa/factor_files/x.csv (2024-01-08)"
    loss = f"{path}: LEAN reads the share from 2024-01-10 on, by the first row of this file"
    assert f"Not fed by LEAN: {loss}" in result.notes


def test_a_map_file_bounds_the_data_at_both_ends(run: Run, tmp_path: Path) -> None:
    """Nothing before its first row's date or after its last one's, and no file is missed there."""
    for day in WEEK:
        if day != FRI:
            put_minute(tmp_path, "x", day, 10.0)
    put_file(tmp_path, "map_files", "x", "20240109,x,Q", "20240111,x,Q")

    result = run("X", resolution=Resolution.MINUTE)

    assert (result.days, result.failed_data_requests) == (3, ())
    path, file = "equity/usa/map_files/x.csv", "row of this file"
    first = f"{path} (2024-01-08): LEAN reads the share from 2024-01-09 on, by the first {file}"
    last = f"{path} (2024-01-12): LEAN reads nothing after 2024-01-11, the last {file}"
    assert {f"Not fed by LEAN: {loss}" for loss in (first, last)} <= set(result.notes)


@pytest.mark.parametrize("kind", ["map_files", "factor_files"])
def test_a_share_of_other_years_has_no_days(run: Run, tmp_path: Path, kind: str) -> None:
    """Its part stays cash, and a note gives the reason."""
    put_daily(tmp_path, "x", dict.fromkeys(WEEK, 10.0))
    put_file(tmp_path, kind, "x", "20240201,x,Q" if kind == "map_files" else "20240201,1,1,1")

    result = run("X")

    assert (result.bars, result.equity.values) == (0, (100_000.0,) * 5)
    note = f"Not fed by LEAN: equity/usa/{kind}/x.csv (2024-01-08 to 2024-01-12): LEAN reads the share from 2024-0"
    assert any(found.startswith(note) for found in result.notes)


@pytest.mark.parametrize("resolution", [Resolution.DAILY, Resolution.MINUTE])
def test_a_renamed_share_is_read_under_the_ticker_of_each_day(run: Run, tmp_path: Path, resolution: Resolution) -> None:
    """META's bars up to 2022-06-08 are FB's files; what another share did as META before is not its own."""
    days = tuple(date(2022, 6, day) for day in (6, 7, 8, 9, 10))
    fb, meta = dict(zip(days, (190.0, 195.0, 196.0), strict=False)), dict(zip(days[3:], (184.0, 175.0), strict=True))
    others = dict.fromkeys(days[:3], 15.0)
    put_daily(tmp_path, "fb", {**fb, days[3]: 1.0})
    put_daily(tmp_path, "meta", others | meta)
    for ticker, prices in (("fb", fb), ("meta", others | meta)):
        for day, price in prices.items():
            put_minute(tmp_path, ticker, day, price)
    put_file(tmp_path, "map_files", "meta", "20120518,fb,Q", "20220608,fb,Q", "20501231,meta,Q")
    put_file(tmp_path, "factor_files", "meta", "20120518,1,1,1", "20501231,1,1,0")

    result = run("META", days=days, resolution=resolution)

    assert result.equity.values == pytest.approx([100_000 / 190 * price for price in (190, 195, 196, 184, 175)])
    assert (result.bars, result.failed_data_requests) == (5, ())
    assert "META is read as FB until 2022-06-08, then as META, according to its map file" in result.notes


def test_an_old_ticker_is_the_share_that_had_it_last(run: Run, tmp_path: Path) -> None:
    """The share is followed through its rename, as LEAN does for AddEquity with the old ticker."""
    put_file(tmp_path, "map_files", "new", "20100104,old", "20240109,old", "20501231,new")
    put_daily(tmp_path, "old", {MON: 10, TUE: 11})
    put_daily(tmp_path, "new", {WED: 12, THU: 13, FRI: 14})

    result = run("OLD")

    assert result.statistics["OLD Return"] == "40.000%"


def test_a_ticker_that_another_share_took_over_is_the_later_share(run: Run, tmp_path: Path) -> None:
    """Nothing is read before its first day, whatever the first share had."""
    put_file(tmp_path, "map_files", "new", "20100104,old", "20240109,old", "20501231,new")
    put_file(tmp_path, "map_files", "old", "20240111,old", "20501231,old")
    put_daily(tmp_path, "old", {MON: 10, TUE: 11, THU: 50, FRI: 60})

    result = run("OLD")

    assert result.statistics["OLD Return"] == "20.000%"


@pytest.mark.parametrize("lines", [("20120518,fb,Q", "gone"), ("20120518,x", "20240109,../../etc", "20501231,x")])
def test_a_damaged_map_file_counts_for_nothing(run: Run, tmp_path: Path, lines: tuple[str, ...]) -> None:
    """The symbol is its one ticker, and no path is built from an invalid ticker."""
    put_daily(tmp_path, "x", dict.fromkeys(WEEK, 10.0))
    put_file(tmp_path, "map_files", "x", *lines)

    result = run("X")

    assert (result.bars, result.statistics["Damaged Files"]) == (5, "1")
    assert any("equity/usa/map_files/x.csv: " in note for note in result.notes)


# --- LEAN's own files ---


def test_apples_split_of_2020_with_its_factor_file_and_without(
    run: Run, tmp_path: Path, lean_sample_data: Path
) -> None:
    """From 499.23 to 129.04 dollars on 2020-08-31: with LEAN's sample factor file a rise, without it a fall of 74 %."""
    usa = tmp_path / "equity/usa"
    (usa / "daily").mkdir(parents=True)
    shutil.copy(lean_sample_data / "equity/usa/daily/aapl.zip", usa / "daily")
    with zipfile.ZipFile(usa / "daily/aapl.zip") as archive:
        rows = {row[0][:8]: row for row in csv.reader(io.StringIO(archive.read("aapl.csv").decode()))}
    days = tuple(date(2020, 8, day) for day in (3, 4, 5, 6, 7, *range(24, 29), 31))
    opened = float(rows["20200803"][1]) / 10_000
    closes = [float(rows[f"{day:%Y%m%d}"][4]) / 10_000 for day in days]
    assert closes[-2:] == [499.23, 129.04]

    without = run("AAPL", days=days)

    assert without.equity.values == pytest.approx([100_000 / opened * close for close in closes], rel=1e-12)
    assert without.equity.values[-1] / without.equity.values[-2] - 1 == pytest.approx(129.04 / 499.23 - 1)
    assert without.statistics["Max Drawdown"] > "74"
    assert f"AAPL has no factor file, {RAW}" in without.notes

    (usa / "factor_files").mkdir()
    shutil.copy(lean_sample_data / "equity/usa/factor_files/aapl.csv", usa / "factor_files")
    (usa / "map_files").mkdir()
    shutil.copy(lean_sample_data / "equity/usa/map_files/aapl.csv", usa / "map_files")
    applied = run("AAPL", days=days)

    # 82 cents before 2020-08-07, at a close of 455.61; four shares for one before 2020-08-31
    paid = (455.61 - 0.82) / 455.61
    held = [1.0 if day <= date(2020, 8, 6) else 1 / paid for day in days[:-1]] + [4 / paid]
    expected = [100_000 / opened * shares * close for shares, close in zip(held, closes, strict=True)]
    assert applied.equity.values == pytest.approx(expected, rel=1e-7)  # the file has seven decimals
    assert applied.equity.values[-1] / applied.equity.values[-2] - 1 == pytest.approx(4 * 129.04 / 499.23 - 1)
    assert (applied.statistics["Splits In Prices"], applied.statistics["Dividends In Prices"]) == ("1", "1")
    assert not any(RAW in note for note in applied.notes)
