"""Benchmarks at work on tiny markets: real processes, a real server, and the command."""

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

from server.bench import measure
from server.bench.compare import ResultsDiffer
from server.bench.contenders import CONTENDERS, choose_contenders
from server.bench.job import Job, MarketJob, VendorJob
from server.bench.measure import Bench, Live, Result, least_requests
from server.bench.scenarios import Kind, Scenario
from server.bench.stage import RunFailed, run_child, scratch
from server.bench.vendor import running_vendor
from server.lean.series import Resolution
from tests.support.command_line import ROOT, CommandLine, answer_of, wait_until
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
    with scratch(tmp_path) as folder:
        yield folder


def scenario(**changes: Any) -> Scenario:
    settings = {
        "name": "tiny",
        "kind": Kind.COLD,
        "symbols": ("AAPL", "SPY"),
        "resolution": Resolution.MINUTE,
        "first": date(2024, 1, 29),
        "days": 6,
        "bars": 7,
    }
    return Scenario(**(settings | changes))


def measured(home: Path, one: Scenario, *contenders: str, runs: int = 1) -> Result:
    bench = Bench(home=home, calendar=calendar(), runs=runs, latency=0.0)
    return bench.measure(one, choose_contenders(contenders))


def requests_of(result: Result) -> dict[str, int]:
    return {row.name: max(one.requests for one in row.samples) for row in result.rows if row.samples}


@pytest.mark.parametrize(("resolution", "bars"), [("minute", 7), ("second", 7), ("daily", 1)])
def test_everybody_writes_the_same_files(home: Path, resolution: str, bars: int) -> None:
    """All contenders that write pass the comparison with what LEAN's format makes of the bars; nobody is slower than 0.

    Two symbols from 29 January to 5 February: a question for each symbol and month (day of seconds) of the vendor's
    client, and one for each symbol, after that for the exchanges, of LEAN's pattern.
    """
    result = measured(home, scenario(resolution=Resolution(resolution), bars=bars))

    questions = {"minute": 2 * 2, "second": 2 * 6, "daily": 2}[resolution]
    requests = requests_of(result)
    assert set(requests) == {*WRITERS, "wire"}
    assert requests["massive"] == requests["massive-threads"] == questions
    assert requests["lean-request-pattern"] == 1 + 2
    assert requests["polygon"] == requests["wire"]
    assert all(one.seconds > 0 and one.peak_mb > 1 and one.bytes > 0 for row in result.rows for one in row.samples)
    assert result.row("lean-cli").not_run


def test_a_warm_cache_answers_for_polygon_alone(home: Path) -> None:
    """Its files are gone and its cache is there: no request is sent, in any round; the others send all of theirs."""
    result = measured(home, scenario(kind=Kind.WARM_CACHE), "polygon", "massive", "wire", runs=2)
    own = result.row("polygon").samples

    assert [(one.requests, one.bytes) for one in own] == [(0, 0)] * 2
    assert [one.cache_hits for one in own] == [2] * 2
    assert requests_of(result)["massive"] == 4
    assert result.row("wire").not_run == "it knows only the requests of an empty folder"


def test_what_is_present_is_not_fetched(home: Path) -> None:
    """Nothing is sent for files that are there; who does not look sends everything."""
    result = measured(home, scenario(kind=Kind.PRESENT), "polygon", "massive", runs=2)

    assert [(one.requests, one.cache_hits) for one in result.row("polygon").samples] == [(0, 0)] * 2
    assert requests_of(result)["massive"] == 4


def test_one_day_of_each_month_is_fetched(home: Path) -> None:
    """29 January and 1 February of two symbols: at least one request each, no more than one for each day."""
    result = measured(home, scenario(kind=Kind.GAPS), "polygon", runs=2)

    assert all(2 <= one.requests <= 2 * 2 for one in result.row("polygon").samples)
    assert all(one.cache_hits == 0 for one in result.row("polygon").samples)


def test_a_run_that_was_killed_is_finished_by_the_next(home: Path) -> None:
    """Killed with half of its files there: the second run does the rest, and all files are right.

    Requests and days sent twice are counted over both runs. Half of the 240 days were there, so the one that looks is
    sent that half again at most, and some days between two that are missing; the one that does not look all of them.
    """
    one = scenario(kind=Kind.CRASH, days=120, bars=60)
    bench = Bench(home=home, calendar=calendar(), runs=1, latency=0.05)

    result = bench.measure(one, choose_contenders(("polygon", "massive")))

    (own,), (client,) = (result.row(name).samples for name in ("polygon", "massive"))
    assert own.days_twice < 180
    assert client.days_twice >= 120
    assert client.requests > 12


