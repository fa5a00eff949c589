"""Scenarios at work: contenders in turn, several times, and nobody's time believed before the files are the same."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from server.bench import compare
from server.bench.contenders import OWN, Contender, why_not
from server.bench.job import Counts, Job, MarketJob, Ran, VendorJob
from server.bench.market import Market
from server.bench.scenarios import Kind, Scenario
from server.bench.stage import RunFailed, Stage, kill_half_way, run_child
from server.bench.vendor import RunningVendor, running_vendor
from server.trading_calendar import USEquityTradingCalendar

DEFAULT_RUNS = 5

LIMIT = 50_000
"""Bars that the vendor puts into one answer at most."""

_KEY = "key-of-the-local-vendor"
_LATER = timedelta(days=30)
"""How long after the last day a run on the local server takes place, so that every day is settled."""


@frozen(kw_only=True)
class Live:
    """The real API."""

    url: str
    key: str = field(repr=False)
    today: date
    lean_config: Path | None = None


@frozen(kw_only=True)
class Sample:
    """One run, in seconds, megabytes and bytes of bodies on the wire. Simulated seconds count the waits, too."""

    seconds: float
    cpu_s: float
    peak_mb: float
    requests: int
    bytes: int
    cache_hits: int = 0
    refused: int = 0
    days_twice: int = 0


@frozen(kw_only=True)
class Row:
    """A contender's runs of a scenario, or why there are none."""

    name: str
    samples: tuple[Sample, ...] = ()
    not_run: str = ""

    def as_json(self, scenario: Scenario) -> dict[str, Any]:
        """The row in JSON's types."""
        if self.not_run:
            return {"name": self.name, "median_s": None, "not_run": self.not_run}
        times = [one.seconds for one in self.samples]
        best = min(times)
        return {
            "name": self.name,
            "median_s": round(statistics.median(times), 4),
            "min_s": round(best, 4),
            "max_s": round(max(times), 4),
            "spread_s": round(max(times) - best, 4),
            "runs": len(times),
            "requests": max(one.requests for one in self.samples),
            "cache_hits": max(one.cache_hits for one in self.samples),
            "bytes": max(one.bytes for one in self.samples),
            "peak_mb": round(max(one.peak_mb for one in self.samples), 1),
            "cpu_s": round(min(one.cpu_s for one in self.samples), 4),
            "bars": scenario.total_bars,
            "us_per_bar": round(best / scenario.total_bars * 1e6, 3),
            "refused": max(one.refused for one in self.samples),
            "days_twice": max(one.days_twice for one in self.samples),
            "simulated": scenario.kind is Kind.BUDGET,
        }


@frozen(kw_only=True)
class Result:
    """A scenario, measured."""

    scenario: Scenario
    rows: tuple[Row, ...]
    latency: float | None

    def row(self, name: str) -> Row:
        """The row of this contender."""
        return next(row for row in self.rows if row.name == name)

    def best(self, name: str) -> float:
        """The seconds of a contender's best run."""
        return min(one.seconds for one in self.row(name).samples)

    def as_json(self) -> dict[str, Any]:
        """The result in JSON's types, as the performance page reads it."""
        one = self.scenario
        return {
            "name": one.title,
            "id": one.name,
            "kind": one.kind.value,
            "resolution": one.resolution.value,
            "symbols": len(one.symbols),
            "days": one.days,
            "bars": one.total_bars,
            "latency_s": self.latency,
            "extended": one.extended,
            "series": one.series,
            "over": one.over,
            "least_requests": least_requests(one) if one.kind is Kind.BUDGET else None,
            "contenders": [row.as_json(one) for row in self.rows],
        }


