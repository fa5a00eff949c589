"""LEAN's reference data is copied where the data folder lacks it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from server.core.errors import ToolMissingError, WriteFailedError
from server.engines.reference_data import launcher_source, prepare_reference_data
from tests.support.engine_programs import REFERENCE, write_reference

HOURS = "market-hours/market-hours-database.json"
PROPERTIES = "symbol-properties/symbol-properties-database.csv"
RATES = "alternative/interest-rate/usa/interest-rate.csv"


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_an_empty_data_folder(tmp_path: Path) -> None:
    """All of it is copied, and one notice says so; a second time there is nothing to do."""
    write_reference(tmp_path / "lean")
    sources = [launcher_source([tmp_path / "lean"])]

    (notice,) = prepare_reference_data(tmp_path / "data", sources)

    assert contents(tmp_path / "data") == REFERENCE
    assert notice.startswith(f"copied 4 files of LEAN's reference data from {tmp_path / 'lean'} to {tmp_path / 'data'}")
    assert prepare_reference_data(tmp_path / "data", sources) == ()


def test_existing_files_stay(tmp_path: Path) -> None:
    """Only what is missing is copied."""
    write_reference(tmp_path / "lean")
    own = tmp_path / "data" / HOURS
    own.parent.mkdir(parents=True)
    own.write_text("my own")

    prepare_reference_data(tmp_path / "data", [launcher_source([tmp_path / "lean"])])

    assert contents(tmp_path / "data") == REFERENCE | {HOURS: "my own"}


def test_each_file_from_the_first_folder_that_has_it(tmp_path: Path) -> None:
    """`Data` of the launcher, else the one three folders above it."""
    write_reference(tmp_path / "second")
    first = tmp_path / "first" / HOURS
    first.parent.mkdir(parents=True)
    first.write_text("of the first")

    prepare_reference_data(tmp_path / "data", [launcher_source([tmp_path / "first", tmp_path / "second"])])

    assert contents(tmp_path / "data") == REFERENCE | {HOURS: "of the first"}


@pytest.mark.parametrize("missing", [(HOURS,), (PROPERTIES,), (HOURS, PROPERTIES)])
def test_nowhere(tmp_path: Path, missing: tuple[str, ...]) -> None:
    """The error names the files, both places and what to do."""
    write_reference(tmp_path / "lean", *missing)

    with pytest.raises(ToolMissingError) as caught:
        prepare_reference_data(tmp_path / "data", [launcher_source([tmp_path / "lean"])])
    for part in (*missing, str(tmp_path / "data"), str(tmp_path / "lean"), "backtest-server lean install"):
        assert part in str(caught.value)
    present = {HOURS, PROPERTIES} - {*missing}
    assert not [path for path in present if f"needs {path}" in str(caught.value)]


def test_no_source(tmp_path: Path) -> None:
    """A data folder that has both files needs none."""
    with pytest.raises(ToolMissingError, match="LEAN needs"):
        prepare_reference_data(tmp_path, [])
    write_reference(tmp_path)
    assert prepare_reference_data(tmp_path, []) == ()


def test_interest_rates_are_not_necessary(tmp_path: Path) -> None:
    """Without them there is a notice."""
    write_reference(tmp_path, RATES)

    (notice,) = prepare_reference_data(tmp_path, [])

    assert RATES in notice


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    """LEAN could not read it, and it is the user's."""
    write_reference(tmp_path)
    (tmp_path / HOURS).write_text("")

    with pytest.raises(ToolMissingError, match=r"market-hours-database.json, which is empty"):
        prepare_reference_data(tmp_path, [])


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """One line with the file; nothing is left behind."""
    write_reference(tmp_path / "lean")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "market-hours").write_text("a file")

    with pytest.raises(WriteFailedError, match=r"LEAN's reference data could not be written to .*market-hours"):
        prepare_reference_data(tmp_path / "data", [launcher_source([tmp_path / "lean"])])
    assert contents(tmp_path / "data") == {"market-hours": "a file"}


def test_a_link_to_a_file_that_does_not_exist_yet(tmp_path: Path) -> None:
    """The file is created where the link leads; the link stays."""
    write_reference(tmp_path / "lean")
    link = tmp_path / "data" / HOURS
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "shared.json")

    prepare_reference_data(tmp_path / "data", [launcher_source([tmp_path / "lean"])])

    assert link.is_symlink()
    assert (tmp_path / "shared.json").read_text() == REFERENCE[HOURS]
    assert not stat.S_ISLNK((tmp_path / "shared.json").lstat().st_mode)
