"""Rotation of the log file, and appending from several processes."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from server.observability.log_file import LogFile


def write_lines(path: Path, letter: str) -> None:
    file = LogFile(path, maximum_bytes=10_000, kept=50)
    for number in range(100):
        file.write(f"{letter * 200} {number}")


def test_rotation(tmp_path: Path) -> None:
    """A full file is rotated, and the oldest rotated file is removed."""
    file = LogFile(tmp_path / "x.jsonl", maximum_bytes=10, kept=2)
    for number in range(7):
        file.write(f"line {number}")
    assert (tmp_path / "x.jsonl").read_text() == "line 6\n"
    assert (tmp_path / "x.jsonl.1").read_text() == "line 4\nline 5\n"
    assert (tmp_path / "x.jsonl.2").read_text() == "line 2\nline 3\n"
    assert not (tmp_path / "x.jsonl.3").exists()


def test_several_processes(tmp_path: Path) -> None:
    """Lines of several processes are not mixed, also during rotation."""
    path = tmp_path / "x.jsonl"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_lines, args=(path, letter)) for letter in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    written = [line for one in tmp_path.glob("x.jsonl*") for line in one.read_text().splitlines()]
    assert sorted(written) == sorted(f"{letter * 200} {number}" for letter in "ab" for number in range(100))