def least_requests(scenario: Scenario) -> int:
    """The requests that nobody can do without: the bars of each symbol by what one answer holds, rounded up."""
    return len(scenario.symbols) * -(-scenario.days * scenario.bars // LIMIT)


@frozen(kw_only=True)
class Bench:
    """How to measure.

    Attributes:
        home: A folder on a real disk, for the folders of all runs.
        runs: How often each contender runs, unless a scenario says it.
        latency: Seconds before each answer of the local server.
        live: The real API in place of the local server.
        tell: Told of each run: the scenario, the contender, which of how many, and its seconds.
    """

    home: Path
    calendar: USEquityTradingCalendar
    runs: int | None = None
    latency: float = 0.05
    live: Live | None = None
    tell: Callable[[str, str, int, int, float | None], object] = lambda *run: None

    def measure(self, scenario: Scenario, contenders: Sequence[Contender]) -> Result:
        """Run the contenders in turn, round by round and each round in another order.

        Raises:
            ResultsDiffer: A contender did not write the files that it should have.
            RunFailed: A contender failed, though it had what it takes.
        """
        taking_part = [one for one in contenders if not scenario.contenders or one.name in scenario.contenders]
        reasons = {one.name: self._why_not(one, scenario) for one in taking_part}
        able = [one for one in taking_part if not reasons[one.name]]
        rounds = self.runs or scenario.runs or DEFAULT_RUNS
        samples: dict[str, list[Sample]] = {one.name: [] for one in able}
        if able:
            with _Runs.of(self, scenario) as runs:
                for turn in range(rounds):
                    for one in _turned(able, turn):
                        if reasons[one.name]:
                            continue
                        try:
                            samples[one.name].append(runs.run(one))
                        except RunFailed as failure:
                            reasons[one.name] = self._gave_up(one, scenario, failure)
                        last = None if reasons[one.name] else samples[one.name][-1].seconds
                        self.tell(scenario.name, one.name, turn + 1, rounds, last)
        rows = [
            Row(name=one.name, not_run=reasons[one.name])
            if reasons[one.name]
            else Row(name=one.name, samples=tuple(samples[one.name]))
            for one in taking_part
        ]
        latency = None if self.live else _latency(scenario, self.latency)
        return Result(scenario=scenario, rows=tuple(rows), latency=latency)

    def _why_not(self, one: Contender, scenario: Scenario) -> str:
        if self.live and scenario.made_up:
            return "its symbols are made up; only on the local server"
        if self.live and scenario.kind is Kind.BUDGET:
            return "its clock is simulated; only on the local server"
        if self.live and scenario.kind is Kind.CRASH:
            return "the local server counts what is fetched twice; only there"
        if not one.writes and scenario.kind is not Kind.COLD:
            return "it knows only the requests of an empty folder"
        return why_not(one, live=self.live is not None, lean_config=self.live.lean_config if self.live else None)

    @staticmethod
    def _gave_up(one: Contender, scenario: Scenario, failure: RunFailed) -> str:
        """Why a contender has no time: where requests are scarce it may give up; anywhere else that is a fault."""
        if scenario.kind is Kind.BUDGET and one.name != OWN:
            return f"it gave up: {failure}"
        raise RunFailed(f"{scenario.name}: {one.name} failed: {failure}") from failure


def _turned(able: Sequence[Contender], turn: int) -> list[Contender]:
    first = turn % len(able)
    return [*able[first:], *able[:first]]


def _latency(scenario: Scenario, latency: float) -> float:
    return 0.0 if scenario.kind is Kind.BUDGET else latency


@frozen(kw_only=True)
class _Runs:
    """The runs of one scenario: where they write, whom they ask, what they must have written."""

    scenario: Scenario
    home: Path
    days: tuple[date, ...]
    job: Job
    vendor: RunningVendor | None
    stages: dict[str, Stage] = field(factory=dict)
    expected: dict[str, compare.Content] = field(factory=dict)

    @classmethod
    @contextmanager
    def of(cls, bench: Bench, scenario: Scenario) -> Iterator[_Runs]:
        """The runs, with the local server while they last."""
        live = bench.live
        days = scenario.sessions(bench.calendar, live.today if live else None)
        market = MarketJob(
            symbols=scenario.symbols, resolution=scenario.resolution.value, days=days, bars=scenario.bars
        )
        home = bench.home / scenario.name
        home.mkdir()
        clock = str(home / "clock") if scenario.kind is Kind.BUDGET else None
        local = VendorJob(
            market=market,
            key=_KEY,
            latency=_latency(scenario, bench.latency),
            per_minute=scenario.per_minute,
            clock=clock,
        )
        expected = {} if live else compare.files_of(Market(market).files())
        noon = datetime(days[-1].year, days[-1].month, days[-1].day, 12, tzinfo=UTC)
        with nullcontext() if live else running_vendor(local) as vendor:
            job = Job(
                contender="",
                url=live.url if live else vendor.url if vendor else "",
                key=live.key if live else _KEY,
                folder="",
                symbols=scenario.symbols,
                resolution=scenario.resolution.value,
                days=days,
                now=datetime.now(UTC) if live else noon + _LATER,
                per_minute=scenario.per_minute,
                clock=clock,
                lean_config=str(live.lean_config) if live and live.lean_config else None,
            )
            yield cls(scenario=scenario, home=home, days=days, job=job, vendor=vendor, expected=expected)

    def run(self, contender: Contender) -> Sample:
        """One run, checked."""
        folder = self._stage(contender).ready(remembers=contender.remembers)
        job = attrs.evolve(self.job, contender=contender.name, folder=str(folder))
        if self.vendor:
            self.vendor.reset()
        if self.scenario.kind is Kind.CRASH:
            kill_half_way(job, len(self.scenario.symbols) * self.scenario.days)
        ran = run_child(job)
        sample = _sample(ran, self.vendor.counts() if self.vendor else None)
        if contender.writes:
            self._check(contender.name, folder)
        return sample

    def _check(self, who: str, folder: Path) -> None:
        """The files must be those of the market; where nobody knows it, those of the first run."""
        found = compare.read_folder(folder)
        if not self.expected:
            self.expected.update(found)
        compare.check_same(self.expected, found, who, self.scenario.name)

    def _stage(self, contender: Contender) -> Stage:
        def fill(folder: Path) -> None:
            run_child(attrs.evolve(self.job, contender=contender.name, folder=str(folder)))

        home = self.home / contender.name
        return self.stages.setdefault(contender.name, Stage(self.scenario.kind, home, self.days, fill))


def _sample(ran: Ran, counts: Counts | None) -> Sample:
    """A run with the local vendor's counts, or with what the contender says where nobody else counts."""
    counted: Mapping[str, int] = (
        attrs.asdict(counts) if counts else {"requests": ran.told.requests or 0, "bytes": ran.told.bytes or 0}
    )
    return Sample(
        seconds=ran.seconds + ran.waited,
        cpu_s=ran.cpu_seconds,
        peak_mb=ran.peak_mb,
        cache_hits=ran.told.cache_hits,
        **counted,
    )
