"""Measures scenarios: contenders run in turn, several times, and what each wrote is compared."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import attrs
from attrs import field, frozen

from benchmarks.compare import ZipContent, check_same, contents_by_path, read_folder
from benchmarks.contenders import OWN, Contender, unavailable_reason
from benchmarks.folders import FolderPreparer
from benchmarks.market import SyntheticMarket
from benchmarks.messages import MarketSpec, RunMeasurement, RunSpec, VendorCounts, VendorSpec
from benchmarks.processes import RunFailedError, kill_half_way, run_contender
from benchmarks.results import ContenderResult, Sample, ScenarioResult
from benchmarks.scenarios import Scenario, ScenarioKind
from benchmarks.vendor import VendorProcess, running_vendor
from server.trading_calendar import USEquityTradingCalendar

DEFAULT_RUNS = 5

_KEY = "key-of-the-local-server"
_SETTLED_AFTER = timedelta(days=30)
"""How long after the last day a run on the local server takes place, so that every day is settled."""


@frozen(kw_only=True)
class LiveApi:
    """The real API, measured instead of the local server."""

    url: str
    key: str = field(repr=False)
    today: date
    lean_config: Path | None = None


@frozen(kw_only=True)
class Benchmark:
    """How scenarios are measured.

    Attributes:
        home: A folder on a real disk for the folders of all runs.
        runs: The number of runs of each contender; None uses the scenario's number or the default.
        latency: Seconds before each response of the local server.
        live: The real API; None uses the local server.
        on_run: Called after each run with scenario, contender, round, number of rounds, and seconds (None if the
            contender gave up).
    """

    home: Path
    calendar: USEquityTradingCalendar
    runs: int | None = None
    latency: float = 0.05
    live: LiveApi | None = None
    on_run: Callable[[str, str, int, int, float | None], object] = lambda *run: None

    def measure(self, scenario: Scenario, contenders: Sequence[Contender]) -> ScenarioResult:
        """Run the contenders in turn, each round in another order.

        Raises:
            FilesDifferError: A contender wrote other files than expected.
            RunFailedError: A contender failed although its requirements were met.
        """
        selected = [one for one in contenders if not scenario.contenders or one.name in scenario.contenders]
        reasons = {one.name: self._not_run_reason(one, scenario) for one in selected}
        samples: dict[str, list[Sample]] = {one.name: [] for one in selected}
        available = [one for one in selected if not reasons[one.name]]
        if available:
            self._run_rounds(scenario, available, samples, reasons)
        results = [
            ContenderResult(
                name=one.name,
                samples=() if reasons[one.name] else tuple(samples[one.name]),
                not_run=reasons[one.name],
            )
            for one in selected
        ]
        latency = None if self.live else _latency(scenario, self.latency)
        return ScenarioResult(scenario=scenario, contenders=tuple(results), latency=latency)

    def _run_rounds(
        self,
        scenario: Scenario,
        contenders: Sequence[Contender],
        samples: Mapping[str, list[Sample]],
        reasons: dict[str, str],
    ) -> None:
        """Run all rounds; fills `samples`, and `reasons` for contenders that give up."""
        rounds = self.runs or scenario.runs or DEFAULT_RUNS
        with _ScenarioRunner.open(self, scenario) as runner:
            for turn in range(rounds):
                for one in _rotated(contenders, turn):
                    if reasons[one.name]:
                        continue
                    seconds = None
                    try:
                        sample = runner.run(one)
                    except RunFailedError as failure:
                        reasons[one.name] = _gave_up(one, scenario, failure)
                    else:
                        samples[one.name].append(sample)
                        seconds = sample.seconds
                    self.on_run(scenario.name, one.name, turn + 1, rounds, seconds)

    def _not_run_reason(self, contender: Contender, scenario: Scenario) -> str:
        """Return why a contender cannot run a scenario, or an empty text."""
        if self.live and scenario.made_up:
            return "the scenario's symbols do not exist; only on the local server"
        if self.live and scenario.kind is ScenarioKind.BUDGET:
            return "the scenario's clock is simulated; only on the local server"
        if self.live and scenario.kind is ScenarioKind.CRASH:
            return "days fetched twice are counted by the local server; only on the local server"
        if not contender.writes and scenario.kind is not ScenarioKind.COLD:
            return "it only has the requests for an empty folder"
        lean_config = self.live.lean_config if self.live else None
        return unavailable_reason(contender, live=self.live is not None, lean_config=lean_config)


def _gave_up(contender: Contender, scenario: Scenario, failure: RunFailedError) -> str:
    """Return why a contender has no time. Another client may give up under a request budget.

    Raises:
        RunFailedError: In any other case.
    """
    if scenario.kind is ScenarioKind.BUDGET and contender.name != OWN:
        return f"it gave up: {failure}"
    raise RunFailedError(f"{scenario.name}: {contender.name} failed: {failure}") from failure


def _rotated(contenders: Sequence[Contender], turn: int) -> list[Contender]:
    first = turn % len(contenders)
    return [*contenders[first:], *contenders[:first]]


def _latency(scenario: Scenario, latency: float) -> float:
    return 0.0 if scenario.kind is ScenarioKind.BUDGET else latency


@frozen(kw_only=True)
class _ScenarioRunner:
    """Runs the contenders of one scenario.

    Attributes:
        home: The parent folder of the contenders' folders.
        spec: What each run downloads; contender and folder are filled in for each run.
        vendor: The local server; None with the live API.
        expected: The expected files. With the live API they are those of the first run.
    """

    scenario: Scenario
    home: Path
    days: tuple[date, ...]
    spec: RunSpec
    vendor: VendorProcess | None
    preparers: dict[str, FolderPreparer] = field(factory=dict)
    expected: dict[str, ZipContent] = field(factory=dict)

    @classmethod
    @contextmanager
    def open(cls, benchmark: Benchmark, scenario: Scenario) -> Iterator[_ScenarioRunner]:
        """Create a runner; a local server runs until the context ends."""
        live = benchmark.live
        days = scenario.sessions(benchmark.calendar, live.today if live else None)
        market = MarketSpec(
            symbols=scenario.symbols, resolution=scenario.resolution.value, days=days, bars=scenario.bars
        )
        home = Path(tempfile.mkdtemp(prefix=f"{scenario.name}-", dir=benchmark.home))
        clock = str(home / "clock") if scenario.kind is ScenarioKind.BUDGET else None
        noon = datetime(days[-1].year, days[-1].month, days[-1].day, 12, tzinfo=UTC)
        spec = RunSpec(
            contender="",
            url=live.url if live else "",
            key=live.key if live else _KEY,
            folder="",
            symbols=scenario.symbols,
            resolution=scenario.resolution.value,
            days=days,
            now=datetime.now(UTC) if live else noon + _SETTLED_AFTER,
            per_minute=scenario.per_minute,
            clock=clock,
            lean_config=str(live.lean_config) if live and live.lean_config else None,
        )
        local = VendorSpec(
            market=market,
            key=_KEY,
            latency=_latency(scenario, benchmark.latency),
            per_minute=scenario.per_minute,
            clock=clock,
        )
        expected = {} if live else contents_by_path(SyntheticMarket(market).files())
        with nullcontext() if live else running_vendor(local) as vendor:
            if vendor:
                spec = attrs.evolve(spec, url=vendor.url)
            yield cls(scenario=scenario, home=home, days=days, spec=spec, vendor=vendor, expected=expected)

    def run(self, contender: Contender) -> Sample:
        """Run a contender once and check its files."""
        folder = self._preparer(contender).prepare(incremental=contender.incremental)
        spec = attrs.evolve(self.spec, contender=contender.name, folder=str(folder))
        if self.vendor:
            self.vendor.reset()
        if self.scenario.kind is ScenarioKind.CRASH:
            kill_half_way(spec, len(self.scenario.symbols) * self.scenario.days)
        measurement = run_contender(spec)
        sample = _sample(measurement, self.vendor.counts() if self.vendor else None)
        if contender.writes:
            self._check(contender.name, folder)
        return sample

    def _check(self, contender: str, folder: Path) -> None:
        found = read_folder(folder)
        if not self.expected:
            self.expected.update(found)
        check_same(self.expected, found, contender, self.scenario.name)

    def _preparer(self, contender: Contender) -> FolderPreparer:
        def fill(folder: Path) -> None:
            run_contender(attrs.evolve(self.spec, contender=contender.name, folder=str(folder)))

        home = self.home / contender.name
        return self.preparers.setdefault(contender.name, FolderPreparer(self.scenario.kind, home, self.days, fill))


def _sample(measurement: RunMeasurement, vendor: VendorCounts | None) -> Sample:
    """Combine a measurement with the local server's counts, or with the contender's own if there is no local server."""
    own = measurement.counts
    counts: Mapping[str, int] = (
        attrs.asdict(vendor) if vendor else {"requests": own.requests or 0, "bytes": own.bytes or 0}
    )
    return Sample(
        seconds=measurement.seconds + measurement.waited,
        cpu_s=measurement.cpu_seconds,
        peak_mb=measurement.peak_mb,
        cache_hits=own.cache_hits,
        **counts,
    )
