"""What is promised of the speed, as ratios within one run against the local server.

The best of several runs counts: a machine that is busy makes runs slower, and never faster.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from server.bench import environment
from server.bench.archive import FOLDER, archived_ratio, read_runs
from server.bench.contenders import CONTENDERS, OWN, WIRE, choose_contenders
from server.bench.measure import Bench, Result, least_requests
from server.bench.report import table_of
from server.bench.scenarios import Kind, Scenario, load_scenarios
from server.trading_calendar import USEquityTradingCalendar

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
CLIENT, LEAN = "massive", "lean-request-pattern"
SHORT = {
    one.name: one
    for one in load_scenarios(ROOT / "benchmarks" / "scenarios.toml", ROOT, CONTENDERS)
    if not one.extended and not one.series
}
COLD = [name for name, one in SHORT.items() if one.kind is Kind.COLD]
FOUND = [name for name, one in SHORT.items() if one.kind in (Kind.WARM_CACHE, Kind.PRESENT, Kind.GAPS)]
WORSE_AT_MOST = 1.10
TRIES = 3

Measure = Callable[[Scenario], Result]


@pytest.fixture(scope="module")
def bench(home: Path) -> Bench:
    """How the tests measure."""
    return Bench(home=home, calendar=USEquityTradingCalendar.load(date(2025, 1, 1)))


@pytest.fixture(scope="module")
def measured(bench: Bench) -> Measure:
    """Each scenario is measured once."""
    results: dict[str, Result] = {}

    def measure(scenario: Scenario) -> Result:
        if scenario.name not in results:
            results[scenario.name] = bench.measure(scenario, choose_contenders(()))
            show(results[scenario.name])
        return results[scenario.name]

    return measure


def show(result: Result) -> None:
    """Print the table of a result."""
    found: dict[str, Any] = result.as_json()
    head, rows = table_of(found)
    print(f"\n{found['name']}", head, *rows, sep="\n  ")


def others(result: Result) -> list[str]:
    """Those that write files and ran, but for this project."""
    return [row.name for row in result.rows if row.samples and row.name not in (OWN, WIRE)]


@pytest.mark.parametrize("name", [*COLD, *FOUND])
def test_it_is_ahead_of_every_other_way(name: str, measured: Measure) -> None:
    """On each short scenario it takes less time than any other contender that writes files."""
    result = measured(SHORT[name])

    assert {CLIENT, LEAN, "massive-threads"} <= set(others(result))
    assert {who: result.best(who) for who in others(result) if result.best(who) <= result.best(OWN)} == {}


TIMES = {"minute": {CLIENT: 4, LEAN: 8}, "second": {CLIENT: 4, LEAN: 8}, "daily": {CLIENT: 3, LEAN: 4}}
"""Daily bars are few for each request, and what is remembered of each day weighs as much as the day."""


@pytest.mark.parametrize("who", [CLIENT, LEAN])
@pytest.mark.parametrize("name", COLD)
def test_it_is_several_times_as_fast(name: str, who: str, measured: Measure) -> None:
    """As fast as the vendor's client and as LEAN's request pattern so many times over, on each cold scenario."""
    result = measured(SHORT[name])

    assert result.best(who) / result.best(OWN) >= TIMES[SHORT[name].resolution.value][who]


@pytest.mark.parametrize("name", COLD)
def test_it_is_not_slower_than_the_archived_run(name: str, bench: Bench, measured: Measure) -> None:
    """Its best time is at most a tenth more of the wire's than in the newest archived run of another commit.

    Where it is more, it is measured again, and the best of all runs counts.
    """
    commit, _ = environment.commit()
    archived = archived_ratio(read_runs(ROOT / FOLDER), SHORT[name].title, besides=commit)
    if archived is None:
        pytest.skip("no archived run of another commit has this scenario")
    results = [measured(SHORT[name])]
    while (ratio := best(results, OWN) / best(results, WIRE)) > archived * WORSE_AT_MOST and len(results) < TRIES:
        results.append(bench.measure(SHORT[name], choose_contenders((OWN, WIRE))))
    print(f"\n{name}: {ratio:.2f} times the wire, archived {archived:.2f}")

    assert ratio <= archived * WORSE_AT_MOST


def best(results: list[Result], who: str) -> float:
    """The best time of a contender in several measurements."""
    return min(result.best(who) for result in results)


@pytest.mark.parametrize("name", [name for name, one in SHORT.items() if one.kind is Kind.BUDGET])
def test_it_sends_no_more_than_one_request_too_many(name: str, measured: Measure) -> None:
    """Under a budget it sends at most one request more than nobody can do without, and none that is refused."""
    result = measured(SHORT[name])
    own = result.row(OWN).samples

    assert max(one.requests for one in own) <= least_requests(SHORT[name]) + 1
    assert max(one.refused for one in own) == 0
