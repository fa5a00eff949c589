"""The folder of a run."""

from __future__ import annotations

import json
import re
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.core.errors import WriteFailedError
from server.engines.results import RunState, read_run
from server.engines.run_folder import RunFolder, create_run_folder
from tests.support.lean_runs import log_text, result_of, write_run

NOW = datetime(2024, 2, 1, 12, 30, 15, tzinfo=UTC)
FIRST = "2024-02-01_12-30-15"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_it_has_folders_of_its_own(tmp_path: Path) -> None:
    """Only the user reads it; LEAN's config, object store and working folder are in it."""
    run = create_run_folder(tmp_path, NOW)
    run.prepare()
    run.write_config({"environment": "backtesting"})

    assert run.path == tmp_path / "backtests" / FIRST
    assert (run.config, run.storage, run.work) == (run.path / "config.json", run.path / "storage", run.path / "work")
    assert json.loads(run.config.read_text("utf-8")) == {"environment": "backtesting"}
    if sys.platform != "win32":
        assert [mode(path) for path in (run.path, run.storage, run.work, run.config)] == [0o700, 0o700, 0o700, 0o600]


def test_runs_of_one_second_have_folders_and_ids_of_their_own(tmp_path: Path) -> None:
    """Also where they begin at once; an id is 1 and nine digits, and that of a folder is always the same."""
    found: list[RunFolder] = []
    threads = [threading.Thread(target=lambda: found.append(create_run_folder(tmp_path, NOW))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {run.path.name for run in found} == {FIRST, *(f"{FIRST}-{number}" for number in range(2, 9))}
    assert len({run.run_id for run in found}) == 8
    assert all(re.fullmatch(r"1\d{9}", run.run_id) for run in found)
    assert RunFolder(found[0].path).run_id == found[0].run_id


def test_the_config_is_no_result(tmp_path: Path) -> None:
    """A results folder with the run's config reads as one without it, whatever the config holds."""
    run = create_run_folder(tmp_path, NOW)
    run.write_config(result_of())

    write_run(run.path, log=log_text("ERROR:: Engine.Run(): boom"))
    assert read_run(run.path, NOW).id is None
    write_run(run.path, name="1234567890", result=result_of())
    assert read_run(run.path, NOW).id == "1234567890"


@pytest.mark.parametrize("written", [None, "log.txt", "storage/model.bin"])
def test_what_lean_wrote_is_kept(tmp_path: Path, written: str | None) -> None:
    """A folder that has nothing of LEAN is deleted after the run, the output of a build always."""
    run = create_run_folder(tmp_path, NOW)
    run.prepare()
    run.write_config({})
    for folder in (run.build, run.intermediate):
        folder.mkdir()
        (folder / "Algorithm.dll").touch()
    if written:
        (run.path / written).touch()

    run.end()

    assert run.path.exists() is (written is not None)
    assert not run.build.exists()
    assert not run.intermediate.exists()


def test_results_of_a_process_that_has_ended_are_interrupted(tmp_path: Path) -> None:
    """At once, although LEAN's state is Running and the file is new."""
    run = create_run_folder(tmp_path, NOW)
    write_run(run.path, result=result_of(state={"Status": "Running"}))
    now = datetime.now(UTC)
    assert read_run(run.path, now).state is RunState.RUNNING

    run.end()

    assert read_run(run.path, now).state is RunState.INTERRUPTED


def test_a_file_in_its_place_is_an_error(tmp_path: Path) -> None:
    """The error names it and says what to do."""
    (tmp_path / "backtests").touch()

    with pytest.raises(WriteFailedError, match=r"backtests is not a folder that results could go to; rename it"):
        create_run_folder(tmp_path, NOW)


def test_a_project_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The error names the folder, and says that results go into the project's folder."""
    with pytest.raises(WriteFailedError, match=r"the results folder .* cannot be made: .*make it writable"):
        create_run_folder(tmp_path / "absent", NOW)
