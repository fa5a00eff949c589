"""Rounds of LEAN: what is fetched after a run, and when LEAN runs again."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pytest

from server.backtest.rounds import Round, benchmark_before, run_rounds
from server.backtest.run_data import Benchmark, RunData
from server.core.errors import Cancelled
from server.data_download.availability import Gap
from server.data_download.errors import PlanLimitError
from server.data_download.provider import DataSink
from server.engines.base import AlgorithmFailedError
from server.engines.missing_data import ENDS_EARLY, LACKS_DAYS
from server.engines.results import RunState
from server.lean.series import Resolution, Series
from server.project.algorithm_source import AlgorithmSource
from tests.support.harness import NOW
from tests.support.lean_rounds import LeanRuns, minute_path, run_data, write_daily
from tests.support.scripted_provider import ScriptedProvider, deliver

DAYS = [date(2024, 1, day) for day in (2, 3, 4, 5, 8)]
SPY_HOURS, SPY_DAILY = "equity/usa/hour/spy.zip", "equity/usa/daily/spy.zip"


def deliver_what_exists(gaps: Sequence[Gap], sink: DataSink) -> None:
    """A vendor that has every share but GONE, and no hours of QQQ in its plan."""
    for gap in gaps:
        if gap.series.ticker == "QQQ":
            sink.unavailable(gap.series, gap.days, PlanLimitError("the plan does not include it"))
        elif gap.series.ticker != "GONE":
            deliver(gap, sink)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[RunData]:
    """An empty data folder."""
    with run_data(tmp_path, ScriptedProvider(deliver_what_exists).hosted()) as found:
        yield found


@pytest.fixture
def lean(tmp_path: Path, data: RunData) -> LeanRuns:
    """LEAN, whose benchmark is there."""
    write_daily(data.folder.path, "SPY", DAYS, "hour")
    return LeanRuns(tmp_path / "results", data.folder.path, DAYS[0], DAYS[-1])


def rounds_of(lean: LeanRuns, data: RunData, reruns: int = 3) -> tuple[Round, ...]:
    """Run, and return the rounds, which must be those that were reported one by one."""
    reported: list[Round] = []
    found = run_rounds(lean, data, first=DAYS[0], last=DAYS[-1], reruns=reruns, finished=reported.append).rounds
    assert list(found) == reported
    return found


def test_nothing_is_missing(lean: LeanRuns, data: RunData) -> None:
    """LEAN runs once."""
    (only,) = rounds_of(lean, data)

    assert (only.number, only.state, only.missing, only.fetched) == (1, RunState.COMPLETED, 0, ())
    assert lean.runs == [()]


def test_another_share_is_fetched_and_lean_runs_again(lean: LeanRuns, data: RunData) -> None:
    """The days that were requested, at their resolution, and no others."""
    lean.request(*(minute_path("IBM", day) for day in DAYS[1:3]), minute_path("AAPL", DAYS[4]))

    first, second = rounds_of(lean, data)

    assert first.missing == 3
    assert [(one.ticker, one.resolution, one.days) for one in first.fetched] == [
        ("IBM", "minute", tuple(DAYS[1:3])),
        ("AAPL", "minute", (DAYS[4],)),
    ]
    assert (second.missing, second.fetched) == (0, ())
    assert not (data.folder.path / minute_path("IBM", DAYS[0])).exists()
    assert (
        first.sentence
        == "run 1 of LEAN lacked 3 files; fetched IBM minute 2 days, AAPL minute 1 day, so LEAN runs again"
    )


def test_what_cannot_be_had_does_not_run_lean_again(lean: LeanRuns, data: RunData) -> None:
    """Quotes are not fetched, nor a share that the vendor does not have."""
    lean.request(minute_path("GONE", DAYS[0]), minute_path("IBM", DAYS[0]).replace("trade", "quote"))

    (only,) = rounds_of(lean, data)

    assert (only.missing, only.fetched) == (1, ())
    assert only.sentence.endswith("lacked 1 file; nothing was fetched")


@pytest.mark.parametrize("reruns", [0, 1, 2])
def test_the_number_of_runs_is_limited(lean: LeanRuns, data: RunData, reruns: int) -> None:
    """Each run requests one more file, as universe selection does."""
    ticker = iter("ABCDEFGH")

    def run():
        lean.request(minute_path(next(ticker), DAYS[0]))
        return lean()

    found = run_rounds(run, data, first=DAYS[0], last=DAYS[-1], reruns=reruns, finished=lambda part: None)

    assert len(found.rounds) == reruns + 1
    assert [len(part.fetched) for part in found.rounds] == [1] * reruns + [0]


def test_an_algorithm_that_failed_for_missing_data(lean: LeanRuns, data: RunData) -> None:
    """It runs again once the data is there."""
    lean.request(minute_path("IBM", DAYS[0]))
    lean.fails_without = minute_path("IBM", DAYS[0])

    assert [part.state for part in rounds_of(lean, data)] == [RunState.FAILED, RunState.COMPLETED]


def test_an_algorithm_that_fails_is_an_error(lean: LeanRuns, data: RunData) -> None:
    """There is nothing that could be fetched."""
    lean.request(minute_path("GONE", DAYS[0]))
    lean.fails_without = minute_path("GONE", DAYS[0])
    with pytest.raises(AlgorithmFailedError, match="no bars"):
        rounds_of(lean, data)
    assert len(lean.runs) == 1


def test_a_daily_file_that_ends_early_is_completed(lean: LeanRuns, data: RunData) -> None:
    """LEAN opened it and said nothing (fact 12)."""
    lean.request(write_daily(data.folder.path, "IBM", DAYS[:3]))

    first, second = rounds_of(lean, data)

    assert [(one.ticker, one.resolution, one.days) for one in first.fetched] == [("IBM", "daily", tuple(DAYS[3:]))]
    assert (first.missing, second.missing) == (1, 0)


def test_a_daily_file_that_cannot_be_completed_is_missing(lean: LeanRuns, data: RunData) -> None:
    """With the days that it lacks."""
    path = write_daily(data.folder.path, "QQQ", DAYS[:3])
    lean.request(path)

    found = run_rounds(lean, data, first=DAYS[0], last=DAYS[-1], reruns=3, finished=lambda part: None)

    assert [(file.path, file.days, file.reason) for file in found.opened] == [(path, tuple(DAYS[3:]), ENDS_EARLY)]
    assert found.benchmark_problem is None


def test_a_share_that_was_delisted_ends_with_its_map_file(lean: LeanRuns, data: RunData) -> None:
    """Its last row is the last day that LEAN reads."""
    maps = data.folder.path / "equity/usa/map_files"
    maps.mkdir(parents=True)
    (maps / "ibm.csv").write_text(f"19980102,ibm\n{DAYS[2]:%Y%m%d},ibm\n")
    lean.request(write_daily(data.folder.path, "IBM", DAYS[:3]))

    assert len(rounds_of(lean, data)) == 1


def test_the_benchmark_of_the_run_decides(lean: LeanRuns, data: RunData) -> None:
    """Its hours are fetched though LEAN opened the file: a part of the range gives wrong statistics (fact 11)."""
    lean.benchmark = "DIA"
    lean.request(write_daily(data.folder.path, "DIA", [DAYS[0], *DAYS[3:]], "hour"))

    first, second = rounds_of(lean, data)

    assert [(one.ticker, one.resolution, one.days) for one in first.fetched] == [("DIA", "hour", tuple(DAYS[1:3]))]
    assert second.missing == 0


def test_a_benchmark_that_cannot_be_had(lean: LeanRuns, data: RunData) -> None:
    """The reason is the provider's."""
    lean.benchmark = "QQQ"
    lean.request(write_daily(data.folder.path, "QQQ", DAYS[2:], "hour"))

    found = run_rounds(lean, data, first=DAYS[0], last=DAYS[-1], reruns=3, finished=lambda part: None)

    assert len(found.rounds) == 1
    assert [(file.days, file.reason) for file in found.opened] == [(tuple(DAYS[:2]), LACKS_DAYS)]
    assert found.benchmark_problem == (
        "the benchmark QQQ lacks hour bars of 2 days from 2024-01-02 to 2024-01-08, so Alpha, Beta and the ratios to "
        "it are wrong: the plan does not include it"
    )


