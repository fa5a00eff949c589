"""A backtest in LEAN once its engine and its request's data are there: benchmark, rounds, verdict."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import date

from attrs import evolve, frozen

from server.backtest.rounds import Round, RoundsResult, benchmark_before, run_rounds
from server.backtest.run_data import Benchmark, RunData
from server.core.text import list_text
from server.data_download.findings import AcceptedDoubt, Findings
from server.engines.base import EngineResult
from server.engines.results import with_check
from server.engines.stored_check import StoredCheck, write_check
from server.project.algorithm_source import AlgorithmSource


@frozen(kw_only=True)
class DataFaults:
    """What is known to be wrong with the files of a backtest when LEAN starts.

    Attributes:
        lost: Rows that were lost in repairs, a sentence each.
        damaged: Damage that the user allowed, a sentence each.
        notices: What costs single rows only.
    """

    lost: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


@frozen(kw_only=True)
class LeanBacktest:
    """A backtest in LEAN.

    Attributes:
        symbols: Those of the request.
        start: The first day of the request.
        end: The last day of it.
        source: What the algorithm's source states.
        data: The data folder and its downloader.
        findings: Returns what is known about symbols from a first to a last day.
        accepted: The doubts that the user accepts.
    """

    symbols: tuple[str, ...]
    start: date
    end: date
    source: AlgorithmSource
    data: RunData
    findings: Callable[[Sequence[str], date, date], Findings]
    accepted: Collection[AcceptedDoubt] = ()

    @property
    def benchmark(self) -> Benchmark | None:
        """The benchmark before the first run; None where the source sets one that is not literal."""
        return benchmark_before(self.source, self.start, self.end)

    def fetch_benchmark(self) -> None:
        """Fetch the bars of the benchmark as far as they are missing."""
        if self.benchmark is not None:
            self.data.fetch_benchmark(self.benchmark)

    def run(
        self,
        run_engine: Callable[[], EngineResult],
        *,
        reruns: int,
        faults: DataFaults,
        finished: Callable[[Round], object],
    ) -> EngineResult:
        """Run LEAN, fill, run again, and judge the result.

        Args:
            run_engine: Runs LEAN once.
            reruns: The number of runs after the first one at most; 0 fetches nothing.
            faults: What is known to be wrong with the files.
            finished: Receives each round when it is over.

        Raises:
            BacktestServerError: LEAN failed.
        """
        rounds = run_rounds(run_engine, self.data, reruns=reruns, finished=finished)
        result = self._with_findings(rounds)
        check = self._check(rounds, result, faults)
        if result.results_folder is not None:
            write_check(result.results_folder, check)
        run = with_check(rounds.run, check, self.data.calendar)
        return evolve(
            result,
            verdict=run.verdict,
            missing=run.missing,
            lean_run=run,
            notes=(*result.notes, *check.notices),
        )

    def _with_findings(self, rounds: RoundsResult) -> EngineResult:
        """The result with what is known about all shares that LEAN used, within the algorithm's range."""
        fetched = (one.ticker for part in rounds.rounds for one in part.fetched)
        symbols = tuple(dict.fromkeys((*self.symbols, *fetched)))
        first, last = rounds.run.start or self.start, rounds.run.end or self.end
        found = self.findings(symbols, first, max(first, last))
        return rounds.result.with_findings(found, self.accepted)

    def _check(self, rounds: RoundsResult, result: EngineResult, faults: DataFaults) -> StoredCheck:
        doubts = [f"{doubt.symbol} {doubt.day}: {doubt.message}" for doubt in result.open_doubts]
        untrusted = [
            *([rounds.benchmark_problem] if rounds.benchmark_problem else []),
            *faults.damaged,
            *faults.lost,
            *([f"doubts about its data ({list_text(doubts)})"] if doubts else []),
        ]
        rates = self.data.rate_notice(rounds.run.end)
        return StoredCheck(
            untrusted=tuple(untrusted),
            missing=rounds.lacking,
            notices=(*faults.notices, *([rates] if rates else [])),
        )
