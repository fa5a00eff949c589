"""LEAN's text files: whole or not at all, and whose they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.core.errors import WriteFailedError
from server.data_download.data_folder import DataFolder
from tests.support.harness import calendar

PLACE = "equity/usa/factor_files"
PATH = f"{PLACE}/brk.b.csv"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    """A data folder with a ledger on disk."""
    found = DataFolder.open(tmp_path / "data", calendar())
    yield found
    found.close()


def names(folder: DataFolder) -> list[str]:
    return sorted(path.name for path in (folder.path / PLACE).iterdir())


def test_a_text_is_written_checked_and_known_as_ours(folder: DataFolder) -> None:
    """The reader sees what was written; other content at the same place is not ours."""
    seen: list[str] = []

    folder.writer.write_text("BRK.B", PATH, "one\n", seen.append)
    folder.writer.write_text("BRK.B", PATH, "two\n", seen.append)

    assert (folder.path / PATH).read_bytes() == b"two\n"
    assert seen == ["one\n", "two\n"]
    assert names(folder) == ["brk.b.csv"]
    assert folder.ledger.wrote(PATH, b"two\n")
    assert not folder.ledger.wrote(PATH, b"one\n")
    assert not folder.ledger.wrote(f"{PLACE}/brk.csv", b"two\n")


def test_what_does_not_read_back_well_is_not_put_in_place(folder: DataFolder) -> None:
    """The old file stays, is still ours, and nothing else was left."""
    folder.writer.write_text("BRK.B", PATH, "one\n", str)

    def refuse(text: str) -> None:
        raise ValueError(text)

    with pytest.raises(ValueError, match="two"):
        folder.writer.write_text("BRK.B", PATH, "two\n", refuse)

    assert (folder.path / PATH).read_bytes() == b"one\n"
    assert names(folder) == ["brk.b.csv"]
    assert folder.ledger.wrote(PATH, b"one\n")


def test_a_run_that_dies_around_the_swap_leaves_a_file_of_ours(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the file was put in place and before that was remembered: the new content is known all the same."""
    folder.writer.write_text("BRK.B", PATH, "one\n", str)
    monkeypatch.setattr("server.data_download.files.sync_folder", _die)

    with pytest.raises(KeyboardInterrupt):
        folder.writer.write_text("BRK.B", PATH, "two\n", str)

    assert (folder.path / PATH).read_bytes() == b"two\n"
    assert folder.ledger.wrote(PATH, b"two\n")


def _die(folder: str) -> None:
    raise KeyboardInterrupt


def test_the_lock_sweeps_what_a_killed_run_left_of_this_symbol(folder: DataFolder) -> None:
    """Not what another symbol's run is writing; a lock that is held is not had twice."""
    place = folder.path / PLACE
    place.mkdir(parents=True)
    for name in (".brk.b~1-0.part", ".brk~1-0.part", "brk.b.csv"):
        (place / name).write_text("")

    with folder.locks.take_texts("BRK.B", [PLACE]) as mine, folder.locks.take_texts("BRK.B", [PLACE]) as again:
        assert (mine, again) == (True, False)

    assert names(folder) == [".brk~1-0.part", "brk.b.csv"]


def test_a_place_that_cannot_be_written_is_named(folder: DataFolder) -> None:
    """One sentence with the file and what to do."""
    (folder.path / "equity" / "usa").mkdir(parents=True)
    (folder.path / PLACE).write_text("")

    expected = r"BRK\.B could not be written to .*factor_files.*: a file is in the place of a folder"
    with pytest.raises(WriteFailedError, match=expected):
        folder.writer.write_text("BRK.B", PATH, "one\n", str)