def test_the_benchmark_before_the_first_run(data: RunData) -> None:
    """Hour and daily bars of the whole range."""
    data.fetch_benchmark(Benchmark(ticker="DIA", first=DAYS[0], last=DAYS[-1]))

    assert (data.folder.path / "equity/usa/hour/dia.zip").is_file()
    assert (data.folder.path / "equity/usa/daily/dia.zip").is_file()
    assert data.benchmark_problem(Benchmark(ticker="DIA", first=DAYS[0], last=DAYS[-1])) is None


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (AlgorithmSource(), ("SPY", DAYS[0], DAYS[-1])),
        (AlgorithmSource(start=DAYS[1], benchmark="IBM"), ("IBM", DAYS[1], DAYS[-1])),
        (AlgorithmSource(start=DAYS[1], end=DAYS[2]), ("SPY", DAYS[1], DAYS[2])),
        (AlgorithmSource(benchmark=None), None),
        (AlgorithmSource(start=date(2025, 1, 2)), None),
    ],
)
def test_which_benchmark_is_fetched_first(source: AlgorithmSource, expected: tuple[str, date, date] | None) -> None:
    """The literal days of the source count, else those of the request."""
    found = benchmark_before(source, DAYS[0], DAYS[-1])

    assert (found and (found.ticker, found.first, found.last)) == expected


