"""The stand-in for LEAN's launcher requests and reads data as the real one did in the recorded runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from server.engines.results import RunState
from tests.support.stand_in_lean.install import StandIn
from tests.support.stand_in_runs import (
    DAILY,
    DAYS,
    MINUTES,
    PRICES,
    LauncherRun,
    write_minutes,
    write_zip,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in's programs are scripts")

NewRun = Callable[..., LauncherRun]


def test_a_run_with_all_data_is_complete(new_run: NewRun, reference_data: Path) -> None:
    """Exit 0, Completed; only quotes are missing (recorded: python-completed)."""
    write_minutes(reference_data, "spy", PRICES)

    run = new_run(MINUTES).run()

    read = run.read()
    assert (run.exit_code, read.state, read.error) == (0, RunState.COMPLETED, None)
    assert (read.verdict or "").startswith("complete")
    assert {file.kind for file in read.missing} == {"quote"}
    assert run.listed("failed") == [f"equity/usa/minute/spy/{day:%Y%m%d}_quote.zip" for day in DAYS]
    assert (read.start, read.end) == (DAYS[0], DAYS[-1])
    assert read.equity.dates[1:] == DAYS


def test_results_depend_on_the_data(new_run: NewRun, reference_data: Path) -> None:
    """The account buys SPY at its first close: 997 shares for 100,000 dollars, and 4.99 dollars of fees."""
    write_minutes(reference_data, "spy", PRICES)

    read = new_run(MINUTES).run().read()

    assert read.equity.values[-1] == pytest.approx(100_000 - 4.99 + 997 * 40, abs=0.01)
    assert read.statistics["Net Profit"] == "39.875%"
    [order] = read.orders.values()
    assert [fill["fillQuantity"] for fill in order["fills"]] == [997.0]


def test_missing_days_are_failed_requests(new_run: NewRun, reference_data: Path) -> None:
    """Exit 0; trades and the hour benchmark are named (recorded: missing-days)."""
    write_minutes(reference_data, "spy", {day: PRICES[day] for day in DAYS[:3]})
    (reference_data / "equity/usa/hour/spy.zip").unlink()

    run = new_run(MINUTES).run()

    read = run.read()
    assert (run.exit_code, read.state) == (0, RunState.COMPLETED)
    assert (read.verdict or "").startswith("untrusted: the benchmark SPY")
    assert [file.path for file in read.missing if file.counts] == [
        "equity/usa/hour/spy.zip",
        *(f"equity/usa/minute/spy/{day:%Y%m%d}_trade.zip" for day in DAYS[3:]),
    ]
    assert f"File not found: {reference_data}/equity/usa/hour/spy.zip" in run.stderr
    assert read.equity.dates[-1] == DAYS[2]
    assert (read.statistics["Alpha"], read.statistics["Beta"]) == ("0", "0")


@pytest.mark.damaged_zips
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short"])
def test_a_corrupt_zip_counts_as_a_success(new_run: NewRun, reference_data: Path, content: bytes) -> None:
    """Only the log names it (recorded: corrupt-zip)."""
    write_minutes(reference_data, "spy", PRICES)
    path = f"equity/usa/minute/spy/{DAYS[1]:%Y%m%d}_trade.zip"
    (reference_data / path).write_bytes(content)

    run = new_run(MINUTES).run()

    read = run.read()
    assert path in run.listed("succeeded")
    assert [file.path for file in read.missing if file.reason == "corrupt"] == [path]
    assert (read.verdict or "").startswith("gaps")


@pytest.mark.damaged_zips
def test_an_empty_member_is_a_file_not_found(new_run: NewRun, reference_data: Path) -> None:
    """The file exists, and counts as a success (fact 13)."""
    write_minutes(reference_data, "spy", PRICES)
    path = write_zip(reference_data, f"equity/usa/minute/spy/{DAYS[1]:%Y%m%d}_trade.zip", [])

    run = new_run(MINUTES).run()

    assert f"File not found: {path}" in run.stderr
    assert "Corrupt" not in run.stderr


@pytest.mark.damaged_zips
def test_a_row_that_cannot_be_read_loses_the_rest_of_its_day_silently(new_run: NewRun, reference_data: Path) -> None:
    """Nothing in the log (recorded: day-lost-to-one-row)."""
    write_minutes(reference_data, "spy", PRICES)
    rows = ["34200000,1000000,1000000,1000000,1000000,1", "x", "57540000,9000000,9000000,9000000,9000000,1"]
    write_zip(reference_data, f"equity/usa/minute/spy/{DAYS[-1]:%Y%m%d}_trade.zip", rows)

    run = new_run(MINUTES).run()

    assert run.read().equity.values[-1] == pytest.approx(100_000 - 4.99, abs=0.01)
    assert "ERROR" not in run.stderr.replace("_quote.zip", "").replace("ERROR:: SubscriptionDataSourceReader", "")


def test_hours_days_and_the_benchmark_of_the_algorithm(new_run: NewRun) -> None:
    """One file a series; the benchmark is read by the hour, and SPY's days at the end (fact 10)."""
    run = new_run('self.add_equity("AAPL", Resolution.HOUR)', 'self.set_benchmark("IBM")').run()

    assert set(run.listed("failed")) == {"equity/usa/hour/aapl.zip", "equity/usa/hour/ibm.zip"}
    assert run.listed("succeeded") == ["equity/usa/daily/spy.zip"]


