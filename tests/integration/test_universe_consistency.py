"""Universe files over LEAN's samples and recorded runs, and in several processes at once."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest

from server.core.cancel import CancelToken
from server.corporate_actions.universe_consistency import make_universe_files_consistent
from server.data_download.data_folder import DataFolder
from tests.support.harness import calendar
from tests.support.patience import PATIENCE
from tests.support.universe import COARSE, MAPS, NUMBER, row, universe_texts, write_map_file, write_universe
from tests.support.universe_process import start

MANY = [date(2013, 1, 1) + timedelta(days=n) for n in range(200)]


def run(root: Path) -> tuple[str, ...]:
    """Make all universe files of a folder consistent."""
    with closing(DataFolder.open(root, calendar())) as folder:
        return make_universe_files_consistent(folder, date.min, date.max, cancel=CancelToken())


def contents(root: Path) -> dict[str, bytes]:
    """The universe files by name."""
    return {path.name: path.read_bytes() for path in sorted((root / COARSE).iterdir())}


def copied(source: Path, root: Path) -> Path:
    """A copy of the universe, map and factor files of a folder."""
    for name in ("fundamental", "map_files", "factor_files"):
        if (source / "equity/usa" / name).is_dir():
            shutil.copytree(source / "equity/usa" / name, root / "equity/usa" / name)
    return root


def test_leans_samples_are_consistent(tmp_path: Path, lean_sample_data: Path) -> None:
    """Nothing changes: 11 of their shares have a map file among the samples, 10 of them a factor file, too."""
    root = copied(lean_sample_data, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (root / COARSE).iterdir()}

    assert run(root) == ()

    assert contents(root) == contents(lean_sample_data)
    assert {path: path.stat().st_mtime_ns for path in (root / COARSE).iterdir()} == before


def test_leans_samples_are_restored(tmp_path: Path, lean_sample_data: Path) -> None:
    """From files in which each share with a factor file has no first date and no factors."""
    root = copied(lean_sample_data, tmp_path)
    expected = contents(root)
    tickers = {"AAPL", "BNO", "EEM", "FB", "GOOG", "IWM", "SPY", "USO", "VXX", "WM"}
    for path in (root / COARSE).iterdir():
        rows = [text.split(",") for text in path.read_text("ascii").splitlines()]
        foreign = [[f"{fields[1]} 2T", *fields[1:6], "1", "1"] if fields[1] in tickers else fields for fields in rows]
        path.write_text("".join(sorted(",".join(fields) + "\n" for fields in foreign)), "ascii")

    (notice,) = run(root)

    assert contents(root) == expected
    assert notice.startswith("corrected 30 rows of 3 universe files from 2014-03-24 to 2014-03-26")


def test_the_foreign_identifiers_of_a_recorded_run(tmp_path: Path) -> None:
    """The engine took their rows for other shares; corrected, they are the files that it read as the shares."""
    given = os.environ.get("LEAN_RUNS")
    if not given:
        pytest.skip("set LEAN_RUNS to the folder of recorded runs of LEAN's engine, with reading in it")
    reading = Path(given) / "reading"
    root = copied(reading / "universe-foreign-sids/data", tmp_path)

    assert len(run(root)) == 1

    assert contents(root) == contents(reading / "universe/data")
    for question in sorted(reading.glob("universe*")):
        if question.name != "universe-foreign-sids":
            root = copied(question / "data", tmp_path / question.name)
            assert run(root) == (), question.name
            assert contents(root) == contents(question / "data")


def large_folder(root: Path) -> Sequence[str]:
    """Many days with an inconsistent row each; returns the consistent files."""
    others = "".join(row(f"Z{n}") for n in range(2000))
    write_universe(root, [row("A"), others], MANY)
    write_map_file(root, "a")
    return [row("A", NUMBER) + others] * len(MANY)


def test_a_killed_process_leaves_whole_files(tmp_path: Path) -> None:
    """Each day is as it was or corrected; the next run corrects the others, and nothing is left over."""
    expected = large_folder(tmp_path)
    before = universe_texts(tmp_path)[0]
    paths = sorted((tmp_path / COARSE).glob("*.csv"))
    process = start(tmp_path)
    deadline = time.monotonic() + PATIENCE
    while paths[2].read_text() == before and time.monotonic() < deadline:
        pass
    process.kill()
    process.communicate()

    found = [path.read_text() for path in paths]
    corrected = found.count(expected[0])
    assert found == expected[:corrected] + [before] * (len(MANY) - corrected)
    assert 2 < corrected < len(MANY)

    run(tmp_path)

    assert universe_texts(tmp_path) == expected


def test_processes_at_once_correct_each_file_once(tmp_path: Path) -> None:
    """They wait for each other; together they report each day once."""
    expected = large_folder(tmp_path)

    processes = [start(tmp_path) for _ in range(3)]
    outputs = [process.communicate(timeout=4 * PATIENCE) for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert universe_texts(tmp_path) == expected
    counts = [int(line.split()[1]) for out, _ in outputs for line in out.splitlines()]
    assert sum(counts) == len(MANY)
    assert run(tmp_path) == ()


def test_a_map_file_that_changes_back_restores_the_files(tmp_path: Path) -> None:
    """An earlier first date, and then the previous one again."""
    expected = large_folder(tmp_path)
    run(tmp_path)
    text = (tmp_path / MAPS / "a.csv").read_text()
    write_map_file(tmp_path, "a", "19980102,a,N", "20501231,a,N")

    run(tmp_path)
    assert universe_texts(tmp_path)[0].startswith("A R735QTJ8XC9X,")
    (tmp_path / MAPS / "a.csv").write_text(text)
    run(tmp_path)

    assert universe_texts(tmp_path) == expected
