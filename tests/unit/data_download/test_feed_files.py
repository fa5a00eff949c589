"""The files of a data folder for the reader: small files are read once, and what is not there is not an error."""

from __future__ import annotations

from pathlib import Path

from server.data_download.feed_files import FolderFiles


def test_a_small_file_is_read_once(tmp_path: Path) -> None:
    """Map files are read for each symbol; a bar file is not cached."""
    (tmp_path / "small.csv").write_bytes(b"1")
    (tmp_path / "large.zip").write_bytes(b"22222222")
    files = FolderFiles(tmp_path, cache_below=4)
    assert (files.read("small.csv"), files.read("large.zip")) == (b"1", b"22222222")

    for path in tmp_path.iterdir():
        path.unlink()

    assert (files.read("small.csv"), files.read("large.zip")) == (b"1", None)


def test_names_of_a_folder(tmp_path: Path) -> None:
    """Nothing for a folder that does not exist, or is a file."""
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "a.csv").touch()
    files = FolderFiles(tmp_path)

    assert list(files.names("maps")) == ["a.csv"]
    assert list(files.names("none")) == []
    assert list(files.names("maps/a.csv")) == []
    assert files.read("maps") is None
