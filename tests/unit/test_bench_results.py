"""What comes of a measurement: comparison, statistics, the files of a run, the archive, the pictures."""

from __future__ import annotations

import csv
import importlib.util
import json
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from server.bench import environment, plots
from server.bench.archive import FOLDER, archived_ratio, ratio_to_wire, read_run, read_runs, scenario_of
from server.bench.compare import Content, ResultsDiffer, check_same, files_of, read_folder
from server.bench.contenders import CONTENDERS, why_not
from server.bench.measure import Result, Row, Sample
from server.bench.report import folder_name, markdown, run_of, seconds, table_of, write
from server.bench.scenarios import Kind, Scenario
from server.core.errors import ToolMissingError
from server.lean.series import Resolution

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"against": "the project's local server, 50 ms before each answer", "processor": "P", "cores": 2}


def scenario(**changes: Any) -> Scenario:
    settings = {
        "name": "small",
        "kind": Kind.COLD,
        "symbols": ("AAPL", "SPY"),
        "resolution": Resolution.MINUTE,
        "first": date(2024, 1, 2),
        "days": 5,
        "bars": 100,
    }
    return Scenario(**(settings | changes))


def sample(seconds: float, **changes: Any) -> Sample:
    settings = {"cpu_s": 0.5, "peak_mb": 80.0, "requests": 4, "bytes": 2_000_000, "cache_hits": 0}
    return Sample(seconds=seconds, **(settings | changes))


def result(**changes: Any) -> Result:
    rows = (
        Row(name="polygon", samples=(sample(0.4, requests=3, cache_hits=1), sample(0.3), sample(0.8))),
        Row(name="lean-cli", not_run="the LEAN CLI is not installed"),
        Row(name="massive", samples=(sample(1.2), sample(1.5))),
        Row(name="wire", samples=(sample(0.2), sample(0.25))),
    )
    return Result(scenario=scenario(**changes), rows=rows, latency=0.05)


def run(**changes: Any) -> dict[str, Any]:
    return run_of([result(**changes)], ENVIRONMENT, ("abc1234", False))


# --- comparison ---


def zipped(path: Path, **members: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.csv", content)


@pytest.mark.damaged_zips
def test_folders_are_read_as_members_and_their_bytes(tmp_path: Path) -> None:
    """By path; the same content is the same value, however it was packed; a damaged file is one of its own."""
    zipped(tmp_path / "equity/usa/minute/spy/20240102_trade.zip", a=b"1,2")
    (tmp_path / "equity/usa/minute/spy/20240103_trade.zip").write_bytes(b"no zip")

    found = read_folder(tmp_path)

    assert found["equity/usa/minute/spy/20240102_trade.zip"] == Content.of("a.csv", b"1,2")
    assert found["equity/usa/minute/spy/20240103_trade.zip"].member.startswith("unreadable")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([("a", "m", b"1")], "b is missing"),
        ([("a", "m", b"1"), ("b", "m", b"2"), ("c", "m", b"3")], "c should not be there"),
        ([("a", "x", b"1"), ("b", "m", b"2")], "a holds 'x' in place of 'm'"),
        ([("a", "m", b"9"), ("b", "m", b"9")], "a holds other bars than expected"),
    ],
)
def test_the_first_difference_is_named(found: list[tuple[str, str, bytes]], words: str) -> None:
    """With the contender and the scenario; the same files are no error."""
    expected = files_of([("a", "m", b"1"), ("b", "m", b"2")])
    check_same(expected, dict(reversed(expected.items())), "massive", "small")

    with pytest.raises(ResultsDiffer) as differs:
        check_same(expected, files_of(found), "massive", "small")

    assert str(differs.value) == f"small: what massive wrote is not right: {words}; no time was believed"


# --- statistics ---


def test_figures_are_median_best_worst_and_spread() -> None:
    """Of 0.4, 0.3 and 0.8 seconds; the most requests and memory, the least processor time, microseconds a bar."""
    own = result().as_json()["contenders"][0]

    assert (own["median_s"], own["min_s"], own["max_s"], own["spread_s"], own["runs"]) == (0.4, 0.3, 0.8, 0.5, 3)
    assert (own["requests"], own["cache_hits"], own["bytes"]) == (4, 1, 2_000_000)
    assert own["us_per_bar"] == 0.3 / (2 * 5 * 100) * 1e6
    assert own["simulated"] is False


