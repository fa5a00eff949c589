"""The comparison of what contenders wrote."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from benchmarks.compare import FilesDifferError, ZipContent, check_same, contents_by_path, read_folder


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

    assert found["equity/usa/minute/spy/20240102_trade.zip"] == ZipContent.from_bytes("a.csv", b"1,2")
    assert found["equity/usa/minute/spy/20240103_trade.zip"].member.startswith("unreadable")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([("a", "m", b"1")], "b is missing"),
        ([("a", "m", b"1"), ("b", "m", b"2"), ("c", "m", b"3")], "c is not expected"),
        ([("a", "x", b"1"), ("b", "m", b"2")], "a contains 'x' instead of 'm'"),
        ([("a", "m", b"9"), ("b", "m", b"9")], "a contains other bars than expected"),
    ],
)
def test_the_first_difference_is_named(found: list[tuple[str, str, bytes]], words: str) -> None:
    """With the contender and the scenario; the same files are no error."""
    expected = contents_by_path([("a", "m", b"1"), ("b", "m", b"2")])
    check_same(expected, dict(reversed(expected.items())), "massive", "small")

    with pytest.raises(FilesDifferError) as differs:
        check_same(expected, contents_by_path(found), "massive", "small")

    assert str(differs.value) == f"small: massive wrote wrong files: {words}; the scenario has no result"
