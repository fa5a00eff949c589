"""Benchmarks of tiny markets: real processes, a real server, and the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import attrs
import pytest

from benchmarks.__main__ import main
from benchmarks.compare import FilesDifferError
from benchmarks.contenders import CONTENDERS, choose_contenders
from benchmarks.folders import temporary_folder
from benchmarks.market import SyntheticMarket
from benchmarks.measure import Benchmark, LiveApi
from benchmarks.messages import MarketSpec, RunSpec, VendorSpec
from benchmarks.processes import RunFailedError, run_contender
from benchmarks.results import ScenarioResult, minimum_requests
from benchmarks.scenarios import Scenario, ScenarioKind
from benchmarks.vendor import running_vendor
from server.lean.series import Resolution
from tests.support.benchmark_results import scenario
from tests.support.command_line import ROOT, Answer, CommandLine, answer_of, wait_until
from tests.support.harness import NOW, calendar, sessions

pytest.importorskip("massive", reason="contenders are compared; pip install 'backtest-server[bench]'")

SECRET = "a-very-secret-key"
WRITERS = ("polygon", "lean-request-pattern", "massive", "massive-threads")
TOML = """
[[scenario]]
name = "tiny"
kind = "cold"
symbols = ["AAPL", "SPY"]
resolution = "minute"
first = 2024-01-02
days = 2
bars = 5
contenders = ["polygon", "lean-cli", "wire"]

[[scenario]]
name = "long"
kind = "cold"
symbols = ["AAPL"]
resolution = "minute"
first = 2024-01-02
days = 2
bars = 5
contenders = ["wire"]
extended = true
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with temporary_folder(tmp_path) as folder:
        yield folder


def tiny(**changes: Any) -> Scenario:
    return scenario(**({"name": "tiny", "first": date(2024, 1, 29), "days": 6, "bars": 7} | changes))


def measured(home: Path, one: Scenario, *contenders: str, runs: int = 1) -> ScenarioResult:
    benchmark = Benchmark(home=home, calendar=calendar(), runs=runs, latency=0.0)
    return benchmark.measure(one, choose_contenders(contenders))


def requests_of(result: ScenarioResult) -> dict[str, int]:
    return {one.name: max(run.requests for run in one.samples) for one in result.contenders if one.samples}


@pytest.mark.parametrize(("resolution", "bars"), [("minute", 7), ("second", 7), ("daily", 1)])
def test_all_contenders_write_the_same_files(home: Path, resolution: str, bars: int) -> None:
    """All contenders that write files pass the comparison with LEAN's format.

    Two symbols from 29 January to 5 February: the vendor's client sends a request for each symbol and month (for
    seconds: day), LEAN's pattern one for the exchanges and one for each symbol.
    """
    result = measured(home, tiny(resolution=Resolution(resolution), bars=bars))

    batches = {"minute": 2 * 2, "second": 2 * 6, "daily": 2}[resolution]
    requests = requests_of(result)
    assert set(requests) == {*WRITERS, "wire"}
    assert requests["massive"] == requests["massive-threads"] == batches
    assert requests["lean-request-pattern"] == 1 + 2
    assert requests["polygon"] == requests["wire"]
    assert all(
        one.seconds > 0 and one.peak_mb > 1 and one.bytes > 0 for who in result.contenders for one in who.samples
    )
    assert result.contender("lean-cli").not_run


def test_only_polygon_uses_a_warm_cache(home: Path) -> None:
    """Without files but with the HTTP cache it sends no request in any round; the others send all of theirs."""
    result = measured(home, tiny(kind=ScenarioKind.WARM_CACHE), "polygon", "massive", "wire", runs=2)
    own = result.contender("polygon").samples

    assert [(one.requests, one.bytes) for one in own] == [(0, 0)] * 2
    assert [one.cache_hits for one in own] == [2] * 2
    assert requests_of(result)["massive"] == 4
    assert result.contender("wire").not_run == "it only has the requests for an empty folder"


def test_present_days_are_not_fetched(home: Path) -> None:
    """No request is sent for present files; contenders that do not check send all requests."""
    result = measured(home, tiny(kind=ScenarioKind.PRESENT), "polygon", "massive", runs=2)

    assert [(one.requests, one.cache_hits) for one in result.contender("polygon").samples] == [(0, 0)] * 2
    assert requests_of(result)["massive"] == 4


def test_one_day_of_each_month_is_fetched(home: Path) -> None:
    """29 January and 1 February of two symbols: at least one request each, no more than one for each day."""
    result = measured(home, tiny(kind=ScenarioKind.GAPS), "polygon", runs=2)

    assert all(2 <= one.requests <= 2 * 2 for one in result.contender("polygon").samples)
    assert all(one.cache_hits == 0 for one in result.contender("polygon").samples)