def test_who_was_not_run_has_no_figures() -> None:
    """Only the reason."""
    assert result().as_json()["contenders"][1] == {
        "name": "lean-cli",
        "median_s": None,
        "not_run": "the LEAN CLI is not installed",
    }


def test_simulated_seconds_are_marked() -> None:
    """A budget's seconds are those of a clock that only waiting moves; the least number of requests stands beside."""
    found = result(kind=Kind.BUDGET, per_minute=5).as_json()

    assert all(row["simulated"] for row in found["contenders"] if not row.get("not_run"))
    assert found["least_requests"] == 2


# --- the files of a run ---


def test_a_run_is_written_for_programs_tables_and_people(tmp_path: Path) -> None:
    """JSON as the page reads it, a row of CSV for each contender, and Markdown with the pictures."""
    found = run()
    folder = tmp_path / folder_name(found)

    write(folder, found, ["time"])

    assert folder.name == f"{found['date']}-abc1234"
    assert read_run(folder / "results.json") == json.loads((folder / "results.json").read_text())
    with (folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["contender"] for row in rows] == ["polygon", "lean-cli", "massive", "wire"]
    assert (rows[0]["min_s"], rows[1]["not_run"]) == ("0.3", "the LEAN CLI is not installed")
    text = (folder / "README.md").read_text()
    assert "![Time](time.svg)" in text
    assert "lean-cli was not run: the LEAN CLI is not installed." in text
    assert "the project's local server, 50 ms before each answer" in text


def test_tables_have_the_ratios_of_best_times() -> None:
    """To the wire and to polygon: 0.3 of 0.2 seconds, and 1.2 of 0.3."""
    head, rows = table_of(result().as_json())
    own, reason, client, wire = rows

    assert own[head.index("x wire")] == "1.50"
    assert client[head.index("x polygon")] == "4.00"
    assert wire[head.index("x wire")] == "1.00"
    assert reason == "lean-cli was not run: the LEAN CLI is not installed"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Kind.WARM_CACHE, "the others fetch everything"),
        (Kind.PRESENT, "the others fetch everything again"),
        (Kind.GAPS, "the others fetch all days"),
        (Kind.BUDGET, "The seconds are simulated"),
        (Kind.CRASH, "SIGKILL"),
    ],
)
def test_what_a_reader_must_know_is_said(kind: Kind, words: str) -> None:
    """A kind in which the contenders do not do the same says so."""
    text = markdown(run(kind=kind, per_minute=5 if kind is Kind.BUDGET else None), [])

    assert words in text
    assert ("days twice" in text) == (kind is Kind.CRASH)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0041, "4.1 ms"), (0.09999, "100 ms"), (0.1, "0.10 s"), (9.994, "9.99 s"), (1234.5, "1,234 s")],
)
def test_seconds_are_written_for_people(value: float, text: str) -> None:
    """Milliseconds below a tenth, no more digits than they have to tell."""
    assert seconds(value) == text


# --- the archive ---


def test_the_first_runs_are_still_read() -> None:
    """A run from before the contenders had their names of today has them now, and its ratio to the wire."""
    old = read_run(ROOT / FOLDER / "2026-11-25-9cac4b5" / "results.json")

    assert old is not None
    title = "3 symbols x 126 days x 390 minute bars, cold"
    names = [row["name"] for row in (scenario_of(old, title) or {})["contenders"]]
    assert names == ["polygon", "polygon-cli", "wire", "massive", "massive-threads", "lean-request-pattern"]
    assert ratio_to_wire(old, title) == 0.4446 / 0.1608


def archive(folder: Path, name: str, content: object) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "results.json").write_text(content if isinstance(content, str) else json.dumps(content))


def a_run(day: str, commit: str, own: float, *, live: bool = False, at: str = "") -> dict[str, Any]:
    rows = [{"name": "polygon", "min_s": own}, {"name": "wire", "min_s": 0.2}]
    return {
        "date": day,
        "measured_at": at,
        "commit": commit,
        "environment": {"live": live},
        "scenarios": [{"name": "x", "contenders": rows}],
    }


def test_runs_come_newest_first(tmp_path: Path) -> None:
    """By day, and of one day by the hour; what cannot be read, or sent on, is left out."""
    archive(tmp_path, "2024-01-02-zzz", a_run("2024-01-02", "zzz", 1, at="2024-01-02T08:00"))
    archive(tmp_path, "2024-01-02-aaa", a_run("2024-01-02", "aaa", 1, at="2024-01-02T09:00"))
    archive(tmp_path, "2024-01-01-bbb", a_run("2024-01-01", "bbb", 1))
    for name, content in {"cut": '{"date": "20', "list": "[]", "nan": '{"scenarios": [NaN]}', "none": "{}"}.items():
        archive(tmp_path, f"2024-02-01-{name}", content)

    assert [found["commit"] for found in read_runs(tmp_path)] == ["aaa", "zzz", "bbb"]
    assert read_runs(tmp_path / "nothing") == []


