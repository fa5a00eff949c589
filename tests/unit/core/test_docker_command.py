"""Arguments of the program docker."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from server.core.docker_command import Mount, container_path


@pytest.mark.parametrize(
    ("read_only", "expected"),
    [(True, ("-v", "/my data:/Lean/Data:ro")), (False, ("-v", "/my data:/Lean/Data"))],
)
def test_a_folder(read_only: bool, expected: tuple[str, str]) -> None:
    """The parts of -v are separated by colons."""
    assert Mount(source=Path("/my data"), target="/Lean/Data", read_only=read_only).arguments == expected


@pytest.mark.parametrize("source", ["/a:b", "/a:b,c", '/a:"b"'])
def test_a_folder_with_a_colon(source: str) -> None:
    """--mount takes any path; Docker reads its parts as a line of CSV."""
    option, value = Mount(source=Path(source), target="/Results").arguments

    assert option == "--mount"
    assert next(csv.reader([value])) == ["type=bind", f"source={source}", "target=/Results", "readonly"]


def test_paths_in_the_container() -> None:
    """The first mount that holds a path decides, so a folder within another has its own target."""
    mounts = [Mount(source=Path("/p/backtests/1"), target="/Results"), Mount(source=Path("/p"), target="/LeanCLI")]

    assert container_path(mounts, Path("/p/main.py")) == "/LeanCLI/main.py"
    assert container_path(mounts, Path("/p")) == "/LeanCLI"
    assert container_path(mounts, Path("/p/backtests/1/storage")) == "/Results/storage"
    with pytest.raises(ValueError, match="/q is not mounted"):
        container_path(mounts, Path("/q"))