def test_the_next_run_completes_a_killed_one(home: Path) -> None:
    """Killed after half of its files: the second run does the rest, and all files are right.

    Requests and days sent twice are counted over both runs. Half of the 240 days exist after the kill. The incremental
    contender fetches at most that half again and some days between two missing ones; the other fetches all of them.
    """
    one = tiny(kind=ScenarioKind.CRASH, days=120, bars=60)
    benchmark = Benchmark(home=home, calendar=calendar(), runs=1, latency=0.05)

    result = benchmark.measure(one, choose_contenders(("polygon", "massive")))

    (own,), (client,) = (result.contender(name).samples for name in ("polygon", "massive"))
    assert own.days_twice < 180
    assert client.days_twice >= 120
    assert client.requests > 12


def test_the_free_plan_is_simulated(home: Path) -> None:
    """Ten requests at five a minute take a little more than one simulated minute.

    Ten symbols with one response each need ten requests, and ten are sent. The vendor's client does not wait for the
    budget and gives up; LEAN's ten attempts succeed.
    """
    symbols = tuple(f"S{number}" for number in range(10))
    one = tiny(kind=ScenarioKind.BUDGET, per_minute=5, symbols=symbols, days=3, bars=3)

    result = measured(home, one, "polygon", "massive", "lean-request-pattern")

    (own,) = result.contender("polygon").samples
    assert minimum_requests(one) == 10
    assert (own.requests, own.refused) == (10, 0)
    assert 60 <= own.seconds < 75
    assert result.contender("massive").not_run.startswith("it gave up: ")
    (lean,) = result.contender("lean-request-pattern").samples
    assert lean.seconds > 60
    assert lean.refused > 0