def test_the_ratio_to_compare_with_is_another_commits(tmp_path: Path) -> None:
    """The newest run on the local server that has the scenario; neither this commit's own nor a live one."""
    archive(tmp_path, "2024-01-04-own", a_run("2024-01-04", "own", 0.9))
    archive(tmp_path, "2024-01-03-live", a_run("2024-01-03", "live", 0.8, live=True))
    archive(tmp_path, "2024-01-02-new", a_run("2024-01-02", "new", 0.5))
    archive(tmp_path, "2024-01-01-old", a_run("2024-01-01", "old", 0.6))
    runs = read_runs(tmp_path)

    assert archived_ratio(runs, "x", besides="own") == 0.5 / 0.2
    assert archived_ratio(runs, "y", besides="own") is None


def test_the_readmes_picture_is_of_the_run_that_it_names() -> None:
    """Drawn again from that run of the archive it is the same; if not, make it anew."""
    place = ROOT / "docs" / "images" / "make_speed_picture.py"
    spec = importlib.util.spec_from_file_location("make_speed_picture", place)
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    picture = (ROOT / "docs" / "images" / "speed.svg").read_text()
    (named,) = [path for path in (ROOT / FOLDER).iterdir() if f"Run {path.name}." in picture]

    assert maker.draw(read_run(named / "results.json")) == picture
    assert maker.newest()["commit"]


# --- pictures ---


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, before anything is measured."""
    monkeypatch.setattr(plots, "find_spec", lambda name: None)

    with pytest.raises(ToolMissingError, match=r"pip install 'backtest-server\[bench\]'"):
        plots.require_matplotlib()


def test_every_figure_has_a_picture(tmp_path: Path) -> None:
    """As SVG and PNG; a series has one of its own; the same run gives the same SVG."""
    pytest.importorskip("matplotlib")
    series = [result(name=f"grow-{n}", series="grow", over="days", days=n) for n in (5, 10)]
    bars = [result(name=f"cost-{n}", series="cost", over="bars", symbols=("A", "B", "C")[:n]) for n in (1, 3)]
    found = run_of([result(), *series, *bars], ENVIRONMENT, ("abc1234", False))

    drawn = plots.draw(found, tmp_path / "one")
    plots.draw(found, tmp_path / "two")

    assert drawn == ["time", "requests", "bytes", "memory", "cache", "grow", "cost"]
    for name in drawn:
        assert (tmp_path / "one" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        svg = (tmp_path / "one" / f"{name}.svg").read_text()
        assert svg == (tmp_path / "two" / f"{name}.svg").read_text()
        assert "<svg" in svg


# --- who can run, and where ---


def test_the_lean_cli_is_never_simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not on the local server; live only with the CLI, Docker, a login and a lean.json, and each is named."""
    cli = CONTENDERS["lean-cli"]
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))

    def reason(live: bool = True, lean_config: Path | None = None) -> str:
        return why_not(cli, live=live, lean_config=lean_config)

    assert "only with --live" in reason(live=False)
    assert reason() == "the LEAN CLI is not installed"
    for program, missing in (
        ("lean", "Docker is not installed"),
        ("docker", "the LEAN CLI is not logged in (lean login)"),
    ):
        (tmp_path / program).touch(0o755)
        assert reason() == missing
    (tmp_path / ".lean").mkdir()
    (tmp_path / ".lean" / "credentials").touch()
    assert "no lean.json" in reason()
    assert reason(lean_config=tmp_path / "lean.json") == ""


def test_the_environment_says_against_what() -> None:
    """Live with the host and without a latency, else the local server with its own; never a name of a machine."""
    local = environment.facts(live_url=None, latency=0.02)
    live = environment.facts(live_url="https://api.example.com", latency=0.02)

    assert local["against"] == "the project's local server, 20 ms before each answer"
    assert (local["live"], local["latency_s"]) == (False, 0.02)
    assert live["against"] == "the live API, api.example.com"
    assert (live["live"], live["latency_s"]) == (True, None)
    assert {"processor", "cores", "python", "numpy"} <= local.keys()
    assert not {"host", "hostname", "node", "user"} & local.keys()
