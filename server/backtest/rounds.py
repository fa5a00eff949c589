"""Runs LEAN, fetches what it requested and did not get, and runs it again, until a round fetches nothing."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterable
from datetime import date

from attrs import field, frozen

from server.backtest.data_faults import FindingKey
from server.backtest.fill import FetchedDays, damaged_files
from server.backtest.run_data import Benchmark, RunData
from server.core.json import json_options
from server.core.text import count_text, list_text
from server.data_download.data_findings import DataFinding
from server.engines.base import AlgorithmFailedError, EngineResult
from server.engines.missing_data import MissingFile
from server.engines.results import LeanRun, RunState
from server.project.algorithm_source import AlgorithmSource


@frozen(kw_only=True)
class Round:
    """One run of LEAN and what was fetched after it.

    Attributes:
        number: From 1.
        state: ``completed`` or ``failed``.
        missing: The number of files that LEAN did not get and that count.
        fetched: What was fetched after the run; empty after the last one.
    """

    number: int
    state: RunState
    missing: int
    fetched: tuple[FetchedDays, ...] = ()
    duration_s: float = field(metadata=json_options(digits=6))

    @property
    def sentence(self) -> str:
        """For people."""
        fetched = [f"{one.ticker} {one.resolution} {count_text(len(one.days), 'day')}" for one in self.fetched]
        what = f"fetched {list_text(fetched)}, so LEAN runs again" if fetched else "nothing was fetched"
        return f"run {self.number} of LEAN lacked {count_text(self.missing, 'file')}; {what}"


@frozen(kw_only=True)
class RoundsResult:
    """The result of the last round and what the backtest knows of its data.

    Attributes:
        run: The last round's results folder as it was read.
        rounds: All rounds.
        opened: Files that LEAN opened and that lack days or are damaged, and files that do not exist because their
            days have no bars.
        damage: What LEAN does not read of the files that it opened, besides what was known before the run.
        benchmark_problem: Why the statistics that use the benchmark are wrong; None if they are not.
        benchmark: The benchmark of the last round; None if unknown.
    """

    result: EngineResult
    run: LeanRun
    rounds: tuple[Round, ...]
    opened: tuple[MissingFile, ...]
    damage: tuple[DataFinding, ...]
    benchmark_problem: str | None
    benchmark: Benchmark | None


def benchmark_before(source: AlgorithmSource, start: date, end: date) -> Benchmark | None:
    """Return the benchmark and range of an algorithm that has not run yet.

    Args:
        source: What its source states literally.
        start: The first day of the request, for a source that states none.
        end: The last day of the request, likewise.

    Returns:
        None where the source sets a benchmark that is not literal.
    """
    first, last = source.start or start, source.end or end
    if source.benchmark is None or last < first:
        return None
    return Benchmark(ticker=source.benchmark, first=first, last=last)


def benchmark_after(run: LeanRun) -> Benchmark | None:
    """Return the benchmark and range of a run; None where LEAN left no record of them."""
    ticker = run.requests.benchmark
    if ticker is None or run.start is None or run.end is None or run.end < run.start:
        return None
    return Benchmark(ticker=ticker, first=run.start, last=run.end)


def run_rounds(
    run_engine: Callable[[], EngineResult],
    data: RunData,
    *,
    first: date,
    last: date,
    known: Collection[FindingKey] = (),
    reads_earlier: bool = False,
    reruns: int,
    finished: Callable[[Round], object],
    notice: Callable[[str], object] = lambda line: None,
) -> RoundsResult:
    """Run LEAN until it got what can be fetched.

    Args:
        run_engine: Runs LEAN once.
        data: The data folder and its downloader.
        first: The first day of the algorithm, as far as that is known before the first run.
        last: Its last day, likewise.
        known: What was found about the data before the first run.
        reads_earlier: Whether the algorithm may read bars of days before its range.
        reruns: The number of runs after the first one at most; 0 fetches nothing.
        finished: Receives each round when it is over.
        notice: Receives lines of text.

    Raises:
        BacktestServerError: LEAN failed, and there was nothing to fetch.
    """
    rounds: list[Round] = []
    for number in itertools.count(1):
        for line in data.make_universe_consistent(first, last):
            notice(line)
        started = time.perf_counter()
        outcome = _run_once(run_engine)
        run = outcome.run if isinstance(outcome, AlgorithmFailedError) else outcome.lean_run
        assert run is not None  # noqa: S101 - each of LEAN's engines reads its results folder
        first, last = run.start or first, run.end or last
        benchmark = benchmark_after(run)
        damage = data.opened_damage(run, known, reads_earlier=reads_earlier)
        opened = (
            *data.lacking_files(run),
            *data.benchmark_gaps(benchmark),
            *damaged_files(one for one in damage if one.is_damage),
        )
        missing = unique_files([*run.missing, *opened])
        duration = time.perf_counter() - started
        fetched = data.fetch((*missing, *damaged_files(damage))) if number <= reruns else ()
        counted = sum(file.counts for file in missing)
        rounds.append(Round(number=number, state=run.state, missing=counted, fetched=fetched, duration_s=duration))
        finished(rounds[-1])
        if fetched:
            continue
        if isinstance(outcome, AlgorithmFailedError):
            raise outcome
        return RoundsResult(
            result=outcome,
            run=run,
            rounds=tuple(rounds),
            opened=(*missing[len(run.missing) :], *data.known_empty(run.missing)),
            damage=damage,
            benchmark=benchmark,
            benchmark_problem=data.benchmark_problem(benchmark),
        )
    raise AssertionError


def unique_files(files: Iterable[MissingFile]) -> tuple[MissingFile, ...]:
    """Return missing files, each path once; the first one counts."""
    found: dict[str, MissingFile] = {}
    for file in files:
        found.setdefault(file.path, file)
    return tuple(found.values())


def _run_once(run_engine: Callable[[], EngineResult]) -> EngineResult | AlgorithmFailedError:
    """The result, or the error of an algorithm that failed: data that was missing may be why."""
    try:
        return run_engine()
    except AlgorithmFailedError as error:
        return error
