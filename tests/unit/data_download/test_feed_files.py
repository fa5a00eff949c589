"""The files of a data folder for the reader: what is not there is not an error."""

from __future__ import annotations

from pathlib import Path

from server.data_download.feed_files import FolderFiles


def test_files_are_read_by_their_path_below_the_folder(tmp_path: Path) -> None:
    """None for a file that does not exist."""
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "a.csv").write_bytes(b"1")
    files = FolderFiles(tmp_path)

    assert (files.read("maps/a.csv"), files.read("maps/b.csv")) == (b"1", None)


def test_names_of_a_folder(tmp_path: Path) -> None:
    """Nothing for a folder that does not exist, or is a file."""
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "a.csv").touch()
    files = FolderFiles(tmp_path)

    assert list(files.names("maps")) == ["a.csv"]
    assert list(files.names("none")) == []
    assert list(files.names("maps/a.csv")) == []
    assert files.read("maps") is None
