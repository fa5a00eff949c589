"""A run in the archive and as a table, and the README's picture."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from benchmarks.archive import ARCHIVE
from benchmarks.report import folder_name, format_seconds, render_table, run_as_json, save, table
from benchmarks.scenarios import ScenarioKind
from server.core.errors import WriteFailedError
from server.observability.benchmark_archive import read_run
from tests.support.benchmark_results import result

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {"against": "the project's local server, 50 ms before each response", "processor": "P", "cores": 2}


def test_a_run_is_saved_as_results_json_alone(tmp_path: Path) -> None:
    """In a folder named by date and commit, below the archive; the reader of the archive returns the same run."""
    found = run_as_json([result()], ENVIRONMENT, ("abc1234", False))

    folder = save(found, tmp_path / "archive")

    assert folder == tmp_path / "archive" / f"{found['date']}-abc1234" == tmp_path / "archive" / folder_name(found)
    assert [path.name for path in folder.iterdir()] == ["results.json"]
    assert read_run(folder / "results.json") == json.loads(json.dumps(found))
    assert found["environment"] == ENVIRONMENT
    assert (found["commit"], found["changed"]) == ("abc1234", False)


def test_an_archive_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The error names the run's folder."""
    (tmp_path / "archive").write_text("a file")
    found = run_as_json([result()], ENVIRONMENT, ("abc1234", False))

    with pytest.raises(WriteFailedError, match=r"cannot be saved in .*archive/.*-abc1234"):
        save(found, tmp_path / "archive")


def test_tables_have_the_ratios_of_best_times() -> None:
    """To wire and to polygon: 0.3 s / 0.2 s, and 1.2 s / 0.3 s."""
    head, rows, not_run = table(result().as_json())
    own, client, wire = rows

    assert own[head.index("x wire")] == "1.50"
    assert client[head.index("x polygon")] == "4.00"
    assert wire[head.index("x wire")] == "1.00"
    assert not_run == ["lean-cli was not run: the LEAN CLI is not installed"]


def test_days_fetched_twice_are_shown_after_a_kill() -> None:
    """Only scenarios with a kill have the column."""
    assert "days twice" in render_table(result(kind=ScenarioKind.CRASH).as_json())
    assert "days twice" not in render_table(result().as_json())


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0041, "4.1 ms"), (0.09999, "100 ms"), (0.1, "0.10 s"), (9.994, "9.99 s"), (1234.5, "1,234 s")],
)
def test_seconds_are_formatted(value: float, text: str) -> None:
    """Milliseconds below 0.1 s, two decimals below 10 s, whole seconds above."""
    assert format_seconds(value) == text


def test_the_readmes_picture_shows_the_run_that_it_names() -> None:
    """Drawn again from that archived run it is identical; if this fails, draw the picture again."""
    place = ROOT / "docs" / "images" / "make_speed_picture.py"
    spec = importlib.util.spec_from_file_location("make_speed_picture", place)
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    picture = (ROOT / "docs" / "images" / "speed.svg").read_text()
    (named,) = [path for path in (ROOT / ARCHIVE).iterdir() if f"Run {path.name}." in picture]

    assert maker.draw(read_run(named / "results.json")) == picture
    assert maker.newest()["commit"]