def test_other_files_end_the_measurement(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the scenario, the contender and the file."""
    right = SyntheticMarket.files

    def wrong(self: SyntheticMarket) -> Iterator[tuple[str, str, bytes]]:
        return ((path, member, csv + b"0") for path, member, csv in right(self))

    monkeypatch.setattr(SyntheticMarket, "files", wrong)

    with pytest.raises(FilesDifferError, match=r"tiny: massive wrote wrong files: .*aapl/20240129_trade.zip"):
        measured(home, tiny(), "massive")


def test_a_failing_contender_ends_the_measurement(home: Path) -> None:
    """The error is the last line of its stderr, without the key."""
    with pytest.raises(RunFailedError) as failed:
        run_contender(
            RunSpec(
                contender="wire",
                url="http://127.0.0.1:9",
                key=SECRET,
                folder=str(home),
                symbols=("SPY",),
                resolution="minute",
                days=tuple(sessions(date(2024, 1, 2), 2)),
                now=NOW,
            )
        )

    assert "Connection refused" in str(failed.value)
    assert SECRET not in str(failed.value)


def test_a_scenario_can_be_measured_again(home: Path) -> None:
    """In the same folder, as the performance assertions do to take the best of several measurements."""
    results = [measured(home, tiny(days=2, bars=2), "wire") for _ in range(2)]

    assert [requests_of(result)["wire"] for result in results] == [2, 2]


def test_folders_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data folders are in a temporary folder, which is removed afterwards."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with temporary_folder(tmp_path) as folder:
        measured(folder, tiny(days=2, bars=2), "wire")
        assert list(folder.iterdir())

    assert list(tmp_path.iterdir()) == []


def test_the_local_server_counts_requests() -> None:
    """Requests and bytes of response bodies as sent, since the last reset."""
    days = tuple(sessions(date(2024, 1, 2), 3))
    market = MarketSpec(symbols=("SPY",), resolution="minute", days=days, bars=5)
    with running_vendor(VendorSpec(market=market, key="k")) as vendor, temporary_folder(Path.cwd()) as folder:
        spec = RunSpec(
            contender="wire",
            url=vendor.url,
            key="k",
            folder=str(folder),
            symbols=("SPY",),
            resolution="minute",
            days=days,
            now=NOW,
        )
        own = run_contender(spec).counts
        counts = vendor.counts()
        vendor.reset()

        assert (counts.requests, counts.bytes) == (own.requests, own.bytes)
        assert counts.bytes > 0
        assert vendor.counts().requests == 0


def test_live_runs_use_the_contenders_counts(home: Path) -> None:
    """With a live API contenders count their own requests and bytes, and write the same files.

    Days are the last settled ones; scenarios that need the local server say why they are not run.
    """
    one = tiny(bars=5)
    days = one.sessions(calendar(), date(2024, 6, 3))
    market = MarketSpec(symbols=one.symbols, resolution="minute", days=days, bars=5)
    with running_vendor(VendorSpec(market=market, key=SECRET)) as vendor:
        live = LiveApi(url=vendor.url, key=SECRET, today=date(2024, 6, 3))
        benchmark = Benchmark(home=home, calendar=calendar(), runs=1, live=live)
        result = benchmark.measure(one, choose_contenders(()))
        simulated = benchmark.measure(
            attrs.evolve(one, name="b", kind=ScenarioKind.BUDGET, per_minute=5), choose_contenders(("polygon",))
        )
        made_up = benchmark.measure(attrs.evolve(one, name="m", made_up=True), choose_contenders(("polygon",)))

    assert result.latency is None
    assert SECRET not in repr(live)
    for one in result.contenders:
        assert one.not_run or (one.samples[0].requests > 0 and one.samples[0].bytes > 0)
    assert requests_of(result)["massive"] == 2
    assert simulated.contender("polygon").not_run == "the scenario's clock is simulated; only on the local server"
    assert made_up.contender("polygon").not_run == "the scenario's symbols do not exist; only on the local server"


# --- the command ---


@pytest.fixture
def line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    (tmp_path / "tiny.toml").write_text(TOML)
    return CommandLine(tmp_path, capsys, monkeypatch)


def run(line: CommandLine, *arguments: str) -> Answer:
    return line.run(*arguments, main=main)


def test_a_part_is_measured_and_not_saved(line: CommandLine) -> None:
    """A table on stdout, a line for each run on stderr; nothing is written without --results."""
    answer = run(line, "--scenarios", "tiny.toml", "--scenario", "tiny", "--runs", "1", "--latency", "1")

    assert answer.code == 0
    assert "2 symbols x 2 days x 5 minute bars, cold" in answer.out
    assert "lean-cli was not run: " in answer.out
    assert "not saved: only a part was measured; use --results DIR to save it" in answer.out
    assert [text.partition(" 1/1 ")[0] for text in answer.err.splitlines()] == ["tiny: polygon", "tiny: wire"]
    assert set(line.files()) == {"tiny.toml"}


def test_a_whole_run_is_saved(line: CommandLine) -> None:
    """With --json the object on stdout is the one saved as results.json below benchmarks/results, plus its folder."""
    answer = run(line, "--scenarios", "tiny.toml", "--runs", "1", "--latency", "1", "--json")

    assert answer.code == 0
    printed = json.loads(answer.out)
    folder = line.folder / printed.pop("folder")
    assert folder.parent == line.folder / "benchmarks" / "results"
    assert json.loads((folder / "results.json").read_text()) == printed
    assert [one["id"] for one in printed["scenarios"]] == ["tiny"]
    assert [path.name for path in folder.iterdir()] == ["results.json"]


def test_scenarios_and_contenders_are_listed(line: CommandLine) -> None:
    """Extended scenarios included; with --json as one object."""
    plain = run(line, "--scenarios", "tiny.toml", "--list")
    listed = json.loads(run(line, "--list", "--json").out)

    assert "(extended)" in plain.out
    assert all(name in plain.out for name in CONTENDERS)
    assert "minutes-cold" in [one["name"] for one in listed["scenarios"]]
    assert [one["name"] for one in listed["contenders"]] == list(CONTENDERS)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--scenario", "tini"), 2, "there is no scenario 'tini'; did you mean tiny?"),
        (("--contender", "polygoon"), 2, "there is no contender 'polygoon'; did you mean polygon?"),
        (("--scenarios", "none.toml"), 2, "none.toml cannot be read"),
        (("--runs", "0"), 2, "--runs"),
        (("--latency", "fast"), 2, "--latency"),
        (("--live", "--scenario", "tiny"), 1, "there is no Polygon API key"),
    ],
)
def test_bad_use_is_one_line(line: CommandLine, arguments: tuple[str, ...], code: int, words: str) -> None:
    """Exit code 2 for bad use, 1 without a key; nothing is measured."""
    answer = run(line, "--scenarios", "tiny.toml", *arguments)

    assert answer.code == code
    assert len(answer.errors) == 1
    assert words in answer.errors[0]
    assert answer.out == ""


def test_it_is_stopped_by_ctrl_c(line: CommandLine) -> None:
    """Exit code 130, one line, and its folders are removed."""
    folder = line.folder / "temporary"
    folder.mkdir()
    line.set(TMPDIR=str(folder))
    process = line.start("--scenarios", "tiny.toml", "--scenario", "tiny", "--runs", "500", module="benchmarks")
    wait_until(lambda: any(folder.glob(".backtest-server-bench-*/tiny-*")))
    process.send_signal(2)

    answer = answer_of(process)

    assert answer.code == 130
    assert answer.errors == ["error: stopped"]
    assert list(folder.iterdir()) == []


def test_the_processes_do_not_get_the_users_settings(line: CommandLine) -> None:
    """A key or a setting in the environment, or a lean.json in the folder, has no effect and is not passed on."""
    (line.folder / "lean.json").write_text('{"data-folder": "elsewhere", "polygon-api-key": "other"}')
    line.set(POLYGON_API_KEY=SECRET, BACKTEST_SERVER_REQUESTS_PER_MINUTE="1", POLYGON_API_URL="http://127.0.0.1:9")

    answer = run(line, "--scenarios", "tiny.toml", "--scenario", "tiny", "--runs", "1", "--json")

    assert answer.code == 0
    assert SECRET not in answer.out + answer.err


def test_the_process_takes_its_key_from_stdin_alone(tmp_path: Path) -> None:
    """Its command line has no arguments, and an invalid specification is an error."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.contender_process"],
        input="{}",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert done.returncode != 0
    assert done.stdout == ""
