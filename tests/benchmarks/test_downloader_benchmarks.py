"""Performance assertions, as ratios within one run against the local server.

The best of several runs counts: other load on the machine makes runs slower, never faster.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from benchmarks import environment
from benchmarks.archive import ARCHIVE, archived_ratio
from benchmarks.contenders import CONTENDERS, OWN, WIRE, choose_contenders
from benchmarks.measure import Benchmark
from benchmarks.report import render_table
from benchmarks.results import ScenarioResult, minimum_requests
from benchmarks.scenarios import Scenario, ScenarioKind, load_scenarios
from server.observability.benchmark_archive import read_runs
from server.trading_calendar import USEquityTradingCalendar

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
CLIENT, LEAN = "massive", "lean-request-pattern"
SHORT = {one.name: one for one in load_scenarios(CONTENDERS) if not one.extended and not one.series}
COLD = [name for name, one in SHORT.items() if one.kind is ScenarioKind.COLD]
FOUND = [
    name
    for name, one in SHORT.items()
    if one.kind in (ScenarioKind.WARM_CACHE, ScenarioKind.PRESENT, ScenarioKind.GAPS)
]
WORSE_AT_MOST = 1.10
TRIES = 3

Measure = Callable[[Scenario], ScenarioResult]


@pytest.fixture(scope="module")
def benchmark(home: Path) -> Benchmark:
    """How the tests measure."""
    return Benchmark(home=home, calendar=USEquityTradingCalendar.load(date(2025, 1, 1)))


@pytest.fixture(scope="module")
def measured(benchmark: Benchmark) -> Measure:
    """Each scenario is measured once."""
    results: dict[str, ScenarioResult] = {}

    def measure(scenario: Scenario) -> ScenarioResult:
        if scenario.name not in results:
            results[scenario.name] = benchmark.measure(scenario, choose_contenders(()))
            show(results[scenario.name])
        return results[scenario.name]

    return measure


def show(result: ScenarioResult) -> None:
    """Print the table of a result."""
    print(f"\n{render_table(result.as_json())}")


def others(result: ScenarioResult) -> list[str]:
    """The other contenders that write files and ran."""
    return [one.name for one in result.contenders if one.samples and one.name not in (OWN, WIRE)]


@pytest.mark.parametrize("name", [*COLD, *FOUND])
def test_it_is_faster_than_every_other_contender(name: str, measured: Measure) -> None:
    """In each short scenario it takes less time than any other contender that writes files."""
    result = measured(SHORT[name])

    assert {CLIENT, LEAN, "massive-threads"} <= set(others(result))
    assert {who: result.best(who) for who in others(result) if result.best(who) <= result.best(OWN)} == {}


TIMES = {"minute": {CLIENT: 4, LEAN: 8}, "second": {CLIENT: 4, LEAN: 8}, "daily": {CLIENT: 3, LEAN: 4}}
"""The required factors. Daily bars are few for each request, and the ledger entry of a day costs as much as its bar."""


@pytest.mark.parametrize("who", [CLIENT, LEAN])
@pytest.mark.parametrize("name", COLD)
def test_it_is_several_times_as_fast(name: str, who: str, measured: Measure) -> None:
    """In each cold scenario it beats the vendor's client and LEAN's request pattern by the factors of `TIMES`."""
    result = measured(SHORT[name])

    assert result.best(who) / result.best(OWN) >= TIMES[SHORT[name].resolution.value][who]


@pytest.mark.parametrize("name", COLD)
def test_it_is_not_slower_than_the_archived_run(name: str, benchmark: Benchmark, measured: Measure) -> None:
    """Its best time, divided by that of raw transfers, is at most 10 % above the newest archived run of another commit.

    Otherwise it is measured again, and the best of all runs counts.
    """
    commit, _ = environment.commit()
    archived = archived_ratio(
        read_runs(ROOT / ARCHIVE),
        SHORT[name].title,
        exclude_commit=commit,
        reference_s=environment.reference_seconds(),
    )
    if archived is None:
        pytest.skip("no archived run of another commit on a machine of this speed has this scenario")
    results = [measured(SHORT[name])]
    while (ratio := best(results, OWN) / best(results, WIRE)) > archived * WORSE_AT_MOST and len(results) < TRIES:
        results.append(benchmark.measure(SHORT[name], choose_contenders((OWN, WIRE))))
    print(f"\n{name}: {ratio:.2f} times raw transfers, archived {archived:.2f}")

    assert ratio <= archived * WORSE_AT_MOST


def best(results: list[ScenarioResult], who: str) -> float:
    """The best time of a contender in several measurements."""
    return min(result.best(who) for result in results)


@pytest.mark.parametrize("name", [name for name, one in SHORT.items() if one.kind is ScenarioKind.BUDGET])
def test_it_sends_at_most_one_request_too_many(name: str, measured: Measure) -> None:
    """Under a budget it sends at most one request more than the minimum, and none is rejected."""
    result = measured(SHORT[name])
    own = result.contender(OWN).samples

    assert max(one.requests for one in own) <= minimum_requests(SHORT[name]) + 1
    assert max(one.refused for one in own) == 0
