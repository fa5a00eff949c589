"""A backtest in LEAN once its engine and its request's data are there: benchmark, rounds, verdict."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import date

from attrs import evolve, frozen

from server.backtest.data_check import DataRequest
from server.backtest.data_faults import DataFaults, untrusted_sentences
from server.backtest.rounds import Round, RoundsResult, benchmark_before, run_rounds
from server.backtest.run_data import BENCHMARK_RESOLUTIONS, Benchmark, RunData
from server.backtest.verdict import doubts_reason
from server.data_download.findings import AcceptedDoubt, Findings
from server.engines.base import EngineResult
from server.engines.missing_data import trading_days
from server.engines.results import with_check
from server.engines.stored_check import StoredCheck, write_check
from server.lean.series import Resolution
from server.project.algorithm_source import AlgorithmSource


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
    def _range(self) -> tuple[date, date]:
        """The first and last day of the algorithm before its first run: by its source, else those of the request."""
        return self.source.start or self.start, self.source.end or self.end

    @property
    def benchmark(self) -> Benchmark | None:
        """The benchmark before the first run; None where the source sets one that is not literal."""
        return benchmark_before(self.source, self.start, self.end)

    def fetch_benchmark(self) -> None:
        """Fetch the bars of the benchmark as far as they are missing."""
        if self.benchmark is not None:
            self.data.fetch_benchmark(self.benchmark)

    def benchmark_data(self) -> tuple[DataRequest, ...]:
        """Return the bars of the benchmark that LEAN reads; without them it runs, too."""
        if self.benchmark is None:
            return ()
        days = trading_days(self.benchmark.first, self.benchmark.last, self.data.calendar)
        symbols, settled = (self.benchmark.ticker,), self.data.calendar.settled_through(self.data.clock())
        wanted = tuple(day for day in days if day <= settled)
        return tuple(
            DataRequest(symbols=symbols, resolution=resolution, days=wanted, optional=True)
            for resolution in BENCHMARK_RESOLUTIONS
        )

    def algorithm_data(self, resolution: Resolution) -> tuple[DataRequest, ...]:
        """Return the bars of the request's shares in the range that the source states, as far as it is another one."""
        first, last = self._range
        if (first, last) == (self.start, self.end) or last < first:
            return ()
        settled = self.data.calendar.settled_through(self.data.clock())
        days = tuple(day for day in trading_days(first, last, self.data.calendar) if day <= settled)
        return (DataRequest(symbols=self.symbols, resolution=resolution, days=days, filled_later=True),)

    def run(
        self,
        run_engine: Callable[[], EngineResult],
        *,
        reruns: int,
        faults: DataFaults,
        finished: Callable[[Round], object],
        notice: Callable[[str], object],
    ) -> EngineResult:
        """Run LEAN, fill, run again, and judge the result.

        Args:
            run_engine: Runs LEAN once.
            reruns: The number of runs after the first one at most; 0 fetches nothing.
            faults: What is known to be wrong with the files.
            finished: Receives each round when it is over.
            notice: Receives lines of text.

        Raises:
            BacktestServerError: LEAN failed.
        """
        first, last = self._range
        rounds = run_rounds(
            run_engine,
            self.data,
            first=first,
            last=max(first, last),
            known=faults.known,
            reads_earlier=self.source.reads_earlier,
            reruns=reruns,
            finished=finished,
            notice=notice,
        )
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
        symbols = self.data.shares(rounds.run, self.symbols)
        first, last = rounds.run.start or self.start, rounds.run.end or self.end
        found = self.findings(symbols, first, max(first, last))
        return rounds.result.with_findings(found, self.accepted)

    def _check(self, rounds: RoundsResult, result: EngineResult, faults: DataFaults) -> StoredCheck:
        doubts = doubts_reason(result)
        untrusted = [
            *([rounds.benchmark_problem] if rounds.benchmark_problem else []),
            *faults.untrusted,
            *untrusted_sentences(rounds.damage),
            *([doubts] if doubts else []),
        ]
        rates = self.data.rate_notice(rounds.run.end)
        return StoredCheck(
            untrusted=tuple(dict.fromkeys(untrusted)),
            missing=rounds.opened,
            notices=(*faults.notices, *([rates] if rates else [])),
        )