def test_a_benchmark_that_is_a_function_requests_nothing(new_run: NewRun) -> None:
    """As in examples/ZacQC."""
    run = new_run(DAILY, "self.set_benchmark(lambda _: 1)").run()

    assert "equity/usa/hour/spy.zip" not in run.listed("failed") + run.listed("succeeded")


def test_history_warm_up_and_universe(new_run: NewRun, reference_data: Path) -> None:
    """Requests before the start, universe files, and what a selection adds (recorded: python-universe-and-history)."""
    coarse = reference_data / "equity/usa/fundamental/coarse"
    coarse.mkdir(parents=True)
    (coarse / "20131008.csv").write_text("AAPL R735QTJ8XC9X,AAPL,50,1000,50000,True,1,1\nX,IBM,1,1,1,True,1,1\n")

    run = new_run(
        "self.universe_settings.resolution = Resolution.DAILY",
        "self.set_warm_up(2, Resolution.DAILY)",
        'self.history(["MSFT"], 390, Resolution.MINUTE)',
        "self.add_universe(lambda shares: [s.symbol for s in sorted(shares, key=lambda s: -s.dollar_volume)[:1]])",
    ).run()

    failed = run.listed("failed")
    days = [day for day in ("20131002", "20131003", "20131004", "20131007", "20131009", "20131010", "20131011")]
    assert [path[-12:-4] for path in failed if "coarse" in path] == days
    assert {path for path in failed if "minute/msft" in path} == {
        f"equity/usa/minute/msft/{day}_{kind}.zip" for day in ("20131004", "20131007") for kind in ("quote", "trade")
    }
    assert "equity/usa/daily/aapl.zip" in failed
    assert "equity/usa/daily/ibm.zip" not in failed
    assert "coarse" not in run.stderr


def test_a_renamed_share_is_requested_by_the_ticker_of_each_day(new_run: NewRun, reference_data: Path) -> None:
    """LEAN reads map files."""
    maps = reference_data / "equity/usa/map_files"
    maps.mkdir(parents=True)
    (maps / "new.csv").write_text("20000103,old\n20131008,old\n20501231,new\n")

    failed = new_run('self.add_equity("NEW", Resolution.SECOND)').run().listed("failed")

    assert [path for path in failed if path.endswith("trade.zip")] == [
        *(f"equity/usa/second/old/{day:%Y%m%d}_trade.zip" for day in DAYS[:2]),
        *(f"equity/usa/second/new/{day:%Y%m%d}_trade.zip" for day in DAYS[2:]),
    ]


def test_the_example_project_runs(stand_in: StandIn, tmp_path: Path, reference_data: Path) -> None:
    """Its symbols, resolution and dates are parameters of the request."""
    example = Path(__file__).parents[3] / "examples/ZacQC/main.py"
    parameters = {"backtest-symbols": "SPY,AAPL", "backtest-resolution": "daily"}
    parameters |= {"backtest-start": "2013-10-07", "backtest-end": "2013-10-11"}

    run = LauncherRun(stand_in, tmp_path / "run", reference_data, example, parameters=parameters).run()

    assert run.exit_code == 0
    assert run.listed("failed") == ["equity/usa/daily/aapl.zip"]
    assert run.result()["algorithmConfiguration"]["parameters"] == parameters