def test_the_free_plan_is_simulated(home: Path) -> None:
    """Ten requests at five a minute take one minute and something of a clock that nobody sleeps by.

    Ten symbols with one answer each are ten requests at the least, which is what is sent; a client that does not
    wait for the budget is reported as having given up, and LEAN's ten tries get through.
    """
    symbols = tuple(f"S{number}" for number in range(10))
    one = scenario(kind=Kind.BUDGET, per_minute=5, symbols=symbols, days=3, bars=3)

    result = measured(home, one, "polygon", "massive", "lean-request-pattern")

    (own,) = result.row("polygon").samples
    assert least_requests(one) == 10
    assert (own.requests, own.refused) == (10, 0)
    assert 60 <= own.seconds < 75
    assert result.row("massive").not_run.startswith("it gave up: ")
    (lean,) = result.row("lean-request-pattern").samples
    assert lean.seconds > 60
    assert lean.refused > 0


def test_a_contender_that_writes_something_else_ends_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No time is believed: the error names the scenario, the contender and the file."""
    right = measure.Market.files

    def wrong(self: measure.Market) -> Iterator[tuple[str, str, bytes]]:
        return ((path, member, csv + b"0") for path, member, csv in right(self))

    monkeypatch.setattr(measure.Market, "files", wrong)

    with pytest.raises(ResultsDiffer, match=r"tiny: what massive wrote is not right: .*aapl/20240129_trade.zip"):
        measured(home, scenario(), "massive")


def test_a_contender_that_fails_ends_it(home: Path) -> None:
    """Without a budget nobody may give up; what it said last is told, and the key never is."""
    with pytest.raises(RunFailed) as failed:
        run_child(
            Job(
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


def test_nothing_is_left_of_its_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data folders lie in one for temporary files, which is gone afterwards."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch(tmp_path) as folder:
        measured(folder, scenario(days=2, bars=2), "wire")
        assert list(folder.iterdir())

    assert list(tmp_path.iterdir()) == []


def test_the_vendor_counts_what_it_sees() -> None:
    """Requests and the bytes of bodies as they went over the wire, from when it was last told to forget."""
    days = tuple(sessions(date(2024, 1, 2), 3))
    market = MarketJob(symbols=("SPY",), resolution="minute", days=days, bars=5)
    with running_vendor(VendorJob(market=market, key="k")) as vendor, scratch(Path.cwd()) as folder:
        job = Job(
            contender="wire",
            url=vendor.url,
            key="k",
            folder=str(folder),
            symbols=("SPY",),
            resolution="minute",
            days=days,
            now=NOW,
        )
        told = run_child(job).told
        counts = vendor.counts()
        vendor.reset()

        assert (counts.requests, counts.bytes) == (told.requests, told.bytes)
        assert counts.bytes > 0
        assert vendor.counts().requests == 0


def test_live_runs_count_for_themselves(home: Path) -> None:
    """With an API that nobody counts at, contenders tell their own requests and bytes, and agree on the files.

    Days are the last settled ones; scenarios that need the local server say why they are not run.
    """
    one = scenario(bars=5)
    days = one.sessions(calendar(), date(2024, 6, 3))
    market = MarketJob(symbols=one.symbols, resolution="minute", days=days, bars=5)
    with running_vendor(VendorJob(market=market, key=SECRET)) as vendor:
        live = Live(url=vendor.url, key=SECRET, today=date(2024, 6, 3))
        bench = Bench(home=home, calendar=calendar(), runs=1, live=live)
        result = bench.measure(one, choose_contenders(()))
        simulated = bench.measure(
            attrs.evolve(one, name="b", kind=Kind.BUDGET, per_minute=5), choose_contenders(("polygon",))
        )
        made_up = bench.measure(attrs.evolve(one, name="m", made_up=True), choose_contenders(("polygon",)))

    assert result.latency is None
    assert SECRET not in repr(live)
    for row in result.rows:
        assert row.not_run or (row.samples[0].requests > 0 and row.samples[0].bytes > 0)
    assert requests_of(result)["massive"] == 2
    assert simulated.row("polygon").not_run == "its clock is simulated; only on the local server"
    assert made_up.row("polygon").not_run == "its symbols are made up; only on the local server"


# --- the command ---


@pytest.fixture
def line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    (tmp_path / "tiny.toml").write_text(TOML)
    return CommandLine(tmp_path, capsys, monkeypatch)


def test_a_part_is_measured_and_not_kept(line: CommandLine) -> None:
    """A table on stdout, a line for each run on stderr; nothing is written unless a folder is named."""
    answer = line.run("bench", "--scenarios", "tiny.toml", "--scenario", "tiny", "--runs", "1", "--latency", "1")

    assert answer.code == 0
    assert "2 symbols x 2 days x 5 minute bars, cold" in answer.out
    assert "lean-cli was not run: " in answer.out
    assert "not kept, since only a part was measured; --results DIR keeps it" in answer.out
    assert [text.partition(" 1/1 ")[0] for text in answer.err.splitlines()] == ["tiny: polygon", "tiny: wire"]
    assert set(line.files()) == {"tiny.toml"}


def test_a_whole_run_is_kept(line: CommandLine) -> None:
    """With JSON, one object on stdout, the one that is kept below benchmarks/results with everything beside it."""
    pytest.importorskip("matplotlib", reason="a kept run has plots; pip install 'backtest-server[bench]'")
    answer = line.run("bench", "--scenarios", "tiny.toml", "--runs", "1", "--latency", "1", "--json")

    assert answer.code == 0
    told = json.loads(answer.out)
    folder = line.folder / told.pop("folder")
    assert folder.parent == line.folder / "benchmarks" / "results"
    assert json.loads((folder / "results.json").read_text()) == told
    assert [one["id"] for one in told["scenarios"]] == ["tiny"]
    assert {"README.md", "results.csv", "time.svg", "time.png", "memory.png"} <= {
        path.name for path in folder.iterdir()
    }


def test_scenarios_and_contenders_are_listed(line: CommandLine) -> None:
    """The extended ones, too; as JSON one object."""
    plain = line.run("bench", "--scenarios", "tiny.toml", "--list")
    told = json.loads(line.run("bench", "--list", "--json").out)

    assert "(extended)" in plain.out
    assert all(name in plain.out for name in CONTENDERS)
    assert "minutes-cold" in [one["name"] for one in told["scenarios"]]
    assert [one["name"] for one in told["contenders"]] == list(CONTENDERS)


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
def test_what_does_not_fit_is_one_line(line: CommandLine, arguments: tuple[str, ...], code: int, words: str) -> None:
    """Exit code 2 for bad use, 1 for want of a key; nothing is measured."""
    answer = line.run("bench", "--scenarios", "tiny.toml", *arguments)

    assert answer.code == code
    assert len(answer.errors) == 1
    assert words in answer.errors[0]
    assert answer.out == ""


def test_it_is_stopped_by_ctrl_c(line: CommandLine) -> None:
    """Exit code 130, one line, and no folder is left of it."""
    folder = line.folder / "temporary"
    folder.mkdir()
    line.set(TMPDIR=str(folder))
    process = line.start("bench", "--scenarios", "tiny.toml", "--scenario", "tiny", "--runs", "500")
    wait_until(lambda: any(folder.glob(".backtest-server-bench-*/tiny")))
    process.send_signal(2)

    answer = answer_of(process)

    assert answer.code == 130
    assert answer.errors == ["error: stopped"]
    assert list(folder.iterdir()) == []


def test_the_processes_do_not_see_the_users_settings(line: CommandLine) -> None:
    """A key or a setting in the environment, or a lean.json nearby, changes nothing and reaches nobody."""
    (line.folder / "lean.json").write_text('{"data-folder": "elsewhere", "polygon-api-key": "other"}')
    line.set(POLYGON_API_KEY=SECRET, BACKTEST_SERVER_REQUESTS_PER_MINUTE="1", POLYGON_API_URL="http://127.0.0.1:9")

    answer = line.run("bench", "--scenarios", "tiny.toml", "--scenario", "tiny", "--runs", "1", "--json")

    assert answer.code == 0
    assert SECRET not in answer.out + answer.err


def test_the_child_takes_its_key_from_stdin_alone(tmp_path: Path) -> None:
    """Its command line has no arguments, and a job that is not one is refused."""
    done = subprocess.run(
        [sys.executable, "-m", "server.bench.child"],
        input="{}",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert done.returncode != 0
    assert done.stdout == ""