@pytest.mark.damaged_zips
def test_damage_of_another_share_is_repaired(lean: LeanRuns, data: RunData) -> None:
    """LEAN opened the file, lost rows of it and said nothing; it was not checked before the run."""
    path = data.folder.path / minute_path("IBM", DAYS[0])
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{DAYS[0]:%Y%m%d}_ibm_minute_trade.csv", "34200000,1,1,1,1,1\ngarbage\n34260000,1,1,1,1,1")
    lean.request(minute_path("IBM", DAYS[0]))

    first, second = rounds_of(lean, data)

    assert [(one.ticker, one.days) for one in first.fetched] == [("IBM", (DAYS[0],))]
    assert (first.missing, second.missing) == (1, 0)


@pytest.mark.damaged_zips
def test_damage_that_is_left(lean: LeanRuns, data: RunData) -> None:
    """It is in the result; LEAN runs once."""
    path = data.folder.path / minute_path("GONE", DAYS[0])
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK no zip")
    lean.request(minute_path("GONE", DAYS[0]))

    found = run_rounds(lean, data, first=DAYS[0], last=DAYS[-1], reruns=3, finished=lambda part: None)

    assert [(file.path, file.reason) for file in found.opened] == [(minute_path("GONE", DAYS[0]), "damaged")]
    assert len(found.damage) == 1
    assert len(found.rounds) == 1


def test_days_without_bars_are_named(lean: LeanRuns, data: RunData) -> None:
    """Once the provider is known to have none, the missing file has that reason and is not requested again."""
    data.folder.ledger.record_days(Series("IBM", Resolution.MINUTE), now=NOW, empty=[DAYS[0]])
    lean.request(minute_path("IBM", DAYS[0]))

    found = run_rounds(lean, data, first=DAYS[0], last=DAYS[-1], reruns=3, finished=lambda part: None)

    assert [(file.path, file.reason) for file in found.opened] == [(minute_path("IBM", DAYS[0]), "no bars")]
    assert not (data.folder.path / minute_path("IBM", DAYS[0])).exists()


def test_a_cancel_while_data_is_fetched(lean: LeanRuns, data: RunData) -> None:
    """It is no result."""
    lean.request(minute_path("IBM", DAYS[0]))
    data.cancel.cancel()
    with pytest.raises(Cancelled):
        rounds_of(lean, data)


def test_interest_rates_that_end_early(data: RunData) -> None:
    """One notice names the day; no notice where they reach the range's end or do not exist."""
    assert data.rate_notice(DAYS[-1]) is None
    path = data.folder.path / "alternative/interest-rate/usa/interest-rate.csv"
    path.parent.mkdir(parents=True)
    path.write_text("date,rate\n2023-07-26,5.25\n2023-07-27,5.5\n")

    notice = data.rate_notice(DAYS[-1])

    assert notice is not None
    assert "end on 2023-07-27" in notice
    assert data.rate_notice(date(2023, 7, 27)) is None
